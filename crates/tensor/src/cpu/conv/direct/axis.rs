//! One axis of a convolution or of its adjoint, as strides and shifts.

/// How outputs along one axis read a source: output `start + step·a`, for `a` in `0..count`, is the sum over all taps of
/// the source at `stride·a + shift` times the tap's cell of the kernel.
///
/// Positions `stride·a + shift` with the same remainder modulo the stride are stored contiguously, in a separate *plane*.
/// So each tap reads contiguous elements for adjacent outputs, and a strided convolution runs as one with stride 1.
pub(super) struct Axis {
    pub(super) start: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) taps: Vec<Tap>,
    /// The source position of element 0 of each plane.
    pub(super) origins: Vec<isize>,
    pub(super) stride: usize,
    /// The maximum `skip` of all taps: how far beyond an output's index a tap reads.
    pub(super) reach: usize,
}

/// One cell of the kernel along an axis: output `a` reads element `a + skip` of the plane.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) cell: usize,
    pub(super) plane: usize,
    pub(super) skip: usize,
}

impl Axis {
    /// The axis of a convolution with `count` outputs.
    pub(super) fn forward(count: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Self {
        let shifts = (0..kernel).map(|cell| (cell, (dilation * cell) as isize - padding as isize));
        Self::new([0, 1, count], stride, shifts)
    }

    /// The axis of the adjoint, for the `len` elements of the convolution's input: one part for each remainder modulo
    /// the stride. Input `i` reads output `(i + padding − dilation·cell) / stride` if that is an integer.
    pub(super) fn adjoint(len: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Vec<Self> {
        (0..stride.min(len))
            .map(|start| {
                let distance = |cell: usize| (start + padding) as isize - (dilation * cell) as isize;
                let shifts = (0..kernel)
                    .filter(|&cell| distance(cell) % stride as isize == 0)
                    .map(|cell| (cell, distance(cell) / stride as isize));
                Self::new([start, stride, (len - start).div_ceil(stride)], 1, shifts)
            })
            .collect()
    }

    fn new([start, step, count]: [usize; 3], stride: usize, shifts: impl Iterator<Item = (usize, isize)>) -> Self {
        let shifts: Vec<_> = shifts.collect();
        let lowest = shifts.iter().map(|&(_, shift)| shift).min().unwrap_or(0);
        let mut origins: Vec<isize> = Vec::new();
        let taps: Vec<Tap> = shifts
            .iter()
            .map(|&(cell, shift)| {
                let above = (shift - lowest) as usize;
                let origin = lowest + (above % stride) as isize;
                let plane = origins.iter().position(|&o| o == origin).unwrap_or_else(|| {
                    origins.push(origin);
                    origins.len() - 1
                });
                Tap { cell, plane, skip: above / stride }
            })
            .collect();
        let reach = taps.iter().map(|tap| tap.skip).max().unwrap_or(0);
        Self { start, step, count, taps, origins, stride, reach }
    }

    /// Of at most `count` elements of a plane from element `from` on, those inside a source of `len` elements, and the
    /// position of the first of them in the source.
    #[inline]
    pub(super) fn inside(
        &self,
        plane: usize,
        from: usize,
        count: usize,
        len: usize,
    ) -> (std::ops::Range<usize>, usize) {
        let origin = self.origins[plane] + (from * self.stride) as isize;
        let first = if origin < 0 { origin.unsigned_abs().div_ceil(self.stride) } else { 0 };
        let end = (len as isize - origin).max(0).cast_unsigned().div_ceil(self.stride).min(count);
        let first = first.min(end);
        (first..end, (origin + (first * self.stride) as isize).max(0) as usize)
    }
}
