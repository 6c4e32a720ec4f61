//! The kernel table: the signature, the contract and the shapes of every kernel.
//!
//! A kernel maps tensors to tensors. It does not check shapes; its callers, the methods of [`TensorOf`], do.
//! `= family::function` names the implementation in `cpu` and in `cuda`: `dispatch` calls that of the tensors' device.
//!
//! Generic code calls the kernels of its element type through the traits [`ElementKernels`], [`ByteKernels`] and
//! [`FloatKernels`]. So do modules below the kernels, such as a view that needs a copy.
//!
//! N, C, H, W, O, kh, kw are the numbers of images, channels, rows, columns, output channels, kernel rows and columns.

use crate::device::Device;
pub(crate) use crate::geometry::ConvGeometry;
use crate::random::{Key, Purpose};
use crate::shape::Shape;
use crate::tensor::TensorOf;

pub use crate::parameters::elementwise::{Binary, Compare, Unary};
pub use crate::parameters::epilogue::Epilogue;
pub use crate::parameters::image::{BatchNormGradients, ImageStep, MAX_IMAGE_STEPS, PoolIndices, Tap};
pub use crate::parameters::optimizer::{AdamSlot, AdamStep, SgdSlot, SgdStep};
pub use crate::shape_rules::Window;

pub(crate) type Mask = TensorOf<u8>;
pub(crate) type Index = TensorOf<i32>;

