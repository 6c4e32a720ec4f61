// Tensor core products of bf16 operands.
#include "tensor_core.cuh"

PRODUCTS(3, bf16, Bf16, Aligned, Narrow)
RESULTS(2, bf16_tall, Bf16, Aligned, Tall, Bf16::Element)
PRODUCTS(2, bf16_wide, Bf16, Aligned, Wide)
