//! Products and convolutions on the tensor cores: `kernels/cuda/tensor_core.cuh`.
//!
//! They read channels-last images, fastest if the channels are whole chunks of 16 bytes, and need compute capability 8.0.
//! Grouped convolutions and very large tensors fall back to `kernels/cuda/product.cu`.

use std::sync::atomic::{AtomicU8, Ordering};

use chainrule_kernels::Family;

use super::bf16::{BF16, Stored};
use super::copy::in_format;
use super::images::Sizes;
use super::phases::Phases;
use super::split_k::add_splits;
use super::tile::{Extent, NARROW, TALL, Tile, WIDE};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::gpu::launch::{Argument, Grid};
use crate::gpu::{ChannelStats, Gpu};
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// The number of `f32` in a chunk of 16 bytes.
const CHUNK: usize = 4;
/// The rows of every tile of the weight gradient.
const ROWS: usize = NARROW.rows;
/// The maximum length of sums for which an additional row of tiles is cheap.
const FEW_PIXELS: usize = 1024;
/// Shared memory of a multiprocessor for two blocks with large tiles, their epilogues' 3 KiB and the 1 KiB that each reserves.
const TWO_LARGE: usize = 2 * (WIDE.shared() + (4 << 10));

/// The precision of a GPU's products of `f32`. Sums are always accumulated in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Precision {
    /// `f32`: on tensor cores each operand is split into two TF32 values of 11 bits, and three products are added (3×TF32),
    /// which is nearly as accurate as a product of `f32`.
    #[default]
    Fp32 = 0,
    /// Operands are rounded to the 11 bits of TF32: a third of the products, a relative error of 2⁻¹¹ per operand.
    Tf32 = 1,
    /// Operands and results are bf16, with 8 bits: activations and their gradients are stored in half the memory. Weights,
    /// their gradients, sums and statistics stay `f32`. If a number of channels is not a multiple of 8, operands are TF32.
    Bf16 = 2,
}

static PRECISION: AtomicU8 = AtomicU8::new(Precision::Fp32 as u8);

/// Sets the precision of GPU products of `f32` for the whole process.
pub fn set_precision(precision: Precision) {
    PRECISION.store(precision as u8, Ordering::Relaxed);
}

/// The precision of GPU products of `f32`.
pub fn precision() -> Precision {
    match PRECISION.load(Ordering::Relaxed) {
        1 => Precision::Tf32,
        2 => Precision::Bf16,
        _ => Precision::Fp32,
    }
}

/// The operand type on the tensor cores: `Bf16`, `Tf32` and `Tf32x3` of `gemm.cuh`.
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
    /// Whether channels are copied one by one because they are not whole chunks.
    unaligned: bool,
    /// Whether results are stored as bf16 if their channels are whole chunks of bf16.
    bf16_results: bool,
    /// Whether the GPU has room for large tiles.
    roomy: bool,
}

impl Plan {
    /// The plan of a convolution; `None` if the tensor cores of this GPU do not support it.
    pub(super) fn new<T: Float>(gpu: &Gpu, conv: &ConvGeometry) -> Option<Self> {
        let (x, w, y) = (conv.x(), conv.w(), conv.y());
        let (channels, outputs) = (x[1], w[0]);
        let whole = |chunk: usize| channels.is_multiple_of(chunk) && outputs.is_multiple_of(chunk);
        let fits = T::NAME == "f32"
            && gpu.about.capability >= Family::TensorCoreTf32.capability()
            && conv.options().groups == 1
            && [x.numel(), w.numel(), y.numel()].iter().all(|&n| n > 0 && n < 1 << 30);
        let operands = match precision() {
            Precision::Fp32 => Operands::Tf32x3,
            Precision::Bf16 if whole(2 * CHUNK) => Operands::Bf16,
            Precision::Tf32 | Precision::Bf16 => Operands::Tf32,
        };
        let (unaligned, bf16_results) = (!whole(CHUNK), precision() == Precision::Bf16);
        let roomy = gpu.about.shared_memory >= TWO_LARGE;
        fits.then(|| Self { s: Sizes::new(conv), operands, unaligned, bf16_results, roomy })
    }

    /// The plan of a product (M,K) · (K,N), as a convolution of M images of one pixel with K channels.
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

    fn family(&self) -> Family {
        match self.operands {
            Operands::Bf16 => Family::TensorCoreBf16,
            Operands::Tf32 => Family::TensorCoreTf32,
            Operands::Tf32x3 => Family::TensorCoreTf32x3,
        }
    }

