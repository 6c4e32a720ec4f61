//! The memory formats of an image batch (N,C,…): channels-first and channels-last.

use crate::layout::Layout;
use crate::shape::{MAX_RANK, Shape};

/// The order of the axes of an image batch in memory. The logical order is (N,C,H,W) in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryFormat {
    /// N, C, H, W: the pixels of a channel are contiguous.
    ChannelsFirst,
    /// N, H, W, C: the channels of a pixel are contiguous.
    ChannelsLast,
}

impl MemoryFormat {
    /// The format of a batch (N,C,…), which may have gaps: channels-last if the channels of a pixel are adjacent and the
    /// pixels are not. `None` for images of one pixel, which have both formats.
    pub(crate) fn of(layout: &Layout) -> Option<Self> {
        let (shape, strides) = (layout.shape_ref(), layout.strides());
        let pixels: usize = shape[2..].iter().product();
        let farther = |axis: usize| shape[axis] == 1 || strides[axis].abs() > 1;
        let last = pixels > 0 && shape[1] > 1 && strides[1] == 1 && (2..shape.rank()).all(farther);
        match (pixels, last) {
            (1, _) => None,
            (_, true) => Some(Self::ChannelsLast),
            (_, false) => Some(Self::ChannelsFirst),
        }
    }

    /// The axes of a batch of this rank from outermost to innermost in memory, followed by the axes beyond its rank.
    pub(crate) fn order(self, rank: usize) -> [usize; MAX_RANK] {
        let mut order = std::array::from_fn(|axis| axis);
        if self == Self::ChannelsLast {
            order[1..rank].rotate_left(1);
        }
        order
    }

    /// The dense layout of a batch (N,C,…) in this format.
    pub(crate) fn layout(self, shape: Shape) -> Layout {
        Layout::dense(shape, &self.order(shape.rank())[..shape.rank()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_a_layout_is_detected() {
        let shape = Shape::from([2, 3, 4, 5]);
        for format in [MemoryFormat::ChannelsFirst, MemoryFormat::ChannelsLast] {
            assert_eq!(MemoryFormat::of(&format.layout(shape)), Some(format));
            assert_eq!(MemoryFormat::of(&format.layout([2, 3, 7].into())), Some(format), "images of one spatial axis");
        }
        assert_eq!(MemoryFormat::ChannelsLast.layout(shape), Layout::dense(shape, &[0, 2, 3, 1]));
        let wide = MemoryFormat::ChannelsLast.layout([2, 8, 4, 5].into());
        assert_eq!(MemoryFormat::of(&wide.slice(1, 2, 3, 1).unwrap()), Some(MemoryFormat::ChannelsLast), "with gaps");
        let repeated = Layout::contiguous([2, 3, 1, 1].into()).broadcast_to(shape).unwrap();
        assert_eq!(
            MemoryFormat::of(&repeated),
            Some(MemoryFormat::ChannelsFirst),
            "pixels are no farther than channels"
        );
        assert_eq!(MemoryFormat::of(&Layout::contiguous([2, 1, 4, 5].into())), Some(MemoryFormat::ChannelsFirst));
        assert_eq!(MemoryFormat::of(&Layout::contiguous([2, 3, 1, 1].into())), None);
        assert_eq!(MemoryFormat::of(&Layout::contiguous([2, 3].into())), None);
    }
}
