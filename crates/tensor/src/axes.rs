//! The axes that several operands are walked over by, the fewest that visit every element.

use crate::shape::MAX_RANK;

/// Axes from the outermost in, each with the strides of N operands; none has length 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axes<const N: usize> {
    /// The lengths, 1 beyond the rank.
    pub(crate) lengths: [usize; MAX_RANK],
    /// The operands' strides along each axis.
    pub(crate) strides: [[isize; N]; MAX_RANK],
    pub(crate) rank: usize,
    /// The number of elements.
    pub(crate) numel: usize,
}

impl<const N: usize> Axes<N> {
    /// These axes, where one step of an axis is as far for every operand as all of the next one both merged into one.
    #[inline]
    pub(crate) fn merged(axes: impl Iterator<Item = (usize, [isize; N])>) -> Self {
        let mut merged = Self { lengths: [1; MAX_RANK], strides: [[0; N]; MAX_RANK], rank: 0, numel: 1 };
        for (length, strides) in axes {
            merged.numel *= length;
            if length == 1 {
                continue;
            }
            let rank = merged.rank;
            if rank > 0 && (0..N).all(|k| merged.strides[rank - 1][k] == strides[k] * length as isize) {
                merged.lengths[rank - 1] *= length;
                merged.strides[rank - 1] = strides;
            } else {
                merged.lengths[rank] = length;
                merged.strides[rank] = strides;
                merged.rank += 1;
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_of_one_stride_are_merged() {
        let of = |axes: &[(usize, [isize; 2])]| {
            let axes = Axes::merged(axes.iter().copied());
            let list: Vec<_> = (0..axes.rank).map(|axis| (axes.lengths[axis], axes.strides[axis])).collect();
            (axes.numel, list)
        };
        assert_eq!(of(&[(2, [12, 12]), (3, [4, 4]), (4, [1, 1])]), (24, vec![(24, [1, 1])]));
        assert_eq!(of(&[(2, [12, 0]), (3, [4, 4]), (4, [1, 1])]), (24, vec![(2, [12, 0]), (12, [1, 1])]), "broadcast");
        assert_eq!(of(&[(2, [3, 3]), (1, [7, 0]), (3, [1, 1])]), (6, vec![(6, [1, 1])]), "axes of length 1");
        assert_eq!(of(&[(2, [-3, 3]), (3, [-1, 1])]), (6, vec![(6, [-1, 1])]), "backwards");
        assert_eq!(of(&[]), (1, vec![]));
        assert_eq!(of(&[(0, [1, 1])]).0, 0);
    }
}
