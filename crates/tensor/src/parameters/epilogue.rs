//! Epilogues: the residual and the activation that a product or a normalization applies to its result.

/// The epilogue of a product or a normalization: a residual is added to the result, then relu is applied.
///
/// `X` is the type of the residual: a tensor for a kernel, a variable for an op.
///
/// ```
/// use chainrule_tensor::{Epilogue, Tensor};
/// let (x, row) = (Tensor::from([[1.0], [5.0]]), Tensor::from([1.0]));
/// let (y, _) = x.batch_norm(&row, &row, 0.0, Epilogue::RELU);
/// assert_eq!(y.to_vec(), [0.0, 2.0]);
/// ```
#[derive(Debug)]
pub struct Epilogue<'a, X> {
    /// The residual, of the shape of the result.
    pub residual: Option<&'a X>,
    /// Whether `max(·, 0)` is applied.
    pub relu: bool,
    /// Whether the next op is a batch normalization, which needs sums over each channel of the result. A kernel that can
    /// sum its result while it is in registers attaches the sums to the tensor. They are valid for its layout until it is
    /// written to. Without attached sums, batch normalization computes them in a separate pass.
    pub channel_stats: bool,
}

impl<X> Clone for Epilogue<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X> Copy for Epilogue<'_, X> {}

impl<'a, X> Epilogue<'a, X> {
    /// No epilogue.
    pub const NONE: Self = Self { residual: None, relu: false, channel_stats: false };
    /// Relu.
    pub const RELU: Self = Self { relu: true, ..Self::NONE };
    /// Requests the channel statistics of the result for a batch normalization that follows as a separate op.
    pub const CHANNEL_STATS: Self = Self { channel_stats: true, ..Self::NONE };

    /// Adds a residual.
    pub fn add(residual: &'a X) -> Self {
        Self { residual: Some(residual), ..Self::NONE }
    }

    /// Adds a residual, then applies relu.
    pub fn add_relu(residual: &'a X) -> Self {
        Self { residual: Some(residual), ..Self::RELU }
    }

    /// The same epilogue with another residual: how an op passes it to its kernel.
    pub fn with_residual<Y>(self, residual: Option<&Y>) -> Epilogue<'_, Y> {
        Epilogue { residual, relu: self.relu, channel_stats: self.channel_stats }
    }
}
