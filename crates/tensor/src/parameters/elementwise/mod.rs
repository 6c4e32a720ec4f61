//! The elementwise functions.

mod functions;

pub(crate) use functions::functions;

/// Declares the enums of functions and their GPU opcodes.
macro_rules! declare {
    (
        unary { $(
            $(#[$doc:meta])*
            $name:ident $(($($number:ident),+))? = $grain:ident |$x:ident| $value:expr,
                $(
                    $(#[$backward_doc:meta])*
                    gradient $backward:ident $(($($backward_number:ident),+))?
                        = $backward_grain:ident |$dy:ident, $at:ident| $gradient:expr,
                )?
                test $instance:ident $(($($example:expr),+))? = $definition:expr;
        )+ }
        binary { $(
            $(#[$binary_doc:meta])*
            $binary:ident $label:literal = $binary_grain:ident |$a:ident, $b:ident| $result:expr;
        )+ }
    ) => {
        /// A unary function. Its parameters are `f64` and are rounded to the element type.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Unary {
            $($(#[$doc])* $name $(($(declare!(@number $number)),+))?,)+
        }

        /// A binary function.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Binary {
            $($(#[$binary_doc])* $binary,)+
            $($($(#[$backward_doc])* $backward $(($(declare!(@number $backward_number)),+))?,)?)+
        }

        /// The opcodes of the functions on a GPU.
        enum UnaryCode { $($name),+ }
        enum BinaryCode { $($binary,)+ $($($backward,)?)+ }

        impl Unary {
            /// Its GPU opcode and its parameters.
            pub(crate) fn code(self) -> (i32, [f64; 2]) {
                match self.cheapest() {
                    $(Self::$name $(($($number),+))? => (UnaryCode::$name as i32, two(&[$($($number),+)?])),)+
                }
            }
        }

        impl Binary {
            /// Its name in error texts.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$binary => $label,)+
                    $($(Self::$backward { .. } => stringify!($backward),)?)+
                }
            }

            /// Its GPU opcode and its parameters.
            pub(crate) fn code(self) -> (i32, [f64; 2]) {
                match self {
                    $(Self::$binary => (BinaryCode::$binary as i32, two(&[])),)+
                    $($(Self::$backward $(($($backward_number),+))? => {
                        (BinaryCode::$backward as i32, two(&[$($($backward_number),+)?]))
                    })?)+
                }
            }
        }
    };
    (@number $name:ident) => { f64 };
}

functions!(declare);

impl Unary {
    /// The function itself, or an equivalent that is cheaper and no less accurate: one or two products for a common exponent.
    pub(crate) fn cheapest(self) -> Self {
        match self {
            Self::Pow(2.0) => Self::Square,
            Self::Pow(3.0) => Self::Cube,
            Self::Pow(-1.0) => Self::Reciprocal,
            other => other,
        }
    }
}

/// The parameters of a function, at most two, padded to the two that a GPU kernel expects.
fn two(numbers: &[f64]) -> [f64; 2] {
    std::array::from_fn(|i| numbers.get(i).copied().unwrap_or_default())
}

/// A comparison of two elements.
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