    /// The storage of a result with `channels` channels: bf16 if they are whole chunks, for the next convolution, even if the
    /// operands of this one are TF32.
    fn result<T: Float>(&self, channels: usize) -> Stored {
        let narrows = matches!(self.operands, Operands::Tf32) && self.bf16_results;
        if narrows && channels.is_multiple_of(2 * CHUNK) { BF16 } else { self.stored::<T>() }
    }

    /// How results of m × n elements, stored like this, are computed, each element a sum of `terms` terms; `has_tall` tells
    /// whether there is a variant with tall tiles.
    fn launch(&self, stored: Stored, has_tall: bool, results: usize, size: [usize; 2], terms: usize) -> Launch {
        let bytes = if matches!(self.operands, Operands::Bf16) { 2 } else { 4 };
        let extent = Extent { results, size, terms, bytes };
        // The kernels that split their operands have no registers left for a larger tile, and the others are for small layers.
        let has_large = match self.operands {
            Operands::Bf16 => true,
            Operands::Tf32 => !self.unaligned && stored != BF16,
            Operands::Tf32x3 => false,
        };
        let tile = if has_large && self.roomy { Tile::of(&extent, has_tall) } else { NARROW };
        let kind = match (self.operands, self.unaligned, stored == BF16) {
            (Operands::Bf16, ..) if tile == WIDE => "bf16_wide",
            (Operands::Bf16, ..) if tile == TALL => "bf16_tall",
            (Operands::Bf16, ..) => "bf16",
            (Operands::Tf32, ..) if tile == WIDE => "tf32_wide",
            (Operands::Tf32, ..) if tile == TALL => "tf32_tall",
            (Operands::Tf32, false, false) => "tf32",
            (Operands::Tf32, false, true) => "tf32_to_bf16",
            (Operands::Tf32, true, false) => "tf32_unaligned",
            (Operands::Tf32, true, true) => "tf32_unaligned_to_bf16",
            (Operands::Tf32x3, false, _) => "tf32x3",
            (Operands::Tf32x3, true, _) => "tf32x3_unaligned",
        };
        Launch { kind, tile, grid: tile.grid(&extent) }
    }

    /// An uninitialized result with `channels` channels, for the kernels to write.
    pub(super) fn tensor<T: Float>(&self, gpu: &'static Gpu, channels: usize, layout: Layout) -> TensorOf<T> {
        self.result::<T>(channels).tensor(gpu, layout)
    }

    fn pixels(&self) -> [usize; 2] {
        [self.s.hw, self.s.out].map(|[rows, columns]| (self.s.n * rows * columns) as usize)
    }

    /// x in channels-last format, as the kernels read it.
    pub(super) fn images<T: Float>(&self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        in_format(gpu, x, self.stored::<T>(), MemoryFormat::ChannelsLast.layout(x.shape()), !self.unaligned)
    }

    /// A row-major matrix, as the kernels read it.
    pub(super) fn rows<T: Float>(&self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        in_format(gpu, x, self.stored::<T>(), Layout::contiguous(x.shape()), !self.unaligned)
    }
}

/// A kernel variant, its tile and its grid.
struct Launch {
    kind: &'static str,
    tile: Tile,
    grid: Grid,
}

impl Launch {
    /// The workspace for partial results of `numel` elements each, if the grid uses split-K.
    fn partial<T: Float>(&self, gpu: &'static Gpu, numel: usize) -> Option<TensorOf<T>> {
        let splits = self.grid.blocks[1] as usize;
        (splits > 1).then(|| gpu.tensor(Layout::contiguous(Shape::from([splits, numel]))))
    }
}

