//! Lengths of axes that depend on the batch size: those that differ between two recordings.

use chainrule_tensor::Shape;

/// The length of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    Fixed(usize),
    /// A multiple of the batch size.
    Batch(usize),
}

impl Dim {
    /// The length that was `lengths` at the batch sizes `batches`; `None` if it is no multiple of the batch size.
    fn of(lengths: [usize; 2], batches: [usize; 2]) -> Option<Self> {
        if lengths[0] == lengths[1] {
            return Some(Self::Fixed(lengths[0]));
        }
        let multiple = lengths[0] / batches[0];
        (lengths == batches.map(|batch| multiple * batch)).then_some(Self::Batch(multiple))
    }

    /// The axes of a tensor that had these shapes.
    pub(super) fn all(shapes: [Shape; 2], batches: [usize; 2]) -> Option<Vec<Self>> {
        if shapes[0].rank() != shapes[1].rank() {
            return None;
        }
        shapes[0].iter().zip(shapes[1].iter()).map(|(&a, &b)| Self::of([a, b], batches)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_fixed_a_multiple_of_the_batch_or_neither() {
        let of = |a, b| Dim::of([a, b], [2, 3]);
        assert_eq!(of(7, 7), Some(Dim::Fixed(7)));
        assert_eq!(of(2, 3), Some(Dim::Batch(1)));
        assert_eq!(of(8, 12), Some(Dim::Batch(4)));
        assert_eq!(of(1, 2), None);
        assert_eq!(Dim::all([[2, 5].into(), [3, 5].into()], [2, 3]), Some(vec![Dim::Batch(1), Dim::Fixed(5)]));
        assert_eq!(Dim::all([[2, 5].into(), [3].into()], [2, 3]), None);
    }
}
