//! The elementwise functions there are.

mod functions;

pub(crate) use functions::functions;

/// The enums of functions, and their numbers on a GPU.
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
        /// A function of one number. Numbers in it are `f64` and rounded to the element type.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Unary {
            $($(#[$doc])* $name $(($(declare!(@number $number)),+))?,)+
        }

        /// A function of two numbers.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Binary {
            $($(#[$binary_doc])* $binary,)+
            $($($(#[$backward_doc])* $backward $(($(declare!(@number $backward_number)),+))?,)?)+
        }

        /// The functions' numbers on a GPU.
        enum UnaryCode { $($name),+ }
        enum BinaryCode { $($binary,)+ $($($backward,)?)+ }

        impl Unary {
            /// Its number on a GPU, and the numbers in it.
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

            /// Its number on a GPU, and the numbers in it.
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
    /// The function itself, or one that costs less and rounds no worse: a product or two for a common exponent.
    pub(crate) fn cheapest(self) -> Self {
        match self {
            Self::Pow(2.0) => Self::Square,
            Self::Pow(3.0) => Self::Cube,
            Self::Pow(-1.0) => Self::Reciprocal,
            other => other,
        }
    }
}

/// At most two numbers, as kernels on a GPU take them.
fn two(numbers: &[f64]) -> [f64; 2] {
    std::array::from_fn(|i| numbers.get(i).copied().unwrap_or_default())
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
