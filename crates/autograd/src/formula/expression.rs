//! The syntax tree of formulas.

/// A mathematical expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A number, as written: `0.044715`.
    Number(String),
    /// `x`, `γ`, `h₁`, `u′`.
    Symbol(Symbol),
    /// An element: `x[n, c, i]`.
    Element {
        /// The indexed expression.
        of: Box<Self>,
        /// The indices.
        at: Vec<Self>,
    },
    /// A function of arguments: `exp(x)`, `max(a, b)`, `ln p`.
    Call {
        /// The name.
        function: Symbol,
        /// The arguments.
        arguments: Vec<Self>,
        /// Whether the arguments are in parentheses: `ln(p)`, not `ln p`.
        parentheses: bool,
    },
    /// `−x`.
    Negative(Box<Self>),
    /// A binary operation, such as `a + b`.
    Binary(Operator, Box<Self>, Box<Self>),
    /// `xᵖ`.
    Power(Box<Self>, Box<Self>),
    /// `√x`.
    Root(Box<Self>),
    /// `xᵀ`.
    Transpose(Box<Self>),
    /// `|x|`, `⌊x⌋`.
    Fenced(Fence, Box<Self>),
    /// `Σ_{n,i} x[n,i]`, `max_{k} x[k]`.
    Over {
        /// `Σ`, `Π`, `max`, …
        operator: String,
        /// The indices, if given.
        indices: Vec<Self>,
        /// The condition on the indices, if any: `Σ_{i : k[i] = j} x[i]`.
        condition: Option<Box<Self>>,
        /// The summand.
        body: Box<Self>,
    },
    /// `a where x > 0, b where x = 0, else c`.
    Cases {
        /// The values with their conditions.
        cases: Vec<(Self, Self)>,
        /// The value if no condition holds.
        otherwise: Box<Self>,
    },
    /// A chain of comparisons: `lo ≤ x ≤ hi`.
    Comparison(Box<Self>, Vec<(Relation, Self)>),
    /// Conditions joined by `and` or `or`.
    Logic(Junction, Vec<Self>),
    /// `…`: further indices, unchanged.
    Ellipsis,
}

/// A name: `x`, `dγ`, `h₁`, `u′`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symbol {
    /// The base, without subscript and primes: `h`.
    pub base: String,
    /// The subscript, in plain characters: `1`; empty if there is none.
    pub subscript: String,
    /// The number of primes.
    pub primes: usize,
}

/// An operation of two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `a + b`.
    Add,
    /// `a − b`.
    Subtract,
    /// `a · b`, or tight: `a·b`.
    Multiply {
        /// Whether there are spaces around the dot.
        spaced: bool,
    },
    /// A product without a sign: `2x`, `y(1 − y)`.
    Juxtapose,
    /// `a / b`, or tight: `a/b`.
    Divide {
        /// Whether there are spaces around the slash.
        spaced: bool,
    },
}

/// The relation of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `=`.
    Equal,
    /// `≠`.
    Different,
    /// `<`.
    Less,
    /// `≤`.
    AtMost,
    /// `>`.
    Greater,
    /// `≥`.
    AtLeast,
    /// `∈`.
    In,
}

/// The operator that joins conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Junction {
    /// All hold.
    And,
    /// At least one holds.
    Or,
}

/// The delimiters around an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// `|x|`.
    Absolute,
    /// `⌊x⌋`.
    Floor,
    /// `⌈x⌉`.
    Ceiling,
}

impl Relation {
    /// The sign.
    pub(super) fn sign(self) -> char {
        match self {
            Self::Equal => '=',
            Self::Different => '≠',
            Self::Less => '<',
            Self::AtMost => '≤',
            Self::Greater => '>',
            Self::AtLeast => '≥',
            Self::In => '∈',
        }
    }

    pub(super) fn from_sign(sign: char) -> Option<Self> {
        const ALL: [Relation; 7] = [
            Relation::Equal,
            Relation::Different,
            Relation::Less,
            Relation::AtMost,
            Relation::Greater,
            Relation::AtLeast,
            Relation::In,
        ];
        ALL.into_iter().find(|relation| relation.sign() == sign)
    }
}

impl Junction {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
        }
    }
}

impl Fence {
    /// The opening and the closing sign.
    pub(super) fn signs(self) -> [char; 2] {
        match self {
            Self::Absolute => ['|', '|'],
            Self::Floor => ['⌊', '⌋'],
            Self::Ceiling => ['⌈', '⌉'],
        }
    }
}

