//! The sum of each channel.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};

impl<T: Float> VarOf<T> {
    /// The sum of each channel of x (N,C,…) over all other axes → (C), as in the gradient of a bias.
    ///
    /// `y[c] = Σ x[n,c,…]`, `dx[n,c,…] = dy[c]`.
    ///
    /// # Panics
    /// If x has fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn channel_sum(&self) -> Self {
        let shape = self.shape();
        assert!(shape.rank() >= 2, "channel_sum: the input (N,C,…) has at least two axes\n  x = {shape}");
        linear(self, self.value().sum(&over(shape), false), ChannelSum)
    }
}

/// The shape (1,C,1,…), with one number for each channel, which is broadcast to x (N,C,…).
pub(in crate::ops) fn channels(x: Shape) -> Shape {
    let mut shape = vec![1; x.rank()];
    shape[1] = x[1];
    Shape::new(&shape)
}

/// All axes but the second.
pub(in crate::ops) fn over(x: Shape) -> Vec<isize> {
    (0..x.rank() as isize).filter(|&axis| axis != 1).collect()
}

/// The map from x (N,C,…) to the sum of each channel (C).
#[derive(Clone)]
pub(in crate::ops) struct ChannelSum;

impl<T: Float> LinearMap<T> for ChannelSum {
    const TEXTS: [Text; 2] = texts! {
        "channel_sum": "y[c] = Σ_{n,i} x[n,c,i]" => "dx[n,c,i] = dy[c]", saves "nothing";
        "channel_sum backward": "dx[n,c,i] = dy[c]" => "d(dy)[c] = Σ_{n,i} dz[n,c,i]", saves "nothing";
    };
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.sum(&over(x.shape()), false)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.reshape(channels(x)).broadcast_to(x)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        let y = x.channel_sum();
        assert_eq!(y.value().to_vec(), [9.0, 12.0]);
        let g = (y * Var64::constant([1.0, 10.0])).sum().backward();
        assert_eq!(g[&x].to_vec(), [1.0, 10.0, 1.0, 10.0, 1.0, 10.0]);
    }
}
