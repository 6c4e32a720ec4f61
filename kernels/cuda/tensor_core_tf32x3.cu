// Tensor core products of f32 operands, each split into two TF32 numbers.
#include "tensor_core.cuh"

PRODUCTS(2, tf32x3, Tf32x3, Aligned, Narrow)
PRODUCTS(2, tf32x3_unaligned, Tf32x3, Unaligned, Narrow)
