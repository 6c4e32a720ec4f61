// Tensor core products of f32 operands, each split into two TF32 numbers.
#define BOUNDS TILE_THREADS, 2
#include "tensor_core.cuh"

PRODUCTS(tf32x3, Tf32x3, Aligned)
PRODUCTS(tf32x3_unaligned, Tf32x3, Unaligned)
