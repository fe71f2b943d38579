// Stands in for the CUDA toolkit's header: hostcuda.h holds what it declares, except for two short names.
#pragma once
using half = __half;
using half2 = __half2;
