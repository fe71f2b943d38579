"""tinygen.profile: time and memory of every operation in a block.  To be read in this order:

    profiler   the profile: what it measures and how
    rows       what it adds up for an operation
    kept       the memory kept for backward
    watch      how calls are watched while a block runs
    report     the profile as a table, a picture and JSON

This room is above engine, nn, optim and run, and below explain.
"""
