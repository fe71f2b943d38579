"""A step as a CUDA graph: recorded once, then launched whole, with no Python between its kernels.

reference.py   set_words: the numbers of a step, written where the graph reads them
cuda.py        the same in one launch, the numbers among its arguments (capture.cu)
recorder.py    Recorder: records a function, and replays it
../runtime/capture.py   what the code of a step calls                               read this first
"""
