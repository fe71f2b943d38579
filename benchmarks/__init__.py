"""Benchmarks of kernels, training steps and models, and the tables written from their results.

In the order of reading:

    command         the flags of `tinygen bench`
    bench           compare a case with PyTorch, then time both: what `tinygen bench` runs
    timing          timing in turns, medians, and the comparison of results
    sides           the ways of computing a case: tinygen, PyTorch eager, compiled, channels-last, cuBLAS
    kernel_cases    the operations to time
    step_cases      the training steps to time; step_networks is the part that both libraries share, torch_twin runs a
                    model file with PyTorch
    memory          peak memory of a case, in a process of its own
    machine         the CPU: names, load, roofline.  gpu/card is the same for a GPU
    report          tables and plots from the JSON of `bench`; pages says which page each goes to

    host_cost       what a step on a GPU costs the host: launches, waits, copies, Python; needs no GPU

    tables/         train and measure models: papers (the commands run, add, write, check), diffusion, modes
    studies/        one question each: scaling, first_step, profile_vae, winograd_error
    gpu/            for a machine with a GPU: card, session (all measurements of a visit), loss_curves
    versions, same_bits     compare two installed versions of tinygen: speed, and bits
"""
