//! Padding of images.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, PadMode, Shape, ShapeError};

use crate::module::{Module, Visitor};

/// The widths of padding: one for all sides, or left, right, top and bottom, as in `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides(pub [usize; 4]);

impl From<usize> for Sides {
    fn from(width: usize) -> Self {
        Self([width; 4])
    }
}

impl From<[usize; 4]> for Sides {
    fn from(sides: [usize; 4]) -> Self {
        Self(sides)
    }
}

impl Sides {
    /// The widths before and after each axis of (N,C,H,W).
    fn widths(self) -> [(usize, usize); 4] {
        let [left, right, top, bottom] = self.0;
        [(0, 0), (0, 0), (top, bottom), (left, right)]
    }
}

macro_rules! padding {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $rule:literal, |$x:ident, $widths:ident| $pad:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(Sides);

        impl $name {
            /// A layer that pads by this width, or by those of left, right, top and bottom.
            pub fn new(sides: impl Into<Sides>) -> Self {
                Self(sides.into())
            }
        }

        impl<T: Float> Module<T> for $name {
            #[track_caller]
            fn forward(&self, $x: &VarOf<T>) -> VarOf<T> {
                if let Err(error) = Module::<T>::output_shape(self, $x.shape()) {
                    panic!("{error}");
                }
                let $widths = &self.0.widths();
                $pad
            }

            fn visit(&self, _visitor: &mut Visitor<'_, T>) {}

            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                let limit: fn(usize) -> usize = $limit;
                let padded = |axis: usize| {
                    let (len, (before, after)) = (x[axis], self.0.widths()[axis]);
                    (before.max(after) <= limit(len)).then(|| len.checked_add(before)?.checked_add(after)).flatten()
                };
                match (x.rank() == 4).then(|| padded(2).zip(padded(3))).flatten() {
                    Some((h, w)) => Ok(x.with(2, h).with(3, w)),
                    None => Err(ShapeError::new(format!(
                        "{}: the input does not fit\n  input (N,C,H,W) = {x}\n  left, right, top, bottom = {:?}\n  rule: four axes{}",
                        stringify!($name),
                        self.0.0,
                        $rule
                    ))),
                }
            }
        }
    };
}

padding!(
    /// Pads images with zeros: (N,C,H,W) → (N, C, H + top + bottom, W + left + right).
    ZeroPad2d,
    |_| usize::MAX,
    "",
    |x, widths| x.pad(widths, 0.0)
);

padding!(
    /// Pads images by reflection at their outer pixels, which are not repeated: (N,C,H,W) → (N, C, H + top + bottom, W + left
    /// + right).
    ReflectionPad2d,
    |len| len.saturating_sub(1),
    ", and each width is less than its axis",
    |x, widths| x.pad_with(widths, PadMode::Reflect)
);

padding!(
    /// Pads images by repeating their outer pixels: (N,C,H,W) → (N, C, H + top + bottom, W + left + right).
    ReplicationPad2d,
    |len| if len == 0 { 0 } else { usize::MAX },
    ", and an axis that is padded has pixels",
    |x, widths| x.pad_with(widths, PadMode::Replicate)
);

padding!(
    /// Pads images with the pixels of the other side: (N,C,H,W) → (N, C, H + top + bottom, W + left + right).
    CircularPad2d,
    |len| len,
    ", and each width is at most its axis",
    |x, widths| x.pad_with(widths, PadMode::Circular)
);

#[cfg(test)]
mod tests {
    use chainrule_autograd::Var64;
    use chainrule_tensor::TensorOf;

    use super::*;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", TensorOf::arange(3).reshape([1, 1, 1, 3]));
        let c = Var64::constant([1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
        let check = |layer: &dyn Module<f64>, expected: [f64; 7], dx: [f64; 3]| {
            let y = layer.forward(&x);
            assert_eq!(y.value().to_vec(), expected);
            assert_eq!((y * &c).sum().backward()[&x].to_vec(), dx);
        };
        let sides = [2, 2, 0, 0];
        let reflected = [2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0];
        check(&ReflectionPad2d::new(sides), reflected, [1_000_100.0, 101_010.0, 10_001.0]);
        check(&ReplicationPad2d::new(sides), [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0], [111.0, 1e3, 1_110_000.0]);
        check(&CircularPad2d::new(sides), [1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0], [100_100.0, 1_001_001.0, 10_010.0]);
    }

    #[test]
    #[should_panic(
        expected = "ReflectionPad2d: the input does not fit\n  input (N,C,H,W) = (1, 1, 1, 3)\n  left, right, top, bottom = [0, 3, 0, 0]\n  rule: four axes, and each width is less than its axis"
    )]
    fn a_reflection_stays_inside() {
        let _ = ReflectionPad2d::new([0, 3, 0, 0]).forward(&Var64::constant(TensorOf::zeros([1, 1, 1, 3])));
    }
}