/// Declares the trait of a table: each function without its implementation.
macro_rules! declare {
    ($(#[$about:meta])* trait $name:ident for $($t:ty),+;
     $($(#[$doc:meta])* fn $kernel:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? = $family:ident::$function:ident;)+) => {
        $(#[$about])*
        pub trait $name: Sized {
            $($(#[$doc])* #[doc(hidden)] fn $kernel($($arg: $ty),*) $(-> $out)?;)+
        }
    };
}

/// Passes the table of the kernels for every element type to a macro.
macro_rules! element_kernels {
    ($with:ident) => {
        $with! {
            /// Kernels for every element type.
            trait ElementKernels for f32, f64, i32, u8;

            /// A tensor filled with `value`.
            fn full(device: Device, shape: Shape, value: Self) -> TensorOf<Self> = copy::full;
            /// `y = x`, with x broadcast to the shape of `y`, whose buffer is exclusive.
            fn copy(y: &mut TensorOf<Self>, x: &TensorOf<Self>) = copy::copy;
            /// `1` where `a op b` holds, else `0`, with broadcasting.
            fn compare(op: Compare, a: &TensorOf<Self>, b: &TensorOf<Self>) -> Mask = elementwise::compare;
            /// `a` where the mask is not 0, else `b`, with broadcasting of all three.
            fn select(mask: &Mask, a: &TensorOf<Self>, b: &TensorOf<Self>) -> TensorOf<Self> = elementwise::select;
            /// x converted to `f32`.
            fn to_f32(x: &TensorOf<Self>) -> TensorOf<f32> = elementwise::cast;
            /// x converted to `f64`.
            fn to_f64(x: &TensorOf<Self>) -> TensorOf<f64> = elementwise::cast;
            /// x converted to `i32`.
            fn to_i32(x: &TensorOf<Self>) -> TensorOf<i32> = elementwise::cast;
            /// x converted to `u8`.
            fn to_u8(x: &TensorOf<Self>) -> TensorOf<u8> = elementwise::cast;
            /// The maximum along the marked axes, which are kept with length 1. NaN propagates.
            fn max(x: &TensorOf<Self>, axes: &[bool]) -> TensorOf<Self> = reduce::max;
            /// The minimum along the marked axes, which are kept with length 1. NaN propagates.
            fn min(x: &TensorOf<Self>, axes: &[bool]) -> TensorOf<Self> = reduce::min;
            /// The index of the first maximum along an axis, which is kept with length 1; of the first NaN, if there is one.
            fn argmax(x: &TensorOf<Self>, axis: usize) -> Index = sort::argmax;
            /// The `k` largest elements along an axis in descending order, and their indices. Ties are in index order, NaN is first.
            fn topk(x: &TensorOf<Self>, k: usize, axis: usize) -> (TensorOf<Self>, Index) = sort::topk;
            /// `y[.., i, ..] = x[.., index[.., i, ..], ..]` along an axis. `index` and `y` have x's shape except along that axis.
            fn gather(x: &TensorOf<Self>, axis: usize, index: &Index) -> TensorOf<Self> = gather::gather;
        }
    };
}
element_kernels!(declare);

/// Passes the table of the kernels for bytes to a macro.
macro_rules! byte_kernels {
    ($with:ident) => {
        $with! {
            /// Kernels for bytes, the storage type of images.
            trait ByteKernels for u8;

            /// A batch of images (N,C,H,W): `samples` (n) → (n,C,H,W). The steps are applied to each image, then its bytes are
            /// mapped through the lookup table of their channel, or the only table. The random numbers of a step are a function
            /// of the key, the step's purpose and the sample.
            fn image_batch(images: &TensorOf<Self>, samples: &Index, tables: &[[f32; 256]], steps: &[(ImageStep, Purpose)], key: Key) -> TensorOf<f32> = augment::image_batch;
        }
    };
}
byte_kernels!(declare);

/// Passes the table of the kernels for floats to a macro.
macro_rules! float_kernels { ($with:ident) => { $with! {
    /// Kernels for floats.
    trait FloatKernels for f32, f64;

    /// `y = op(x)`, elementwise; if `x` is dense, `y` has the same order of axes in memory.
    fn unary(op: Unary, x: &TensorOf<Self>) -> TensorOf<Self> = elementwise::unary;
    /// `y = op(a, b)`, elementwise with broadcasting.
    fn binary(op: Binary, a: &TensorOf<Self>, b: &TensorOf<Self>) -> TensorOf<Self> = elementwise::binary;
    /// `y += x`, elementwise, shapes equal, in place if the buffer of `y` is exclusive.
    fn add_assign(y: &mut TensorOf<Self>, x: &TensorOf<Self>) = elementwise::add_assign;
    /// The sum along the marked axes, which are kept with length 1.
    fn sum(x: &TensorOf<Self>, axes: &[bool]) -> TensorOf<Self> = reduce::sum;
    /// The adjoint of `gather`: `y[.., index[.., i, ..], ..] += x[.., i, ..]` on zeros of `shape`, in ascending order of `i`.
    fn scatter_add(x: &TensorOf<Self>, axis: usize, index: &Index, shape: Shape) -> TensorOf<Self> = gather::scatter_add;

    /// `y = a · b`: (…, M, K) · (…, K, N) → (…, M, N), leading axes equal (0-stride axes allowed), any strides.
    fn matmul(a: &TensorOf<Self>, b: &TensorOf<Self>) -> TensorOf<Self> = product::matmul;
    /// `y = x · wᵀ + b`: x (N, I), w (O, I), b (O) → y (N, O).
    fn linear(x: &TensorOf<Self>, w: &TensorOf<Self>, b: Option<&TensorOf<Self>>) -> TensorOf<Self> = product::linear;
    /// The requested gradients of `linear` in w and b: x (N, I), dy (N, O) → `dw = dyᵀ · x` (O, I), `db = Σₙ dy` (O).
    fn linear_parameter_gradients(x: &TensorOf<Self>, dy: &TensorOf<Self>, wanted: [bool; 2]) -> [Option<TensorOf<Self>>; 2] = product::linear_parameter_gradients;

    /// `y[n,o,i,j] = b[o] + Σ x[n, c, s·i + d·p − pad, s·j + d·q − pad] · w[o,c,p,q]`:
    /// x (N,C,H,W), w (O,C/groups,kh,kw), b (O) → y (N,O,oh,ow), then the epilogue.
    fn conv2d(x: &TensorOf<Self>, w: &TensorOf<Self>, b: Option<&TensorOf<Self>>, conv: &ConvGeometry, epilogue: Epilogue<'_, TensorOf<Self>>) -> TensorOf<Self> = conv::conv2d;
    /// The adjoint of `conv2d` in x: dy (N,O,oh,ow), w (O,C/groups,kh,kw) → dx (N,C,H,W).
    fn conv2d_input_gradient(dy: &TensorOf<Self>, w: &TensorOf<Self>, conv: &ConvGeometry) -> TensorOf<Self> = conv::input_gradient;
    /// The requested gradients of `conv2d` in w and b: x (N,C,H,W), dy (N,O,oh,ow) → dw (O,C/groups,kh,kw) and
    /// `db = Σ dy` over n, i, j (O).
    /// If x has an infinity or a NaN, elements of dw that do not depend on it may become NaN too.
    fn conv2d_parameter_gradients(x: &TensorOf<Self>, dy: &TensorOf<Self>, conv: &ConvGeometry, wanted: [bool; 2]) -> [Option<TensorOf<Self>>; 2] = conv::parameter_gradients;

    /// `y = max_pool2d(relu(conv2d(x, w, b)))` and the indices of the maxima: x (N,C,H,W) → y (N,O,oh,ow).
    fn conv2d_relu_max_pool2d(x: &TensorOf<Self>, w: &TensorOf<Self>, b: Option<&TensorOf<Self>>, conv: &ConvGeometry, windows: &[Vec<Window>; 2]) -> (TensorOf<Self>, PoolIndices) = conv::conv2d_relu_max_pool;
    /// Its requested gradients dx, dw, db: x (N,C,H,W), w (O,C/groups,kh,kw), dy (N,O,oh,ow).
    fn conv2d_relu_max_pool2d_backward(inputs: [&TensorOf<Self>; 3], indices: &PoolIndices, conv: &ConvGeometry, wanted: [bool; 3]) -> [Option<TensorOf<Self>>; 3] = conv::conv2d_relu_max_pool_backward;

    /// The windows of a convolution as columns: x (N,C,H,W) → (N, C·kh·kw, oh·ow). `conv` is the convolution of a single channel.
    fn im2col(x: &TensorOf<Self>, conv: &ConvGeometry) -> TensorOf<Self> = im2col::im2col;
    /// The adjoint of `im2col`: dy (N, C·kh·kw, oh·ow) → dx (N,C,H,W).
    fn col2im(dy: &TensorOf<Self>, conv: &ConvGeometry) -> TensorOf<Self> = im2col::col2im;

    /// The maximum of each window and its index: x (N,C,H,W) → y (N,C,oh,ow). Of ties the first is chosen; NaN propagates.
    fn max_pool2d(x: &TensorOf<Self>, windows: &[Vec<Window>; 2]) -> (TensorOf<Self>, PoolIndices) = pooling::max_pool;
    /// `relu(max_pool2d(x)) = max_pool2d(relu(x))`. Where a maximum is not above 0 the index is −1 and y is 0, or NaN for NaN.
    fn relu_max_pool2d(x: &TensorOf<Self>, windows: &[Vec<Window>; 2]) -> (TensorOf<Self>, PoolIndices) = pooling::relu_max_pool;
    /// The elements of each plane of x (N,C,H,W) at `indices` (N,C,oh,ow); 0 where the index is −1.
    fn gather2d(x: &TensorOf<Self>, indices: &PoolIndices) -> TensorOf<Self> = pooling::gather2d;
    /// The adjoint of `gather2d`: adds dy (N,C,oh,ow) at `indices` to zeros (N,C,H,W), where `hw` = [H, W].
    fn scatter2d(dy: &TensorOf<Self>, indices: &PoolIndices, hw: [usize; 2]) -> TensorOf<Self> = pooling::scatter2d;
    /// The mean of each window: x (N,C,H,W) → y (N,C,oh,ow).
    fn avg_pool2d(x: &TensorOf<Self>, windows: &[Vec<Window>; 2]) -> TensorOf<Self> = pooling::avg_pool;
    /// The adjoint of `avg_pool2d`: dy (N,C,oh,ow) → dx (N,C,H,W), where `hw` = [H, W].
    fn avg_pool2d_adjoint(dy: &TensorOf<Self>, windows: &[Vec<Window>; 2], hw: [usize; 2]) -> TensorOf<Self> = pooling::avg_pool_adjoint;

    /// Each output row and column is a weighted sum of two input rows and columns: x (N,C,H,W) → y (N,C,oh,ow).
    fn resample2d(x: &TensorOf<Self>, taps: &[Vec<Tap>; 2]) -> TensorOf<Self> = resample::resample;
    /// The adjoint of `resample2d`: dy (N,C,oh,ow) → dx (N,C,H,W), where `hw` = [H, W].
    fn resample2d_adjoint(dy: &TensorOf<Self>, taps: &[Vec<Tap>; 2], hw: [usize; 2]) -> TensorOf<Self> = resample::adjoint;

    /// `y = x − max − ln Σ exp(x − max)` along an axis.
    fn log_softmax(x: &TensorOf<Self>, axis: usize) -> TensorOf<Self> = softmax::log_softmax;
    /// `dx = dy − exp(y) · Σ dy` along an axis, where y is the result of `log_softmax`.
    fn log_softmax_backward(dy: &TensorOf<Self>, y: &TensorOf<Self>, axis: usize) -> TensorOf<Self> = softmax::log_softmax_backward;
    /// The losses `ln Σ exp(x) − x[label]`; for the backward pass also max and `ln Σ exp(x − max)`: x (N,C,…), all others
    /// (N,…), labels in 0..C.
    fn cross_entropy(x: &TensorOf<Self>, labels: &Index) -> [TensorOf<Self>; 3] = softmax::cross_entropy;
    /// `dx = dy · (softmax(x) − onehot(label))`: x (N,C,…), all others (N,…).
    fn cross_entropy_backward(dy: &TensorOf<Self>, x: &TensorOf<Self>, labels: &Index, max: &TensorOf<Self>, ln: &TensorOf<Self>) -> TensorOf<Self> = softmax::cross_entropy_backward;

    /// The mean and the biased variance of each channel, each (C): x (N,C,…). The variance is the mean of (x − mean)².
    fn batch_norm_statistics(x: &TensorOf<Self>) -> (TensorOf<Self>, TensorOf<Self>) = batch_norm::statistics;
    /// `y = γ·(x − mean)·istd + β` with the statistics of x, then the epilogue: x, y (N,C,…), γ, β (C). Also returns the
    /// mean, the biased variance and istd = 1/√(var + ε), each (C).
    fn batch_norm(x: &TensorOf<Self>, gamma: &TensorOf<Self>, beta: &TensorOf<Self>, eps: f64, epilogue: Epilogue<'_, TensorOf<Self>>) -> (TensorOf<Self>, [TensorOf<Self>; 3]) = batch_norm::forward;
    /// `y = (x − mean) · scale + shift` per channel, then the epilogue: x (N,C,…), the others (C).
    fn batch_norm_apply(x: &TensorOf<Self>, mean: &TensorOf<Self>, scale: &TensorOf<Self>, shift: &TensorOf<Self>, epilogue: Epilogue<'_, TensorOf<Self>>) -> TensorOf<Self> = batch_norm::apply;
    /// The gradients (dx, dγ, dβ, dr) of `y = γ·x̂ + β`, `x̂ = (x − mean)·istd`, where mean and istd = 1/√(var + ε) are those of x:
    /// `dβ = Σ dz`, `dγ = Σ dz·x̂`, `dx = γ·istd · (dz − dβ/m − x̂·dγ/m)`, where m is the number of elements of a channel. `dz` is
    /// dy, or if y is given, as after relu, dy where y > 0 and else 0. `dr = dz` is returned if `residual` is set.
    fn batch_norm_backward(dy: &TensorOf<Self>, x: &TensorOf<Self>, mean: &TensorOf<Self>, istd: &TensorOf<Self>, gamma: &TensorOf<Self>, y: Option<&TensorOf<Self>>, residual: bool) -> BatchNormGradients<Self> = batch_norm::backward;
    /// `running = (1 − share)·running + share·new`, in place, for mean and variance, each (C); the new variance is first
    /// multiplied by `correction`.
    fn batch_norm_track(running_mean: &mut TensorOf<Self>, running_variance: &mut TensorOf<Self>, mean: &TensorOf<Self>, variance: &TensorOf<Self>, share: f64, correction: f64) = batch_norm::track;

    /// Uniform in [0, 1): element i is a pure function of the key and i (row-major).
    fn random_uniform(device: Device, key: Key, shape: Shape) -> TensorOf<Self> = random::uniform;
    /// Standard normal, by the Box–Muller transform of pairs of uniform numbers.
    fn random_normal(device: Device, key: Key, shape: Shape) -> TensorOf<Self> = random::normal;
    /// 0 with probability p, else 1/(1 − p): the mask of inverted dropout.
    fn dropout_mask(device: Device, key: Key, p: f64, shape: Shape) -> TensorOf<Self> = random::dropout_mask;

    /// The square root of the sum of the squares of all elements of all tensors: a scalar (). Finite unless an element or the
    /// result is not.
    fn norm(xs: &[&TensorOf<Self>]) -> TensorOf<f64> = clipping::norm;
    /// Multiplies all elements of all tensors, whose norm is given as a scalar (), by `max_norm / (norm + 1e-6)` if that is
    /// below 1 and the norm is finite.
    fn clip_to_norm(xs: Vec<&mut TensorOf<Self>>, norm: &TensorOf<f64>, max_norm: f64) = clipping::clip_to_norm;
    /// One step of stochastic gradient descent on each parameter, in place, in one pass. The scalar () becomes 1 if a new
    /// value is not finite.
    fn sgd_step(slots: Vec<SgdSlot<'_, Self>>, non_finite: &mut TensorOf<Self>) = optimizer::sgd_step;
    /// One step of Adam or AdamW on each parameter and its moments, in place, in one pass. The scalar () becomes 1 if a new
    /// value is not finite.
    fn adam_step(slots: Vec<AdamSlot<'_, Self>>, non_finite: &mut TensorOf<Self>) = optimizer::adam_step;
} } }
float_kernels!(declare);

pub(crate) use {byte_kernels, element_kernels, float_kernels};
