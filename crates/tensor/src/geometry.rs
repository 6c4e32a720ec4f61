//! The sizes of a convolution: checked once, by the method that is called, and passed on to its kernels.

use crate::error::ShapeError;
use crate::shape::Shape;
use crate::shape_rules::{self, Conv2dOptions};

/// A convolution of x (N,C,H,W) with w (O,C/groups,kh,kw) and result y (N,O,oh,ow), whose shapes have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    x: Shape,
    w: Shape,
    y: Shape,
    options: Conv2dOptions,
    /// The first rows and columns of y that are read later; the others need not be computed, and their gradients are 0.
    used: [usize; 2],
}

impl ConvGeometry {
    /// The convolution of x with w and a bias (O).
    ///
    /// # Errors
    /// If the shapes do not match; see [`shape_rules::conv2d`].
    pub(crate) fn new(x: Shape, w: Shape, b: Option<Shape>, options: Conv2dOptions) -> Result<Self, ShapeError> {
        let y = shape_rules::conv2d(x, w, b, options)?;
        Ok(Self { x, w, y, options, used: [y[2], y[3]] })
    }

    /// The depthwise convolution of x with a kernel of `khw` = [kh, kw], whose windows im2col reads: w (C,1,kh,kw), C groups.
    ///
    /// # Errors
    /// If x does not have four axes or the kernel is larger than the padded image.
    pub(crate) fn of_windows(x: Shape, khw: [usize; 2], options: Conv2dOptions) -> Result<Self, ShapeError> {
        let channels = if x.rank() == 4 { x[1] } else { 0 };
        // The rule of a convolution over all channels, whose error text shows the shape of x.
        let y = shape_rules::conv2d(
            x,
            Shape::from([1, channels, khw[0], khw[1]]),
            None,
            Conv2dOptions { groups: 1, ..options },
        )?;
        let w = Shape::from([channels, 1, khw[0], khw[1]]);
        let options = Conv2dOptions { groups: channels, ..options };
        Ok(Self { x, w, y: y.with(1, channels), options, used: [y[2], y[3]] })
    }

    /// The product (M,K) · (K,N) as a convolution of M images of one pixel with K channels.
    pub(crate) fn of_product([m, k, n]: [usize; 3]) -> Self {
        let [x, w, y] = [[m, k, 1, 1], [n, k, 1, 1], [m, n, 1, 1]].map(Shape::from);
        Self { x, w, y, options: Conv2dOptions::default(), used: [1, 1] }
    }

    /// The same convolution for another number of images.
    pub(crate) fn of_images(&self, images: usize) -> Self {
        Self { x: self.x.with(0, images), y: self.y.with(0, images), ..*self }
    }

    /// The same convolution, of whose result only the first rows and columns are used.
    pub(crate) fn using(&self, used: [usize; 2]) -> Self {
        Self { used, ..*self }
    }

    /// The rows and columns of y that are used.
    pub(crate) fn used(&self) -> [usize; 2] {
        self.used
    }

    /// (N,C,H,W)
    pub(crate) fn x(&self) -> Shape {
        self.x
    }

    /// (O,C/groups,kh,kw)
    pub(crate) fn w(&self) -> Shape {
        self.w
    }

    /// (N,O,oh,ow)
    pub(crate) fn y(&self) -> Shape {
        self.y
    }

    pub(crate) fn options(&self) -> Conv2dOptions {
        self.options
    }

    /// H and W.
    pub(crate) fn hw(&self) -> [usize; 2] {
        [self.x[2], self.x[3]]
    }

    /// kh and kw.
    pub(crate) fn khw(&self) -> [usize; 2] {
        [self.w[2], self.w[3]]
    }

    /// oh and ow.
    pub(crate) fn ohw(&self) -> [usize; 2] {
        [self.y[2], self.y[3]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked_and_kept() {
        let (x, w) = (Shape::from([2, 4, 7, 5]), Shape::from([6, 2, 3, 2]));
        let options = Conv2dOptions { stride: [2, 1], groups: 2, ..Conv2dOptions::padded(1) };
        let conv = ConvGeometry::new(x, w, None, options).unwrap();
        assert_eq!((conv.x(), conv.w(), conv.y()), (x, w, [2, 6, 4, 6].into()));
        assert_eq!((conv.hw(), conv.khw(), conv.ohw()), ([7, 5], [3, 2], [4, 6]));
        let one = conv.of_images(1);
        assert_eq!((one.x()[0], one.y()[0], one.w()), (1, 1, w));
        let windows = ConvGeometry::of_windows(x, [3, 2], options).unwrap();
        assert_eq!((windows.w(), windows.y()), ([4, 1, 3, 2].into(), [2, 4, 4, 6].into()));
        assert_eq!(ConvGeometry::new(windows.x(), windows.w(), None, windows.options()), Ok(windows));
        let product = ConvGeometry::of_product([8, 3, 5]);
        assert_eq!(ConvGeometry::new(product.x(), product.w(), None, product.options()), Ok(product));
        assert!(ConvGeometry::new(x, [6, 3, 3, 2].into(), None, options).is_err());
    }
}
