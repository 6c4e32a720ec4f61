//! Moving channels to pixels and back, composed of views.

use chainrule_tensor::Float;

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// `y[n, c, r·i + p, r·j + q] = x[n, c·r² + r·p + q, i, j]`: x (N,C·r²,H,W) → y (N,C,H·r,W·r) (Shi and others: "Real-time
    /// single image and video super-resolution", 2016; `torch.nn.functional.pixel_shuffle`).
    ///
    /// # Panics
    /// If x has not four axes, r is 0, or the channels are no multiple of r².
    #[track_caller]
    #[must_use]
    pub fn pixel_shuffle(&self, factor: usize) -> Self {
        let (x, r) = (self.shape(), factor);
        assert!(
            x.rank() == 4 && r > 0 && r.checked_mul(r).is_some_and(|square| x[1].is_multiple_of(square)),
            "pixel_shuffle: the input does not fit\n  input (N,C,H,W) = {x}\n  factor r = {r}\n  rule: C is a multiple of r², r ≥ 1"
        );
        let _scope = open_with("pixel_shuffle", || vec![Attribute::new("factor", r).symbol("r")]);
        let [n, c, h, w] = [x[0], x[1] / (r * r), x[2], x[3]];
        self.reshape([n, c, r, r, h, w]).permute(&[0, 1, 4, 2, 5, 3]).reshape([n, c, h * r, w * r])
    }

    /// The inverse of [`pixel_shuffle`](Self::pixel_shuffle): x (N,C,H·r,W·r) → y (N,C·r²,H,W).
    ///
    /// # Panics
    /// If x has not four axes, r is 0, or height or width are no multiple of r.
    #[track_caller]
    #[must_use]
    pub fn pixel_unshuffle(&self, factor: usize) -> Self {
        let (x, r) = (self.shape(), factor);
        assert!(
            x.rank() == 4 && r > 0 && x[2].is_multiple_of(r) && x[3].is_multiple_of(r),
            "pixel_unshuffle: the input does not fit\n  input (N,C,H,W) = {x}\n  factor r = {r}\n  rule: H and W are multiples of r, r ≥ 1"
        );
        let _scope = open_with("pixel_unshuffle", || vec![Attribute::new("factor", r).symbol("r")]);
        let [n, c, h, w] = [x[0], x[1], x[2] / r, x[3] / r];
        self.reshape([n, c, h, r, w, r]).permute(&[0, 1, 3, 5, 2, 4]).reshape([n, c * r * r, h, w])
    }
}

#[cfg(test)]
mod tests {
    use chainrule_tensor::Tensor64;

    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", Tensor64::arange(8).reshape([1, 4, 1, 2]));
        let y = x.pixel_shuffle(2);
        assert_eq!(
            (y.shape(), y.value().to_vec()),
            ([1, 1, 2, 4].into(), vec![0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0])
        );
        assert_eq!(y.pixel_unshuffle(2).value(), x.value());
    }

    #[test]
    #[should_panic(
        expected = "pixel_shuffle: the input does not fit\n  input (N,C,H,W) = (1, 3, 2, 2)\n  factor r = 2"
    )]
    fn channels_are_a_multiple() {
        let _ = Var64::constant(Tensor64::zeros([1, 3, 2, 2])).pixel_shuffle(2);
    }
}
