//! The elementwise functions there are.

/// A function of one number. Numbers in it are `f64` and rounded to the element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// −x
    Neg,
    /// |x|
    Abs,
    /// −1, 0 or 1; NaN for NaN
    Sign,
    /// eˣ
    Exp,
    /// ln x
    Log,
    /// √x
    Sqrt,
    /// x²
    Square,
    /// 1/x
    Reciprocal,
    /// x + s
    Add(f64),
    /// s − x
    SubFrom(f64),
    /// s·x
    Mul(f64),
    /// s/x
    DivInto(f64),
    /// xᵖ
    Pow(f64),
    /// max(lo, min(x, hi)); NaN stays
    Clamp(f64, f64),
    /// max(x, 0); NaN stays
    Relu,
    /// x for x > 0, else αx
    LeakyRelu(f64),
    /// 1/(1 + e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
    /// ln(1 + eˣ)
    Softplus,
    /// x·σ(βx)
    Swish(f64),
    /// x·tanh(softplus x)
    Mish,
    /// x·Φ(x), Φ being the standard normal's distribution function
    Gelu,
    /// x/2·(1 + tanh(√(2/π)·(x + 0.044715x³)))
    GeluTanh,
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a·b
    Mul,
    /// a/b
    Div,
    /// The larger; NaN if either is
    Maximum,
    /// The smaller; NaN if either is
    Minimum,
    /// dy where y > 0, else 0, of (dy, y)
    ReluBackward,
    /// dy where x > 0, else α·dy, of (dy, x)
    LeakyReluBackward(f64),
    /// dy where lo ≤ x ≤ hi, else 0, of (dy, x)
    ClampBackward(f64, f64),
    /// dy·y(1 − y), of (dy, y)
    SigmoidBackward,
    /// dy·(1 − y²), of (dy, y)
    TanhBackward,
    /// dy·σ(x), of (dy, x)
    SoftplusBackward,
    /// dy·(σ(βx) + βx·σ(βx)(1 − σ(βx))), of (dy, x)
    SwishBackward(f64),
    /// dy·(t + x(1 − t²)σ(x)) with t = tanh(softplus x), of (dy, x)
    MishBackward,
    /// dy·(Φ(x) + x·φ(x)), of (dy, x), φ being the standard normal's density
    GeluBackward,
    /// dy times the derivative of [`Unary::GeluTanh`] at x, of (dy, x)
    GeluTanhBackward,
}

impl Binary {
    /// Its name in error texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::ReluBackward => "relu backward",
            Self::LeakyReluBackward(_) => "leaky_relu backward",
            Self::ClampBackward(..) => "clamp backward",
            Self::SigmoidBackward => "sigmoid backward",
            Self::TanhBackward => "tanh backward",
            Self::SoftplusBackward => "softplus backward",
            Self::SwishBackward(_) => "swish backward",
            Self::MishBackward => "mish backward",
            Self::GeluBackward | Self::GeluTanhBackward => "gelu backward",
        }
    }
}

/// A relation between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// a = b
    Equal,
    /// a ≠ b
    NotEqual,
    /// a < b
    Less,
    /// a ≤ b
    LessEqual,
    /// a > b
    Greater,
    /// a ≥ b
    GreaterEqual,
}
