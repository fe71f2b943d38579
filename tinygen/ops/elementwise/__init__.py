"""Operations on single elements: arithmetic, functions, comparisons, choices, activations, dropout."""
