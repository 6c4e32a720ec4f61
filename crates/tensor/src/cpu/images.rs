//! Iteration over image batches (N,C,H,W) of either memory format, for pooling and resampling.
//!
//! Work is split into jobs: one image and a few channels, the *lanes*. In channels-last images channels are contiguous, so
//! a job has many lanes and its innermost loop runs over them. Otherwise a job is one plane.

use crate::element::Element;
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;
use crate::parallel::parallel_for;
use crate::shape::Shape;

/// The maximum number of lanes of a job.
pub(crate) const LANES: usize = 16;
/// The minimum number of elements per task.
const GRAIN: usize = 16 * 1024;

/// The layout of the pixels of an image batch.
#[derive(Clone, Copy)]
pub(crate) struct Images {
    shape: [usize; 4],
    strides: [isize; 4],
    offset: isize,
    format: MemoryFormat,
}

impl Images {
    pub(crate) fn new(layout: &Layout) -> Self {
        let (shape, strides) = (layout.shape(), layout.strides());
        Self {
            shape: std::array::from_fn(|a| shape[a]),
            strides: std::array::from_fn(|a| strides[a]),
            offset: layout.offset() as isize,
            // Images of one pixel count as planes: results with more pixels are then read along rows.
            format: MemoryFormat::of(layout).unwrap_or(MemoryFormat::ChannelsFirst),
        }
    }

    /// H and W.
    pub(crate) fn hw(&self) -> [usize; 2] {
        [self.shape[2], self.shape[3]]
    }

    /// The layout of a result with this batch's memory format.
    pub(crate) fn same_format(&self, hw: [usize; 2]) -> Layout {
        self.format.layout(Shape::from([self.shape[0], self.shape[1], hw[0], hw[1]]))
    }

    /// The layout of an image batch of another shape with this batch's memory format.
    pub(crate) fn formatted(&self, shape: Shape) -> Layout {
        self.format.layout(shape)
    }

    /// The plane of channel `c` of image `n`.
    #[inline]
    pub(crate) fn plane(&self, n: usize, c: usize) -> Plane {
        let start = self.offset + n as isize * self.strides[0] + c as isize * self.strides[1];
        Plane { start, row: self.strides[2], column: self.strides[3] }
    }

    /// Calls `body(n, c, lanes)` once for each job of a kernel that visits `visits` pixels of each plane.
    ///
    /// There are several lanes only if they are contiguous in this batch and in those of [`Self::same_format`].
    #[inline]
    pub(crate) fn for_each_job(&self, visits: usize, body: impl Fn(usize, usize, usize) + Sync) {
        let [images, channels, ..] = self.shape;
        let most = if self.format == MemoryFormat::ChannelsLast { LANES } else { 1 };
        let blocks = channels.div_ceil(most);
        parallel_for(images * blocks, (GRAIN / (visits * most).max(1)).max(1), |jobs| {
            for job in jobs {
                let (n, c) = (job / blocks, job % blocks * most);
                // The constant lets the compiler remove the loop over lanes.
                if most == 1 {
                    body(n, c, 1);
                } else {
                    body(n, c, (channels - c).min(most));
                }
            }
        });
    }
}

/// One channel of one image.
#[derive(Clone, Copy)]
pub(crate) struct Plane {
    start: isize,
    row: isize,
    column: isize,
}

impl Plane {
    /// The position of a pixel in the buffer.
    #[inline]
    pub(crate) fn at(&self, row: usize, column: usize) -> usize {
        (self.start + row as isize * self.row + column as isize * self.column) as usize
    }

    /// Whether the pixels of a row are contiguous.
    #[inline]
    pub(crate) fn has_rows(&self) -> bool {
        self.column == 1
    }

    /// The distance between rows.
    #[inline]
    pub(crate) fn step(&self) -> isize {
        self.row
    }

    /// The lanes of a pixel.
    #[inline]
    pub(crate) fn lanes<'a, T: Element>(&self, buffer: &'a [T], row: usize, column: usize, lanes: usize) -> &'a [T] {
        let at = self.at(row, column);
        &buffer[at..at + lanes]
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::cpu::strided::in_order;
    use crate::element::{Element, Float};
    use crate::random::{Key, Purpose};
    use crate::tensor::TensorOf;

    /// The elements in row-major order.
    pub(crate) fn elements<T: Element>(x: &TensorOf<T>) -> Vec<T> {
        let order: Vec<usize> = (0..x.rank()).collect();
        in_order(x, &order).into_owned()
    }

    /// Random numbers with ties, in every kind of layout.
    pub(crate) fn layouts<T: Float>(shape: [usize; 4], seed: u64) -> Vec<TensorOf<T>> {
        let [n, c, h, w] = shape;
        let make = |shape: [usize; 4]| {
            let mut rng = Key::new(seed, Purpose::CHECK).rng();
            TensorOf::from_fn(shape, |_| T::from_f64(f64::from(rng.below(41)) / 8.0 - 2.5))
        };
        vec![
            make(shape),
            make([n, h, w, c]).permute(&[0, 3, 1, 2]),
            make([n, h, w, c + 3]).narrow(3, 2..c + 2).permute(&[0, 3, 1, 2]),
            make([n, c, w, h]).transpose(2, 3),
            make([n, 2 * c, h + 1, w + 2]).slice(1, 0, c, 2).slice(2, h, h, -1).slice(3, w, w, -1),
            make([1, 1, h, w]).broadcast_to(shape),
            make([n, c, 1, w]).broadcast_to(shape),
            make([c, n, h, w]).transpose(0, 1),
        ]
    }
}
