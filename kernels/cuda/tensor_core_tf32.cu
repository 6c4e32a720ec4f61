// Tensor core products of operands rounded to TF32.
#include "tensor_core.cuh"

PRODUCTS(3, tf32, Tf32, Aligned, Narrow)
RESULTS(2, tf32_tall, Tf32, Aligned, Tall, Tf32::Element)
PRODUCTS(2, tf32_wide, Tf32, Aligned, Wide)
PRODUCTS(3, tf32_unaligned, Tf32, Unaligned, Narrow)
// With bf16 results, for channels that bf16 operands cannot have.
RESULTS(3, tf32_to_bf16, Tf32, Aligned, Narrow, uint16_t)
RESULTS(3, tf32_unaligned_to_bf16, Tf32, Unaligned, Narrow, uint16_t)
