// What all sources share.

typedef long long Index;  // arrays may have more than 2**31 elements
typedef unsigned long long Word;

#ifndef INFINITY  // NVRTC brings no math.h
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

template <typename T> struct Wide { typedef T type; };  // what numbers of type T are computed and added up in
#ifdef HALF
#include <cuda_fp16.h>
template <> struct Wide<__half> { typedef float type; };
#endif

// A thread for each of n elements, and the same one again for those that lie beyond the grid.
#define EACH(i, n) \
    for (Index i = blockIdx.x * (Index)blockDim.x + threadIdx.x; i < n; i += gridDim.x * (Index)blockDim.x)
