//! Convolution, pooling and resampling of images (N,C,H,W).

mod conv2d;
mod conv_transpose2d;
mod im2col;
mod pool;
mod upsample;
