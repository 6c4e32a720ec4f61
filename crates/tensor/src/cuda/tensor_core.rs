//! Products and convolutions on the tensor cores: `kernels/cuda/tensor_core.cu`.
//!
//! They take whole chunks of four channels, images with their channels innermost, and GPUs from capability 8.0 on; what
//! does not fit is left to `kernels/cuda/product.cu`.

use std::sync::atomic::{AtomicU8, Ordering};

use chainrule_kernels::Family;

use super::Gpu;
use super::launch::{Argument, Grid, THREADS};
use super::walk::{address, checked};
use crate::element::Float;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

/// TILE_M, TILE_N and TILE_THREADS of `gemm.cuh`, and how many terms of a sum are one step.
const TILE: [usize; 2] = [128, 64];
const TILE_THREADS: u32 = 128;
const TERMS: usize = 16;
/// Channels come in chunks of 16 bytes.
const CHUNK: usize = 4;
/// Blocks that keep a large GPU busy, and the least steps that are worth a block.
const BUSY: usize = 256;
const LEAST_STEPS: usize = 16;

/// How exactly a GPU computes products of `f32`; sums are `f32` always, as is everything that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Precision {
    /// As `f32`: on tensor cores each number is taken apart in two of 11 bits, and three products are added (3×TF32), with
    /// an error of a few units in the last place of `f32`.
    #[default]
    Fp32 = 0,
    /// Factors are rounded to the 11 bits of TF32: three times fewer products, a relative error of 2⁻¹¹ for each.
    Tf32 = 1,
}

static PRECISION: AtomicU8 = AtomicU8::new(Precision::Fp32 as u8);

/// Sets how exactly GPUs compute products of `f32` from now on, for the whole process.
pub fn set_precision(precision: Precision) {
    PRECISION.store(precision as u8, Ordering::Relaxed);
}

/// How exactly GPUs compute products of `f32`.
pub fn precision() -> Precision {
    if PRECISION.load(Ordering::Relaxed) == Precision::Tf32 as u8 { Precision::Tf32 } else { Precision::Fp32 }
}

/// A kernel's variant.
fn mode() -> &'static str {
    match precision() {
        Precision::Fp32 => "tf32x3",
        Precision::Tf32 => "tf32",
    }
}

/// `Convolution` of `convolution.cuh`.
#[repr(C)]
pub(super) struct Convolution {
    n: i32,
    hw: [i32; 2],
    c: i32,
    o: i32,
    kernel: [i32; 2],
    out: [i32; 2],
    stride: [i32; 2],
    padding: [i32; 2],
    dilation: [i32; 2],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Convolution {}

impl Convolution {
    /// Of x (N,C,H,W) with w (O,C,kh,kw) to images of oh × ow, if the tensor cores of this GPU take it.
    pub(super) fn new<T: Float>(
        gpu: &Gpu,
        x: Shape,
        w: Shape,
        out: [usize; 2],
        options: Conv2dOptions,
    ) -> Option<Self> {
        let (channels, outputs) = (x[1], w[0]);
        let fits = T::NAME == "f32"
            && gpu.about.capability >= Family::TensorCore.capability()
            && options.groups == 1
            && channels.is_multiple_of(CHUNK)
            && outputs.is_multiple_of(CHUNK)
            && [x.numel(), w.numel(), x[0] * outputs * out[0] * out[1]].iter().all(|&n| n > 0 && n < 1 << 30);
        let pair = |of: [usize; 2]| of.map(|n| n as i32);
        fits.then(|| Self {
            n: x[0] as i32,
            hw: pair([x[2], x[3]]),
            c: channels as i32,
            o: outputs as i32,
            kernel: pair([w[2], w[3]]),
            out: pair(out),
            stride: pair(options.stride),
            padding: pair(options.padding),
            dilation: pair(options.dilation),
        })
    }

    /// Of a · b, M rows, K terms and N columns, as a convolution of M images of one pixel with K channels.
    pub(super) fn of_product<T: Float>(gpu: &Gpu, [m, k, n]: [usize; 3]) -> Option<Self> {
        Self::new::<T>(gpu, Shape::from([m, k, 1, 1]), Shape::from([n, k, 1, 1]), [1, 1], Conv2dOptions::default())
    }

