//! Ops that compute in one kernel what several ops compute one after the other.

mod conv2d_relu_max_pool2d;
