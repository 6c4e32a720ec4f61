// Tensor core products of bf16 operands.
#define BOUNDS TILE_THREADS, 3
#include "tensor_core.cuh"

PRODUCTS(bf16, Bf16, Aligned)
