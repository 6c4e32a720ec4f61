//! Shapes: the lengths of a tensor's axes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// The maximum number of axes of a tensor.
pub const MAX_RANK: usize = 8;

/// The lengths of a tensor's axes, stored inline (a shape never allocates).
///
/// Dereferences to `[usize]`; prints as `(2, 3)`.
///
/// ```
/// use chainrule_tensor::Shape;
/// let shape = Shape::from([2, 3]);
/// assert_eq!(shape.numel(), 6);
/// assert_eq!(shape.to_string(), "(2, 3)");
/// ```
#[derive(Clone, Copy, Eq)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these axis lengths.
    ///
    /// # Panics
    /// If there are more than [`MAX_RANK`] axes, or if the number of elements does not fit in `isize`.
    #[inline]
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        assert!(
            dims.len() <= MAX_RANK,
            "shape: {} axes are too many: {dims:?}\n  rule: at most {MAX_RANK} axes",
            dims.len()
        );
        let numel = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        assert!(
            numel.is_some_and(|n| isize::try_from(n).is_ok()),
            "shape: {dims:?} has more elements than this machine can address"
        );
        let mut inline = [0; MAX_RANK];
        inline[..dims.len()].copy_from_slice(dims);
        Self { dims: inline, rank: dims.len() as u8 }
    }

    /// The shape of a scalar: no axes, one element.
    pub const fn scalar() -> Self {
        Self { dims: [0; MAX_RANK], rank: 0 }
    }

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// The number of elements: the product of the axis lengths, 1 for a scalar.
    #[inline]
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The lengths of the axes.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        self
    }

    /// This shape with the length of one axis replaced.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[must_use]
    pub fn with(mut self, axis: usize, len: usize) -> Self {
        assert!(axis < self.rank(), "shape: {self} has no axis {axis}");
        self.dims[axis] = len;
        self
    }
}

impl PartialEq for Shape {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // A loop over the few lengths is faster than a memory comparison.
        self.rank == other.rank && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dims().hash(state);
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &**self {
            [one] => write!(f, "({one},)"),
            dims => {
                let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
                write!(f, "({})", dims.join(", "))
            }
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(dims: [usize; N]) -> Self {
        Self::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl From<Vec<usize>> for Shape {
    #[track_caller]
    fn from(dims: Vec<usize>) -> Self {
        Self::new(&dims)
    }
}

impl From<usize> for Shape {
    fn from(len: usize) -> Self {
        Self::new(&[len])
    }
}

impl From<()> for Shape {
    fn from((): ()) -> Self {
        Self::scalar()
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        *shape
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, other: &[usize]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        **self == *other
    }
}
