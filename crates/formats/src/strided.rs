//! Elements in row-major order out of bytes that have any strides.

/// The layout of elements in a buffer; all counts are in elements.
#[derive(Clone, Debug)]
pub(crate) struct Strided {
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl Strided {
    /// An array whose first axis is the innermost one, as in Fortran.
    pub(crate) fn fortran(shape: &[usize]) -> Self {
        let strides =
            shape.iter().scan(1_usize, |stride, &n| Some(std::mem::replace(stride, stride.saturating_mul(n))));
        Self { offset: 0, shape: shape.to_vec(), strides: strides.collect() }
    }

    /// The number of elements, if it can be counted.
    pub(crate) fn numel(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
    }

    /// The number of elements that a buffer needs to hold this layout, if it can be counted.
    pub(crate) fn reach(&self) -> Option<usize> {
        if self.numel()? == 0 {
            return Some(0);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (n, stride)| last.checked_add((n - 1).checked_mul(*stride)?));
        last?.checked_add(1)
    }

    /// Whether the elements lie side by side in row-major order.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1_usize;
        self.shape.iter().zip(&self.strides).rev().all(|(&n, &stride)| {
            let fits = n == 1 || stride == expected;
            // An array without elements may have axes of any length.
            expected = expected.saturating_mul(n);
            fits
        })
    }

    /// As [`gather`](Self::gather); the buffer itself if it is the result.
    pub(crate) fn take(&self, buffer: Vec<u8>, size: usize) -> Vec<u8> {
        let whole = self.offset == 0 && self.is_contiguous() && self.numel() == Some(buffer.len() / size);
        if whole { buffer } else { self.gather(&buffer, size) }
    }

    /// The bytes of the elements in row-major order, each of `size` bytes. `buffer` has at least [`reach`](Self::reach)
    /// elements.
    pub(crate) fn gather(&self, buffer: &[u8], size: usize) -> Vec<u8> {
        let numel = self.shape.iter().product::<usize>();
        if numel == 0 {
            return Vec::new();
        }
        if self.is_contiguous() {
            return buffer[self.offset * size..(self.offset + numel) * size].to_vec();
        }
        let mut out = Vec::with_capacity(numel * size);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        for _ in 0..numel {
            out.extend_from_slice(&buffer[at * size..(at + 1) * size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    at += self.strides[axis];
                    break;
                }
                index[axis] = 0;
                at -= (self.shape[axis] - 1) * self.strides[axis];
            }
        }
        out
    }
}

/// Reverses the bytes of each element.
pub(crate) fn swap_bytes(bytes: &mut [u8], size: usize) {
    bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(offset: usize, shape: &[usize], strides: &[usize]) -> Strided {
        Strided { offset, shape: shape.to_vec(), strides: strides.to_vec() }
    }

    #[test]
    fn views_are_gathered_in_row_major_order() {
        let buffer: Vec<u8> = (0..12).collect();
        for (view, expected) in [
            (layout(0, &[3, 4], &[4, 1]), (0..12).collect::<Vec<u8>>()),
            (layout(0, &[4, 3], &[1, 4]), vec![0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]),
            (layout(5, &[2, 2], &[4, 2]), vec![5, 7, 9, 11]),
            (layout(3, &[2, 3], &[0, 1]), vec![3, 4, 5, 3, 4, 5]),
            (layout(2, &[1, 3], &[100, 1]), vec![2, 3, 4]),
            (layout(7, &[], &[]), vec![7]),
            (layout(100, &[0, 5], &[5, 1]), vec![]),
            (layout(0, &[0, 1 << 40, 1 << 40], &[1, 1, 1]), vec![]),
            (Strided::fortran(&[3, 2, 2]), vec![0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]),
        ] {
            assert!(view.reach().unwrap() <= 12, "{view:?}");
            assert_eq!(view.gather(&buffer, 1), expected, "{view:?}");
            assert_eq!(view.take(buffer.clone(), 1), expected, "{view:?}");
        }
        assert_eq!(layout(1, &[2], &[2]).gather(&buffer, 2), [2, 3, 6, 7]);
    }

    #[test]
    fn layouts_beyond_all_memory_have_no_reach() {
        assert_eq!(layout(0, &[1 << 40, 1 << 40], &[0, 0]).reach(), None);
        assert_eq!(layout(1, &[2], &[usize::MAX]).reach(), None);
        assert_eq!(layout(usize::MAX, &[1], &[1]).reach(), None);
        assert_eq!(layout(0, &[3], &[1 << 40]).reach(), Some((1 << 41) + 1));
    }
}
