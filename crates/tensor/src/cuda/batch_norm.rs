//! Batch normalization: `kernels/cuda/batch_norm.cu`.

use chainrule_kernels::Family;

use super::bf16::{BF16, Stored};
use super::copy::in_format;
use crate::element::Float;
use crate::gpu::launch::{Argument, Grid, THREADS, checked};
use crate::gpu::{ChannelStats, Gpu};
use crate::kernel::{BatchNormGradients, Epilogue};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// The maximum number of adjacent threads that read different channels of one pixel.
const WIDEST: usize = 32;
/// The minimum number of elements of a channel that a block sums: the rows of a convolution's tile.
const STRETCH: usize = 128;
/// Target number of blocks for sums: a few per multiprocessor of a large GPU.
const BLOCKS: usize = 1024;
/// Channels per block of the `finish_*` kernels: FINISHED of the kernels.
const FINISHED: usize = 8;

/// `Channels` of the kernels: dense x is outer × channels × inner.
#[repr(C)]
#[derive(Clone, Copy)]
struct Channels {
    outer: u32,
    channels: u32,
    inner: u32,
    /// The number of adjacent threads that read different channels of one pixel, a power of two.
    apart: u32,
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Channels {}

/// The variants in which a thread processes several channels at once: storage, channels per 16 bytes, kernel variant.
const PACKS: [(Stored, usize, &str); 2] = [(Stored("f32"), 4, "f32x4"), (BF16, 8, "bf16x8")];

/// x in one of the two memory formats that the kernels support.
struct Format {
    layout: Layout,
    /// How x and all tensors of its shape are stored.
    stored: Stored,
    channels: Channels,
    /// The elements of a channel.
    count: usize,
    /// Adjacent channels that a thread processes at once.
    pack: usize,
    /// The variant of the kernels.
    kind: &'static str,
    /// The number of blocks that cover all channels.
    groups: usize,
    /// The elements of a channel that a block sums.
    stretch: usize,
}

impl Format {
    /// The format nearest to that of x (N,C,…): channels innermost, or row-major.
    fn of<T: Float>(x: &TensorOf<T>) -> Self {
        let layout = x.layout();
        let shape = layout.shape();
        checked(shape.numel());
        let (channels, stored) = (shape[1], Stored::like(x));
        let inner: usize = shape[2..].iter().product();
        let innermost = channels > 1 && (layout.strides()[1] == 1 || inner == 1);
        let order: Vec<usize> = if innermost {
            std::iter::once(0).chain(2..shape.rank()).chain([1]).collect()
        } else {
            (0..shape.rank()).collect()
        };
        let (outer, inner) = if innermost { (shape[0] * inner, 1) } else { (shape[0], inner) };
        let fitting = PACKS.iter().find(|&&(of, pack, _)| innermost && of == stored && channels.is_multiple_of(pack));
        let (pack, kind) = fitting.map_or((1, stored.0), |&(_, pack, kind)| (pack, kind));
        let packs = channels / pack;
        let apart = if innermost { packs.next_power_of_two().min(WIDEST) } else { 1 };
        let (count, groups) = (outer * inner, packs.div_ceil(apart).max(1));
        Self {
            layout: Layout::dense(shape, &order),
            stored,
            channels: Channels {
                outer: outer as u32,
                channels: channels as u32,
                inner: inner as u32,
                apart: apart as u32,
            },
            count,
            pack,
            kind,
            groups,
            // A function of the shape alone, so that the order of summation is fixed.
            stretch: STRETCH.max(count.div_ceil((BLOCKS / groups).max(1))),
        }
    }

    /// The elements of a tensor of x's shape in this format.
    fn read<T: Float>(&self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        in_format(gpu, &gpu.operand(x), self.stored, self.layout, self.pack > 1)
    }

    fn stretches(&self) -> usize {
        self.count.div_ceil(self.stretch)
    }

    /// The grid for sums over stretches of channels.
    fn sums(&self) -> Grid {
        self.groups_by(self.stretches())
    }

    /// The grid for elementwise kernels.
    fn elements(&self) -> Grid {
        let rows = THREADS as usize / self.channels.apart as usize;
        let most = (4 * BLOCKS / self.groups).max(1);
        self.groups_by(self.count.div_ceil(rows).min(most))
    }

    /// Groups of channels are the first axis of the grid, because the second is limited to 65535 blocks.
    fn groups_by(&self, shares: usize) -> Grid {
        Grid { blocks: [self.groups as u32, shares as u32, 1], threads: THREADS, shared: 0 }
    }

