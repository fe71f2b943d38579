"""What the kernels run on.  Nothing in here knows an operation.

In this order:

    dispatch        a kernel is a named list of variants; which one runs, how to force one, which ones there are

    njit            CPU: numba's compiler for the files of loops, with a cache on disk
    with_numba      the names those files take from numba
    threads         the threads that loops and NumPy's matrix products share
    blas            which OpenBLAS kernels NumPy uses, and the number of threads
    allocation      keep freed memory in the process
    rounding        division rounded up, for grids and tiles

    cuda_device     GPU: is there one we can use, and what to install if not
    cuda_source     a .cu file: compile it, launch its kernels, on a GPU or on the CPU (`hostcuda`)
    sources         the text of a .cu file: headers, declarations, NVIDIA's compiler; checks of a launch
    array_table     tables of addresses, for a launch over all arrays of a list
    capture         numbers of a step that a CUDA graph reads on the device
    numba_cuda      numba.cuda, for the variants that are there to be read
    include/        the headers that .cu files share, and the instructions of the tensor cores

    lazy_import     import numba and cupy on first use, undisturbed by Ctrl-C and forks
    disk_cache      where compiled code is kept
    announce        a line on the terminal before something slow

    compile_report  command: compile every .cu file and print registers, shared memory and spills
    reachable       command: does every library load that a dispatch on a GPU can reach?
    budgets         what the report holds them to
    ladders         command: write the table of kernels and variants into kernels/README.md
"""