    fn pixels(&self) -> [usize; 2] {
        [self.hw, self.out].map(|[rows, columns]| (self.n * rows * columns) as usize)
    }
}

fn tiles(m: usize, n: usize, splits: usize) -> Grid {
    Grid { blocks: [m.div_ceil(TILE[0]) as u32, n.div_ceil(TILE[1]) as u32, splits as u32], threads: TILE_THREADS }
}

/// Where an operand begins that has its elements in the order of `layout`, copied if they lie otherwise or begin where no
/// chunk does; the tensor keeps the copy alive for as long as its address is used.
fn aligned<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, layout: &Layout) -> TensorOf<T> {
    let same = (0..x.rank()).all(|a| x.shape()[a] == 1 || x.layout().strides()[a] == layout.strides()[a]);
    if same && address(x).is_multiple_of(16) {
        return x.clone();
    }
    let mut own = gpu.tensor(*layout);
    T::copy(&mut own, x);
    own
}

/// Channels innermost.
pub(super) fn channels_last(shape: Shape) -> Layout {
    Layout::dense(shape, &[0, 2, 3, 1])
}

/// x with its channels innermost.
pub(super) fn images<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
    aligned(gpu, x, &channels_last(x.shape()))
}

/// A matrix with its rows one behind the other.
pub(super) fn rows<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
    aligned(gpu, x, &Layout::contiguous(x.shape()))
}

/// y = x ∗ w + b; all as the kernel wants them.
pub(super) fn forward<T: Float>(
    gpu: &'static Gpu,
    y: &TensorOf<T>,
    [x, w]: [&TensorOf<T>; 2],
    bias: Option<&TensorOf<T>>,
    s: &Convolution,
) {
    let bias = bias.map(TensorOf::contiguous);
    let (to, from, weight, bias) = (address(y), address(x), address(w), bias.as_ref().map_or(0, address));
    let grid = tiles(s.pixels()[1], s.o as usize, 1);
    // SAFETY: x, w and y are those of the convolution, without gaps, and the grid covers y.
    unsafe { gpu.launch(Family::TensorCore, ("conv_forward", mode()), grid, [&to, &from, &weight, &bias, s, &0i32]) }
}

/// dx from dy and w; all as the kernel wants them.
pub(super) fn input_gradient<T: Float>(
    gpu: &'static Gpu,
    dx: &TensorOf<T>,
    [dy, w]: [&TensorOf<T>; 2],
    s: &Convolution,
) {
    let (to, from, weight) = (address(dx), address(dy), address(w));
    let grid = tiles(s.pixels()[0], s.c as usize, 1);
    // SAFETY: dy, w and dx are those of the convolution, without gaps, and the grid covers dx.
    unsafe { gpu.launch(Family::TensorCore, ("conv_input_gradient", mode()), grid, [&to, &from, &weight, s]) }
}

/// dw from dy and x; all as the kernel wants them.
pub(super) fn weight_gradient<T: Float>(
    gpu: &'static Gpu,
    dw: &TensorOf<T>,
    [dy, x]: [&TensorOf<T>; 2],
    s: &Convolution,
) {
    let columns = (s.kernel[0] * s.kernel[1] * s.c) as usize;
    let one = tiles(columns, s.o as usize, 1);
    let (blocks, steps) = ((one.blocks[0] * one.blocks[1]) as usize, s.pixels()[1].div_ceil(TERMS));
    // By shapes alone, so that the sum is always the same.
    let splits = (BUSY / blocks).min(steps / LEAST_STEPS).max(1);
    let partial = (splits > 1).then(|| gpu.tensor::<T>(Layout::contiguous(Shape::from([splits, dw.numel()]))));
    let to = address(partial.as_ref().unwrap_or(dw));
    let (from_dy, from_x, count, numel) = (address(dy), address(x), splits as i32, checked(dw.numel()));
    // SAFETY: dy, x and dw are those of the convolution, without gaps; there is a partial result for each split.
    unsafe {
        let grid = Grid { blocks: [one.blocks[0], one.blocks[1], splits as u32], ..one };
        gpu.launch(Family::TensorCore, ("conv_weight_gradient", mode()), grid, [&to, &from_dy, &from_x, s, &count]);
        if let Some(partial) = &partial {
            let grid = Grid { threads: THREADS, ..Grid::elements(dw.numel()) };
            let arguments: [&dyn Argument; 4] = [&address(dw), &address(partial), &numel, &count];
            gpu.launch(Family::TensorCore, ("conv_add_splits", "f32"), grid, arguments);
        }
    }
}
