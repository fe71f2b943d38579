"""Training runs: their folder, steps, checkpoints, flags and pictures.  To be read in this order:

    terminal        text on stdout and stderr that cannot control the terminal, on streams that may fail
    files           files written atomically; only regular files are read
    flags           a dataclass or a function's parameters as command-line flags and as checked JSON
    progress        progress bars, and signals that are handled between steps
    pictures        images and curves as PNG and GIF
    checkpoint      safetensors files that are verified to the last bit
    folder          run folders: numbering, config.json, metrics.jsonl, locks
    resuming        what a run must have in common with its checkpoint
    training        Run: one run from its first step to its last

Beside them: `serialization`, tinygen.save and tinygen.load; `imports`, slow packages imported on first use.
This room is below data, metrics, profile and explain: it imports only engine, kernels and random.
`import tinygen` loads `serialization` and what it needs, so this file imports nothing.
"""
