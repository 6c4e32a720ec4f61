//! The kinds of mistakes that the checker knows.

/// A kind of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The derivative of the activation is left out.
    SlopeForgotten,
    /// The derivative of the activation is taken at its output instead of its input.
    SlopeAtOutput,
    /// The input of an activation stands where its output belongs.
    PreActivation,
    /// One of the paths to the loss is missing.
    PathDropped,
    /// Only one of several paths is there.
    OnePathOnly,
    /// A term of a sum is missing.
    TermForgotten,
    /// A factor of a product is missing.
    FactorForgotten,
    /// The bias is missing.
    BiasForgotten,
    /// A sign is wrong.
    Sign,
    /// Twice the value.
    Twice,
    /// Half of the value.
    Half,
    /// A mean instead of a sum.
    MeanForSum,
    /// A sum instead of a mean.
    SumForMean,
    /// A weight matrix is read with rows and columns exchanged.
    Transposed,
    /// The kernel is rotated by 180°.
    KernelFlipped,
    /// The gradient uses a weight after its update.
    UpdatedTooEarly,
    /// The learning rate is left out.
    RateForgotten,
    /// Intermediate results are rounded more than the answer.
    RoundedTooEarly,
    /// A product instead of a sum.
    ProductForSum,
    /// A sum instead of a product.
    SumForProduct,
    /// The square is left out.
    SquareForgotten,
    /// The square root is left out.
    RootForgotten,
    /// A logarithm to base 10 instead of the natural one.
    DecimalLogarithm,
    /// The gradient reaches every element of a pooling window instead of the largest.
    MaskForgotten,
    /// The mean of a pooling window instead of the largest, or the reverse.
    WrongPooling,
    /// The variance is divided by n − 1 instead of n.
    UnbiasedVariance,
    /// The other convention of momentum: the velocity contains the learning rate, or does not.
    OtherMomentum,
    /// The bias correction of Adam is left out.
    NoBiasCorrection,
    /// The softmax is differentiated as if each output depended on its own input only.
    OwnInputOnly,
    /// The axis of a sum is wrong.
    WrongAxis,
    /// A mean over the batch where the loss is a sum.
    MeanOverBatch,
    /// The factors of a matrix product are exchanged.
    OrderExchanged,
    /// The shapes of a formula of matrices do not fit.
    WrongShapes,
}

impl Kind {
    /// A short name, for tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlopeForgotten => "slope of the activation forgotten",
            Self::SlopeAtOutput => "slope taken at the output",
            Self::PreActivation => "pre-activation used for activation",
            Self::PathDropped => "a path dropped",
            Self::OnePathOnly => "only one path kept",
            Self::TermForgotten => "a term of the sum forgotten",
            Self::FactorForgotten => "a factor forgotten",
            Self::BiasForgotten => "bias forgotten",
            Self::Sign => "sign",
            Self::Twice => "factor 2",
            Self::Half => "factor 1/2",
            Self::MeanForSum => "mean for sum",
            Self::SumForMean => "sum for mean",
            Self::Transposed => "transposed",
            Self::KernelFlipped => "kernel flipped",
            Self::UpdatedTooEarly => "weight updated too early",
            Self::RateForgotten => "learning rate forgotten",
            Self::RoundedTooEarly => "rounded too early",
            Self::ProductForSum => "product for sum",
            Self::SumForProduct => "sum for product",
            Self::SquareForgotten => "square forgotten",
            Self::RootForgotten => "square root forgotten",
            Self::DecimalLogarithm => "logarithm to base 10",
            Self::MaskForgotten => "gradient sent to the whole window",
            Self::WrongPooling => "wrong kind of pooling",
            Self::UnbiasedVariance => "variance over n - 1",
            Self::OtherMomentum => "other convention of momentum",
            Self::NoBiasCorrection => "bias correction forgotten",
            Self::OwnInputOnly => "softmax differentiated for its own input only",
            Self::WrongAxis => "sum over the wrong axis",
            Self::MeanOverBatch => "mean over the batch",
            Self::OrderExchanged => "order of the product exchanged",
            Self::WrongShapes => "shapes do not fit",
        }
    }
}