    /// The grid for combining the partial sums of each channel's stretches.
    fn finish(&self) -> Grid {
        Grid::blocks((self.channels.channels as usize).div_ceil(FINISHED))
    }

    /// A workspace for two sums per stretch of each channel.
    fn partial<T: Float>(&self, gpu: &'static Gpu) -> TensorOf<T> {
        gpu.tensor(Layout::contiguous(Shape::from([2, self.stretches(), self.channels.channels as usize])))
    }

    /// One number for each channel.
    fn row<T: Float>(&self, gpu: &'static Gpu) -> TensorOf<T> {
        gpu.tensor(Layout::contiguous(Shape::from(self.channels.channels as usize)))
    }

    /// The partial sums over the channels of x, which is in this format.
    fn channel_stats<T: Float>(&self, gpu: &'static Gpu, x: &TensorOf<T>) -> ChannelStats {
        let stats = ChannelStats::new::<T>(gpu, self.layout, self.stretches(), self.stretch);
        let (to, from, length) = (stats.address(), self.stored.address(x), self.stretch as u32);
        // SAFETY: x is in this format, and the workspace has two elements for each stretch of each channel.
        unsafe { launch(gpu, ("sum_moments", self.kind), self.sums(), [&to, &from, &self.channels, &length]) };
        stats
    }

    /// The mean of each channel, its biased variance, and 1/√(variance + eps).
    fn statistics<T: Float>(&self, gpu: &'static Gpu, stats: &ChannelStats, eps: f64) -> [TensorOf<T>; 3] {
        let statistics = [self.row(gpu), self.row(gpu), self.row(gpu)];
        let [mean, variance, istd] = statistics.each_ref().map(address);
        let (length, stretches, sums) = (stats.length as u32, stats.stretches as u32, stats.address());
        let arguments: [&dyn Argument; 8] = [&mean, &variance, &istd, &sums, &length, &stretches, &self.channels, &eps];
        // SAFETY: there are two sums for each of the stretches of a channel; the others have one element per channel.
        unsafe { launch(gpu, ("finish_moments", T::NAME), self.finish(), arguments) };
        statistics
    }
}

/// # Safety
/// As for [`Gpu::launch`].
unsafe fn launch<const N: usize>(
    gpu: &Gpu,
    kernel: (&'static str, &'static str),
    grid: Grid,
    arguments: [&dyn Argument; N],
) {
    // SAFETY: promised by the caller.
    unsafe { gpu.launch(Family::BatchNorm, kernel, grid, arguments) }
}

pub(crate) fn statistics<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>) -> (TensorOf<T>, TensorOf<T>) {
    let format = Format::of(x);
    let stats = format.channel_stats(gpu, &format.read(gpu, x));
    let [mean, variance, _] = format.statistics(gpu, &stats, 0.0);
    (mean, variance)
}

pub(crate) fn forward<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    gamma: &TensorOf<T>,
    beta: &TensorOf<T>,
    eps: f64,
    epilogue: Epilogue<'_, TensorOf<T>>,
) -> (TensorOf<T>, [TensorOf<T>; 3]) {
    let format = Format::of(x);
    let found = x.cuda_buffer().channel_stats(x.layout());
    let x = format.read(gpu, x);
    let statistics = match found {
        Some(stats) => format.statistics(gpu, stats, eps),
        None => format.statistics(gpu, &format.channel_stats(gpu, &x), eps),
    };
    let y = format.apply(gpu, &x, [&statistics[0], gamma, beta], Some(&statistics[2]), epilogue);
    (y, statistics)
}

pub(crate) fn apply<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    mean: &TensorOf<T>,
    scale: &TensorOf<T>,
    shift: &TensorOf<T>,
    epilogue: Epilogue<'_, TensorOf<T>>,
) -> TensorOf<T> {
    let format = Format::of(x);
    format.apply(gpu, &format.read(gpu, x), [mean, scale, shift], None, epilogue)
}

