//! Fused ops: several ops in one kernel.

mod conv2d_relu_max_pool2d;
