//! What follows a product or a normalization in the same op.

/// What follows a product or a normalization in the same op: first a residual is added, then relu taken.
///
/// `X` is what the residual is: a tensor for a kernel, a variable for an op.
///
/// ```
/// use chainrule_tensor::{Epilogue, Tensor};
/// let (x, row) = (Tensor::from([[1.0], [5.0]]), Tensor::from([1.0]));
/// let (y, _) = x.batch_norm(&row, &row, 0.0, Epilogue::RELU);
/// assert_eq!(y.to_vec(), [0.0, 2.0]);
/// ```
#[derive(Debug)]
pub struct Epilogue<'a, X> {
    /// What is added to the result, of its shape.
    pub residual: Option<&'a X>,
    /// Whether `max(·, 0)` is taken then.
    pub relu: bool,
    /// Whether a batch normalization of the result follows, which needs sums over each channel. A kernel that can sum up
    /// its result while it is in registers then attaches the sums to it, for exactly its layout and until it is written
    /// to; a batch normalization that finds none makes them in a pass of its own.
    pub channel_stats: bool,
}

impl<X> Clone for Epilogue<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X> Copy for Epilogue<'_, X> {}

impl<'a, X> Epilogue<'a, X> {
    /// Nothing follows.
    pub const NONE: Self = Self { residual: None, relu: false, channel_stats: false };
    /// Relu.
    pub const RELU: Self = Self { relu: true, ..Self::NONE };
    /// A batch normalization in an op of its own.
    pub const CHANNEL_STATS: Self = Self { channel_stats: true, ..Self::NONE };

    /// A residual is added.
    pub fn add(residual: &'a X) -> Self {
        Self { residual: Some(residual), ..Self::NONE }
    }

    /// A residual is added, then relu taken.
    pub fn add_relu(residual: &'a X) -> Self {
        Self { residual: Some(residual), ..Self::RELU }
    }

    /// The same with this residual: what an op hands to its kernel.
    pub fn with_residual<Y>(self, residual: Option<&Y>) -> Epilogue<'_, Y> {
        Epilogue { residual, relu: self.relu, channel_stats: self.channel_stats }
    }
}
