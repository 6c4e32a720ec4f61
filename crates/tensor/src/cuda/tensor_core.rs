//! Products and convolutions on the tensor cores: `kernels/cuda/tensor_core.cu`.
//!
//! They take images with their channels innermost, best of all in whole chunks of 16 bytes, and GPUs from capability 8.0
//! on; groups and what is very large is left to `kernels/cuda/product.cu`.

use std::sync::atomic::{AtomicU8, Ordering};

use chainrule_kernels::Family;

use super::bf16::{BF16, Stored};
use super::copy::in_format;
use super::images::Sizes;
use super::split_k::add_splits;
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::gpu::launch::{Argument, Grid};
use crate::gpu::{ChannelStats, Gpu};
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// TILE_M, TILE_N and TILE_THREADS of `gemm.cuh`.
const TILE: [usize; 2] = [128, 64];
const TILE_THREADS: u32 = 128;
/// The `f32` of a chunk of 16 bytes.
const CHUNK: usize = 4;
/// The most tiles side by side: what the second axis of a grid can count.
const MAX_COLUMNS: usize = 65535;
/// Sums so short that one more row of tiles costs little.
const FEW_PIXELS: usize = 1024;
/// Blocks that keep a large GPU busy, and the least steps that are worth a block.
const BUSY: usize = 256;
const MIN_STEPS: usize = 8;

/// How exactly a GPU computes products of `f32`; sums are `f32` always, as is everything that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Precision {
    /// As `f32`: on tensor cores each number is taken apart in two of 11 bits, and three products are added (3×TF32), nearly
    /// as exactly as products of `f32` are.
    #[default]
    Fp32 = 0,
    /// Operands are rounded to the 11 bits of TF32: three times fewer products, a relative error of 2⁻¹¹ for each.
    Tf32 = 1,
    /// Operands and results are bf16, 8 bits: activations and their gradients are stored so, in half the memory. Weights,
    /// their gradients, sums and statistics stay `f32`. Where numbers of channels are not multiples of 8, operands are TF32.
    Bf16 = 2,
}

static PRECISION: AtomicU8 = AtomicU8::new(Precision::Fp32 as u8);

/// Sets how exactly GPUs compute products of `f32` from now on, for the whole process.
pub fn set_precision(precision: Precision) {
    PRECISION.store(precision as u8, Ordering::Relaxed);
}

/// How exactly GPUs compute products of `f32`.
pub fn precision() -> Precision {
    match PRECISION.load(Ordering::Relaxed) {
        1 => Precision::Tf32,
        2 => Precision::Bf16,
        _ => Precision::Fp32,
    }
}

/// What operands are on the tensor cores: `Bf16`, `Tf32` and `Tf32x3` of `gemm.cuh`.
#[derive(Clone, Copy)]
enum Operands {
    Bf16,
    Tf32,
    Tf32x3,
}

/// A convolution and how it is computed.
pub(super) struct Plan {
    s: Sizes,
    operands: Operands,
    /// Whether channels are copied one by one, for they are not whole chunks.
    unaligned: bool,
    /// Whether results are stored as bf16 where they are whole chunks of it.
    bf16_results: bool,
}

impl Plan {
    /// Of a convolution, if the tensor cores of this GPU take it.
    pub(super) fn new<T: Float>(gpu: &Gpu, conv: &ConvGeometry) -> Option<Self> {
        let (x, w, y) = (conv.x(), conv.w(), conv.y());
        let (channels, outputs) = (x[1], w[0]);
        let whole = |chunk: usize| channels.is_multiple_of(chunk) && outputs.is_multiple_of(chunk);
        let fits = T::NAME == "f32"
            && gpu.about.capability >= Family::TensorCore.capability()
            && conv.options().groups == 1
            && channels.max(outputs) <= TILE[1] * MAX_COLUMNS
            && [x.numel(), w.numel(), y.numel()].iter().all(|&n| n > 0 && n < 1 << 30);
        let operands = match precision() {
            Precision::Fp32 => Operands::Tf32x3,
            Precision::Bf16 if whole(2 * CHUNK) => Operands::Bf16,
            Precision::Tf32 | Precision::Bf16 => Operands::Tf32,
        };
        let (unaligned, bf16_results) = (!whole(CHUNK), precision() == Precision::Bf16);
        fits.then(|| Self { s: Sizes::new(conv), operands, unaligned, bf16_results })
    }

