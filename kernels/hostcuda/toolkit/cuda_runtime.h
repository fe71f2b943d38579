// Stands in for the CUDA toolkit's header: hostcuda.h holds what it declares.
