//! What an operation was given besides its inputs: numbers, windows, axes, labels.

use chainrule_tensor::TensorOf;

/// One setting of a recorded operation, as data: the slope of a leaky ReLU, the window of a pool, the labels of a loss.
///
/// ```
/// use chainrule_autograd::{Attribute, Setting};
/// let slope = Attribute::new("slope", 0.01).symbol("α");
/// assert_eq!((slope.symbol, &slope.value), ("α", &Setting::Number(0.01)));
/// assert_eq!(slope.to_string(), "slope α = 0.01");
/// assert_eq!(Attribute::new("stride", [2_usize, 1]).to_string(), "stride = 2, 1");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// What it is called.
    pub name: &'static str,
    /// What the rule's formulas call it: `α`; the name itself unless [`symbol`](Self::symbol) gave another.
    pub symbol: &'static str,
    /// What it is.
    pub value: Setting,
}

/// The value of an [`Attribute`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Setting {
    /// A number, such as ε.
    Number(f64),
    /// An integer, such as an axis.
    Integer(i64),
    /// Integers, such as the axes of a permutation, or stride and padding as (vertical, horizontal).
    Integers(Vec<i64>),
    /// A choice, such as `align_corners`.
    Flag(bool),
    /// A choice by name, such as how a loss is reduced.
    Text(String),
    /// Integers that are data, such as the labels of a loss; not copied from the device they are on.
    Indices(TensorOf<i32>),
    /// Which elements of a tensor are meant: not 0.
    Mask(TensorOf<u8>),
    /// Numbers that no gradient flows to, such as running statistics.
    Numbers(TensorOf<f64>),
}

impl Attribute {
    /// An attribute whose formulas call it by its name.
    pub fn new(name: &'static str, value: impl Into<Setting>) -> Self {
        Self { name, symbol: name, value: value.into() }
    }

    /// The same, written as `symbol` in formulas.
    #[must_use]
    pub fn symbol(mut self, symbol: &'static str) -> Self {
        self.symbol = symbol;
        self
    }
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.symbol {
            symbol if symbol == self.name => write!(f, "{symbol} = {}", self.value),
            symbol => write!(f, "{} {symbol} = {}", self.name, self.value),
        }
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Integers(values) => {
                let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(", "))
            }
            Self::Flag(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::Indices(value) => write!(f, "{value}"),
            Self::Mask(value) => write!(f, "{value}"),
            Self::Numbers(value) => write!(f, "{value}"),
        }
    }
}

/// `From` for each kind of value, as `kind: type => expression`.
macro_rules! settings {
    ($($kind:ident: $type:ty => |$value:ident| $convert:expr;)*) => {
        $(impl From<$type> for Setting {
            fn from($value: $type) -> Self {
                Self::$kind($convert)
            }
        })*
    };
}

settings! {
    Number: f64 => |value| value;
    Integer: i64 => |value| value;
    Integer: isize => |value| value as i64;
    Integer: usize => |value| value as i64;
    Integers: Vec<i64> => |values| values;
    Integers: &[isize] => |values| values.iter().map(|&value| value as i64).collect();
    Integers: &[usize] => |values| values.iter().map(|&value| value as i64).collect();
    Integers: [usize; 2] => |values| values.iter().map(|&value| value as i64).collect();
    Flag: bool => |value| value;
    Text: String => |value| value;
    Text: &str => |value| value.to_owned();
    Indices: &TensorOf<i32> => |value| value.clone();
    Mask: &TensorOf<u8> => |value| value.clone();
    Numbers: TensorOf<f64> => |value| value;
}
