"""What every kernel runs on: dispatch, compilation, threads, caches and the GPU."""