impl Symbol {
    /// The name, by which values are looked up: `x`, `h1` (also for `h₁` and `h_1`), `x_i` (also for `xᵢ`), `u′`.
    #[must_use]
    pub fn name(&self) -> String {
        let number = self.subscript.chars().all(|c| c.is_ascii_digit());
        let link = if number { "" } else { "_" };
        format!("{}{link}{}{}", self.base, self.subscript, "′".repeat(self.primes))
    }

    /// Converts a word to a symbol: the part after an underscore, or digits at the end, become the subscript.
    pub(super) fn of_variable(word: &str) -> Self {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let (base, subscript) = match word.split_once('_') {
            Some(parts) => parts,
            None => word.split_at(letters.len()),
        };
        Self { base: base.to_owned(), subscript: subscript.to_owned(), primes: 0 }
    }

    /// Converts a word to the name of a function, without a subscript: `im2col`.
    pub(super) fn of_function(word: &str) -> Self {
        Self { base: word.to_owned(), subscript: String::new(), primes: 0 }
    }
}

/// The variable of a differential: `x` of `dx`, `w5` of `dw5`.
pub(super) fn differential(name: &str) -> Option<&str> {
    let of = name.strip_prefix(['d', '∂'])?;
    let letters = of.chars().filter(|c| c.is_alphabetic() && !('\u{300}'..='\u{36f}').contains(c)).count();
    (letters == 1).then_some(of)
}

impl Expression {
    /// Calls `visit` with each direct subexpression.
    pub fn for_each_part<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::Number(_) | Self::Symbol(_) | Self::Ellipsis => {}
            Self::Negative(x) | Self::Root(x) | Self::Transpose(x) | Self::Fenced(_, x) => visit(x),
            Self::Binary(_, a, b) | Self::Power(a, b) => {
                visit(a);
                visit(b);
            }
            Self::Element { of, at } => {
                visit(of);
                at.iter().for_each(visit);
            }
            Self::Call { arguments, .. } => arguments.iter().for_each(visit),
            Self::Over { indices, condition, body, .. } => {
                indices.iter().chain(condition.as_deref()).for_each(&mut *visit);
                visit(body);
            }
            Self::Cases { cases, otherwise } => {
                for (value, condition) in cases {
                    visit(value);
                    visit(condition);
                }
                visit(otherwise);
            }
            Self::Comparison(first, rest) => {
                visit(first);
                for (_, x) in rest {
                    visit(x);
                }
            }
            Self::Logic(_, conditions) => conditions.iter().for_each(visit),
        }
    }
}

/// The precedence of the outermost operation of an expression. If it is lower than required, parentheses are added.
pub(super) mod level {
    pub(in super::super) const CONDITION: u8 = 1;
    pub(in super::super) const COMPARISON: u8 = 2;
    pub(in super::super) const SUM: u8 = 3;
    pub(in super::super) const NEGATIVE: u8 = 4;
    pub(in super::super) const PRODUCT: u8 = 5;
    pub(in super::super) const TIGHT: u8 = 6;
    pub(in super::super) const APPLIED: u8 = 7;
    pub(in super::super) const JUXTAPOSED: u8 = 8;
    pub(in super::super) const RAISED: u8 = 9;
    pub(in super::super) const ATOM: u8 = 10;
}

impl Expression {
    pub(super) fn level(&self) -> u8 {
        match self {
            Self::Cases { .. } => 0,
            Self::Logic(..) => level::CONDITION,
            Self::Comparison(..) => level::COMPARISON,
            Self::Negative(_) => level::NEGATIVE,
            Self::Binary(operator, ..) => match operator {
                Operator::Add | Operator::Subtract => level::SUM,
                Operator::Multiply { spaced: true } | Operator::Divide { spaced: true } => level::PRODUCT,
                Operator::Multiply { spaced: false } | Operator::Divide { spaced: false } => level::TIGHT,
                Operator::Juxtapose => level::JUXTAPOSED,
            },
            Self::Over { .. } | Self::Call { parentheses: false, .. } => level::APPLIED,
            Self::Power(..) | Self::Root(_) | Self::Transpose(_) => level::RAISED,
            Self::Number(_)
            | Self::Symbol(_)
            | Self::Element { .. }
            | Self::Call { .. }
            | Self::Fenced(..)
            | Self::Ellipsis => level::ATOM,
        }
    }

    /// Whether it ends in a sum over indices, which would include the factors after it.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Over { .. } => true,
            Self::Negative(x) => x.is_open(),
            Self::Binary(operator, _, b) => !matches!(operator, Operator::Add | Operator::Subtract) && b.is_open(),
            Self::Call { arguments, parentheses: false, .. } => arguments.iter().any(Self::is_open),
            _ => false,
        }
    }
}
