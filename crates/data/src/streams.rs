//! The random streams of this crate: one purpose for each use, so that no two uses share numbers.

use chainrule_tensor::Purpose;

/// The split of a set into two, apart from the shuffles of its epochs.
pub(crate) const SPLIT: Purpose = Purpose(Purpose::SHUFFLE.0 | 1 << 8);

/// The flip of an image in epoch 0, which alternates from then on.
pub(crate) const ALTERNATING_FLIP: Purpose = Purpose(Purpose::SHUFFLE.0 | 2 << 8);

/// The weights of mixup, one for each batch.
pub(crate) const MIXUP: Purpose = Purpose(Purpose::SHUFFLE.0 | 3 << 8);

/// The first centers of k-means.
pub(crate) const K_MEANS: Purpose = Purpose(Purpose::SHUFFLE.0 | 4 << 8);

/// The pixels from which a palette is found.
pub(crate) const PALETTE: Purpose = Purpose(Purpose::SHUFFLE.0 | 5 << 8);

/// One of the transforms of a sample. Its position in the list goes into the upper bits, of which only layers use the
/// highest, so appending a transform does not change the draws of the others.
pub(crate) fn transform(position: usize) -> Purpose {
    Purpose(Purpose::AUGMENT.0 | (position as u32) << 8)
}
