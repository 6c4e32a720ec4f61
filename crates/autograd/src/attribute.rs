//! Attributes: the settings of an operation besides its inputs, such as numbers, windows, axes and labels.

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
    /// The name.
    pub name: &'static str,
    /// The symbol in the rule's formulas, such as `α`; the name, unless set by [`symbol`](Self::symbol).
    pub symbol: &'static str,
    /// The value.
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
    /// A flag, such as `align_corners`.
    Flag(bool),
    /// A named choice, such as the reduction of a loss.
    Text(String),
    /// Integer data, such as the labels of a loss; stays on its device.
    Indices(TensorOf<i32>),
    /// A mask of the elements of a tensor; all values other than 0 select.
    Mask(TensorOf<u8>),
    /// Numbers that no gradient flows to, such as running statistics.
    Numbers(TensorOf<f64>),
}

impl Attribute {
    /// An attribute whose symbol is its name.
    pub fn new(name: &'static str, value: impl Into<Setting>) -> Self {
        Self { name, symbol: name, value: value.into() }
    }

    /// Sets the symbol used in formulas.
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

/// Implements `From` for each type of value, from lines `variant: type => expression`.
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