    /// Of a · b, M rows, K terms and N columns, as a convolution of M images of one pixel with K channels.
    pub(super) fn of_product<T: Float>(gpu: &Gpu, [m, k, n]: [usize; 3]) -> Option<Self> {
        Self::new::<T>(gpu, &ConvGeometry::of_product([m, k, n]))
    }

    /// How operands are stored.
    fn stored<T: Float>(&self) -> Stored {
        match self.operands {
            Operands::Bf16 => BF16,
            Operands::Tf32 | Operands::Tf32x3 => Stored(T::NAME),
        }
    }

    /// The variant of the kernels that writes results as the operands are stored.
    fn kind(&self) -> &'static str {
        match (self.operands, self.unaligned) {
            (Operands::Bf16, _) => "bf16",
            (Operands::Tf32, false) => "tf32",
            (Operands::Tf32, true) => "tf32_unaligned",
            (Operands::Tf32x3, false) => "tf32x3",
            (Operands::Tf32x3, true) => "tf32x3_unaligned",
        }
    }

    /// How a result with so many channels is stored, and the variant that writes it: as bf16 in whole chunks, which the
    /// next convolution may take, whatever this one's operands are.
    fn result<T: Float>(&self, channels: usize) -> (Stored, &'static str) {
        match (self.operands, self.unaligned) {
            (Operands::Tf32, unaligned) if self.bf16_results && channels.is_multiple_of(2 * CHUNK) => {
                (BF16, if unaligned { "tf32_unaligned_to_bf16" } else { "tf32_to_bf16" })
            }
            _ => (self.stored::<T>(), self.kind()),
        }
    }

    /// The blocks for a result of m × n, of which each element is a sum of so many terms: by shapes alone, so that the sums
    /// are always the same.
    fn grid(&self, m: usize, n: usize, terms: usize) -> Grid {
        let [rows, columns] = [m.div_ceil(TILE[0]), n.div_ceil(TILE[1])];
        let steps = terms.div_ceil(if matches!(self.operands, Operands::Bf16) { 32 } else { 16 });
        let wanted = (BUSY / (rows * columns)).min(steps / MIN_STEPS).max(1);
        // No split is left without a step.
        let splits = steps.div_ceil(steps.div_ceil(wanted));
        Grid { blocks: [rows as u32, columns as u32, splits as u32], threads: TILE_THREADS }
    }

    /// A result with so many channels, for the kernels to write.
    pub(super) fn tensor<T: Float>(&self, gpu: &'static Gpu, channels: usize, layout: Layout) -> TensorOf<T> {
        self.result::<T>(channels).0.tensor(gpu, layout)
    }

    fn pixels(&self) -> [usize; 2] {
        [self.s.hw, self.s.out].map(|[rows, columns]| (self.s.n * rows * columns) as usize)
    }

    /// x with its channels innermost, as the kernels read it.
    pub(super) fn images<T: Float>(&self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        in_format(gpu, x, self.stored::<T>(), MemoryFormat::ChannelsLast.layout(x.shape()), !self.unaligned)
    }

    /// A matrix with its rows one behind the other, as the kernels read it.
    pub(super) fn rows<T: Float>(&self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        in_format(gpu, x, self.stored::<T>(), Layout::contiguous(x.shape()), !self.unaligned)
    }
}

/// Room for partial results of so many elements, if sums are split.
fn partial<T: Float>(gpu: &'static Gpu, numel: usize, grid: &Grid) -> Option<TensorOf<T>> {
    let splits = grid.blocks[2] as usize;
    (splits > 1).then(|| gpu.tensor(Layout::contiguous(Shape::from([splits, numel]))))
}

/// Launches one of the kernels.
///
/// # Safety
/// As for [`Gpu::launch`].
unsafe fn launch<const N: usize>(
    gpu: &Gpu,
    kernel: (&'static str, &'static str),
    grid: Grid,
    arguments: [&dyn Argument; N],
) {
    // SAFETY: promised by the caller.
    unsafe { gpu.launch(Family::TensorCore, kernel, grid, arguments) }
}