impl Format {
    fn apply<T: Float>(
        &self,
        gpu: &'static Gpu,
        x: &TensorOf<T>,
        of_channel: [&TensorOf<T>; 3],
        istd: Option<&TensorOf<T>>,
        epilogue: Epilogue<'_, TensorOf<T>>,
    ) -> TensorOf<T> {
        let y = self.stored.tensor(gpu, self.layout);
        let [mean, scale, shift] = of_channel.map(|row| gpu.operand(row).contiguous());
        let residual = epilogue.residual.map(|residual| self.read(gpu, residual));
        let relu = i32::from(epilogue.relu);
        let [mean, scale, shift] = [&mean, &scale, &shift].map(address);
        let [to, from] = [&y, x].map(|x| self.stored.address(x));
        let (residual, istd) = (residual.as_ref().map_or(0, |r| self.stored.address(r)), istd.map_or(0, address));
        let arguments: [&dyn Argument; 9] =
            [&to, &from, &residual, &mean, &scale, &istd, &shift, &self.channels, &relu];
        // SAFETY: y, x and the residual are in this format, the others have an element for each channel.
        unsafe { launch(gpu, ("apply", self.kind), self.elements(), arguments) };
        y
    }
}

#[expect(clippy::too_many_arguments, reason = "the kernel's operands, and the GPU")]
pub(crate) fn backward<T: Float>(
    gpu: &'static Gpu,
    of_y: &TensorOf<T>,
    x: &TensorOf<T>,
    mean: &TensorOf<T>,
    istd: &TensorOf<T>,
    gamma: &TensorOf<T>,
    y: Option<&TensorOf<T>>,
    residual: bool,
) -> BatchNormGradients<T> {
    let format = Format::of(x);
    let [dy, x] = [of_y, x].map(|x| format.read(gpu, x));
    let y = y.map(|y| format.read(gpu, y));
    let [mean, istd, gamma] = [mean, istd, gamma].map(|row| gpu.operand(row).contiguous());
    let partial = format.partial::<T>(gpu);
    let [dgamma, dbeta] = [format.row(gpu), format.row(gpu)];
    let dx = format.stored.tensor(gpu, format.layout);
    let dr = (residual && y.is_some()).then(|| format.stored.tensor(gpu, format.layout));
    let (channels, stretch, stretches) = (format.channels, format.stretch as u32, format.stretches() as u32);
    let of_x = |x: &TensorOf<T>| format.stored.address(x);
    let (to_dr, from_y) = (dr.as_ref().map_or(0, of_x), y.as_ref().map_or(0, of_x));
    let ([to, from_dy, from], sums) = ([&dx, &dy, &x].map(of_x), address(&partial));
    let [mean, istd, gamma, to_dgamma, to_dbeta] = [&mean, &istd, &gamma, &dgamma, &dbeta].map(address);
    // SAFETY: dx, dr, dy, x and y are in this format, the sums have two elements for each stretch of each channel, the
    // others one for each channel.
    unsafe {
        let arguments: [&dyn Argument; 7] = [&sums, &from_dy, &from, &from_y, &mean, &channels, &stretch];
        launch(gpu, ("sum_gradients", format.kind), format.sums(), arguments);
        let arguments: [&dyn Argument; 6] = [&to_dgamma, &to_dbeta, &sums, &istd, &stretches, &channels];
        launch(gpu, ("finish_gradients", T::NAME), format.finish(), arguments);
        let arguments: [&dyn Argument; 11] =
            [&to, &to_dr, &from_dy, &from, &from_y, &mean, &istd, &gamma, &to_dgamma, &to_dbeta, &channels];
        launch(gpu, ("input_gradient", format.kind), format.elements(), arguments);
    }
    // Without relu, dr is dy itself.
    let dr = dr.or_else(|| residual.then(|| of_y.clone()));
    (dx, dgamma, dbeta, dr)
}

pub(crate) fn track<T: Float>(
    gpu: &'static Gpu,
    running_mean: &mut TensorOf<T>,
    running_variance: &mut TensorOf<T>,
    mean: &TensorOf<T>,
    variance: &TensorOf<T>,
    share: f64,
    correction: f64,
) {
    for running in [&mut *running_mean, &mut *running_variance] {
        *running = running.contiguous();
        running.make_own();
    }
    let [mean, variance] = [mean, variance].map(|row| gpu.operand(row).contiguous());
    let channels = checked(running_mean.numel());
    let [to_mean, to_variance, mean, variance] = [running_mean, running_variance, &mean, &variance].map(|x| address(x));
    let grid = Grid::blocks((channels as usize).div_ceil(THREADS as usize));
    let arguments: [&dyn Argument; 7] = [&to_mean, &to_variance, &mean, &variance, &channels, &share, &correction];
    // SAFETY: all have an element for each channel, and those that are written are exclusive.
    unsafe { launch(gpu, ("track", T::NAME), grid, arguments) };
}
