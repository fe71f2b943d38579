"""Operations that move elements without computing: reshaping, joining, padding, diagonals."""