/// y = x ∗ w + b; all as the kernel wants them. If wanted, the statistics of y's channels are attached to it, unless sums are
/// split: only a kernel that makes whole sums can give them.
pub(super) fn forward<T: Float>(
    gpu: &'static Gpu,
    y: &mut TensorOf<T>,
    [x, w]: [&TensorOf<T>; 2],
    bias: Option<&TensorOf<T>>,
    plan: &Plan,
    stats: bool,
) {
    let s = &plan.s;
    let grid = plan.grid(plan.pixels()[1], s.o as usize, (s.kernel[0] * s.kernel[1] * s.c) as usize);
    let partial = partial(gpu, y.numel(), &grid);
    let stats = (stats && partial.is_none())
        .then(|| ChannelStats::new::<T>(gpu, *y.layout(), grid.blocks[0] as usize, TILE[0]));
    let bias = bias.map(TensorOf::contiguous);
    let (stored, kind) = plan.result::<T>(s.o as usize);
    let (to, [from, weight]) = (stored.address(y), [x, w].map(|x| plan.stored::<T>().address(x)));
    let bias = bias.as_ref().map_or(0, address);
    let to_partial = partial.as_ref().map_or(0, address);
    let to_stats = stats.as_ref().map_or(0, ChannelStats::address);
    // SAFETY: x, w and y are those of the convolution, without gaps; the grid covers y, and there is a partial result for
    // each split, two sums of each channel for each tile.
    unsafe {
        let arguments: [&dyn Argument; 7] = [&to, &to_partial, &to_stats, &from, &weight, &bias, s];
        launch(gpu, ("conv_forward", kind), grid, arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, y, None, &partial, (bias, 1, s.o as usize));
    }
    if let Some(stats) = stats {
        y.cuda_buffer_mut().attach(stats);
    }
}

/// dx from dy and w; all as the kernel wants them.
pub(super) fn input_gradient<T: Float>(gpu: &'static Gpu, dx: &TensorOf<T>, [dy, w]: [&TensorOf<T>; 2], plan: &Plan) {
    let s = &plan.s;
    let grid = plan.grid(plan.pixels()[0], s.c as usize, (s.kernel[0] * s.kernel[1] * s.o) as usize);
    let partial = partial(gpu, dx.numel(), &grid);
    let (stored, kind) = plan.result::<T>(s.c as usize);
    let (to, [from, weight]) = (stored.address(dx), [dy, w].map(|x| plan.stored::<T>().address(x)));
    let to_partial = partial.as_ref().map_or(0, address);
    // SAFETY: dy, w and dx are those of the convolution, without gaps; the grid covers dx, and there is a partial result
    // for each split.
    unsafe { launch(gpu, ("conv_input_gradient", kind), grid, [&to, &to_partial, &from, &weight, s]) };
    if let Some(partial) = partial {
        add_splits(gpu, dx, None, &partial, (0, 0, 1));
    }
}

/// dw from dy and x; all as the kernel wants them. If wanted, also the sum of each channel of dy, rounded as a factor, where
/// it can be had along the way.
pub(super) fn weight_gradient<T: Float>(
    gpu: &'static Gpu,
    dw: &TensorOf<T>,
    [dy, x]: [&TensorOf<T>; 2],
    plan: &Plan,
    sums: bool,
) -> Option<TensorOf<T>> {
    let s = &plan.s;
    let (length, outputs) = ((s.kernel[0] * s.kernel[1] * s.c) as usize, s.o as usize);
    // As one more row. Where that takes one more row of tiles, and long sums, a kernel of their own is sooner done.
    let fits = !length.is_multiple_of(TILE[0]) || plan.pixels()[1] <= FEW_PIXELS;
    let sums = (sums && fits).then(|| gpu.tensor(Layout::contiguous(Shape::from(outputs))));
    let grid = plan.grid(length + usize::from(sums.is_some()), outputs, plan.pixels()[1]);
    let numel = dw.numel() + sums.as_ref().map_or(0, TensorOf::numel);
    let partial: Option<TensorOf<T>> = partial(gpu, numel, &grid);
    let (to, to_sums, apart) = match &partial {
        Some(partial) => (address(partial), address(partial) + (dw.numel() * size_of::<T>()) as u64, numel as i64),
        None => (address(dw), sums.as_ref().map_or(0, address), 0),
    };
    let ones = if sums.is_some() { gpu.step_block.ones(plan.stored::<T>() == BF16) } else { 0 };
    let [from_dy, from_x] = [dy, x].map(|x| plan.stored::<T>().address(x));
    // SAFETY: dy, x and dw are those of the convolution, without gaps; the grid covers dw and the sums, and there is a
    // partial result for each split.
    unsafe {
        let arguments: [&dyn Argument; 7] = [&to, &to_sums, &apart, &from_dy, &from_x, &ones, s];
        launch(gpu, ("conv_weight_gradient", plan.kind()), grid, arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, dw, sums.as_ref(), &partial, (0, 0, 1));
    }
    sums
}