/// y = x ∗ w + b; all in the formats of the plan. If requested, y's channel statistics are attached to it, except with
/// split-K, where no block has complete sums.
pub(super) fn forward<T: Float>(
    gpu: &'static Gpu,
    y: &mut TensorOf<T>,
    [x, w]: [&TensorOf<T>; 2],
    bias: Option<&TensorOf<T>>,
    plan: &Plan,
    stats: bool,
) {
    let s = &plan.s;
    let (pixels, stored) = (plan.pixels()[1], plan.result::<T>(s.o as usize));
    let launch = plan.launch(stored, true, 1, [pixels, s.o as usize], (s.kernel[0] * s.kernel[1] * s.c) as usize);
    let partial = launch.partial(gpu, y.numel());
    let rows = launch.tile.rows;
    let stats =
        (stats && partial.is_none()).then(|| ChannelStats::new::<T>(gpu, *y.layout(), pixels.div_ceil(rows), rows));
    let bias = bias.map(TensorOf::contiguous);
    let (to, [from, weight]) = (stored.address(y), [x, w].map(|x| plan.stored::<T>().address(x)));
    let bias = bias.as_ref().map_or(0, address);
    let to_partial = partial.as_ref().map_or(0, address);
    let to_stats = stats.as_ref().map_or(0, ChannelStats::address);
    // SAFETY: x, w and y are dense and have the convolution's shapes; the grid covers y; there is a partial result for each
    // split, and two sums per channel for each tile.
    unsafe {
        let arguments: [&dyn Argument; 7] = [&to, &to_partial, &to_stats, &from, &weight, &bias, s];
        gpu.launch(plan.family(), ("conv_forward", launch.kind), launch.grid, arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, y, None, &partial, (bias, 1, s.o as usize));
    }
    if let Some(stats) = stats {
        y.cuda_buffer_mut().attach(stats);
    }
}

/// dx from dy and w; all in the formats of the plan.
pub(super) fn input_gradient<T: Float>(gpu: &'static Gpu, dx: &TensorOf<T>, [dy, w]: [&TensorOf<T>; 2], plan: &Plan) {
    let s = &plan.s;
    let stored = plan.result::<T>(s.c as usize);
    let phases = Phases::new(s);
    let launch = plan.launch(stored, true, phases.count(), [Phases::pixels(s), s.c as usize], phases.terms(s));
    let partial = launch.partial(gpu, dx.numel());
    let (to, [from, weight]) = (stored.address(dx), [dy, w].map(|x| plan.stored::<T>().address(x)));
    let to_partial = partial.as_ref().map_or(0, address);
    // SAFETY: dy, w and dx are dense and have the convolution's shapes; the grid covers dx; there is a partial result for
    // each split.
    unsafe {
        let arguments: [&dyn Argument; 6] = [&to, &to_partial, &from, &weight, s, &phases];
        gpu.launch(plan.family(), ("conv_input_gradient", launch.kind), launch.grid, arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, dx, None, &partial, (0, 0, 1));
    }
}

/// dw from dy and x; all in the formats of the plan. If requested and a by-product, also the sum of each channel of dy,
/// rounded as the operands are.
pub(super) fn weight_gradient<T: Float>(
    gpu: &'static Gpu,
    dw: &TensorOf<T>,
    [dy, x]: [&TensorOf<T>; 2],
    plan: &Plan,
    sums: bool,
) -> Option<TensorOf<T>> {
    let s = &plan.s;
    let (length, outputs) = ((s.kernel[0] * s.kernel[1] * s.c) as usize, s.o as usize);
    // The sums are an additional row of the result. If that needs another row of tiles and the sums are long, a separate
    // kernel is faster.
    let fits = !length.is_multiple_of(ROWS) || plan.pixels()[1] <= FEW_PIXELS;
    let sums = (sums && fits).then(|| gpu.tensor(Layout::contiguous(Shape::from(outputs))));
    let rows = length + usize::from(sums.is_some());
    let launch = plan.launch(Stored(T::NAME), false, 1, [rows, outputs], plan.pixels()[1]);
    let numel = dw.numel() + sums.as_ref().map_or(0, TensorOf::numel);
    let partial: Option<TensorOf<T>> = launch.partial(gpu, numel);
    let (to, to_sums, apart) = match &partial {
        Some(partial) => (address(partial), address(partial) + (dw.numel() * size_of::<T>()) as u64, numel as i64),
        None => (address(dw), sums.as_ref().map_or(0, address), 0),
    };
    let ones = if sums.is_some() { gpu.step_block.ones(plan.stored::<T>() == BF16) } else { 0 };
    let [from_dy, from_x] = [dy, x].map(|x| plan.stored::<T>().address(x));
    // SAFETY: dy, x and dw are dense and have the convolution's shapes; the grid covers dw and the sums; there is a partial
    // result for each split.
    unsafe {
        let arguments: [&dyn Argument; 7] = [&to, &to_sums, &apart, &from_dy, &from_x, &ones, s];
        gpu.launch(plan.family(), ("conv_weight_gradient", launch.kind), launch.grid, arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, dw, sums.as_ref(), &partial, (0, 0, 1));
    }
    sums
}
