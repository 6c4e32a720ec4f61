//! Evaluation of formulas with given numbers, and substitution of these numbers.

use std::fmt;

use super::expression::{Expression, Fence, Junction, Operator, Relation, Symbol};
use super::{Equation, Formula, functions};

/// The error of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvaluationError {
    /// There is no equation with this left side.
    NoEquation(String),
    /// A symbol has neither a number nor an equation.
    Unknown(String),
    /// The definition of a symbol is circular.
    Circular(String),
    /// This part is not a function of single numbers, such as a sum over indices or a function of tensors.
    NotOfNumbers(String),
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEquation(left) => write!(f, "formula: no equation defines '{left}'"),
            Self::Unknown(symbol) => write!(f, "formula: '{symbol}' has no value"),
            Self::Circular(symbol) => write!(f, "formula: the definition of '{symbol}' is circular"),
            Self::NotOfNumbers(part) => write!(f, "formula: '{part}' is not a function of single numbers"),
        }
    }
}

impl std::error::Error for EvaluationError {}

impl Formula {
    /// Evaluates the right side of the equation with this left side. `value` gives the numbers of symbols by
    /// [`name`](Symbol::name); symbols without a number are defined by the other equations; e, π and ∞ are known.
    ///
    /// ```
    /// use chainrule_autograd::formula::Formula;
    /// let swish = Formula::parse("dx = dy · (s + βx·s(1 − s)), s = σ(βx)").unwrap();
    /// let at = |symbol: &str| match symbol {
    ///     "dy" => Some(2.0),
    ///     "β" => Some(1.0),
    ///     "x" => Some(0.0),
    ///     _ => None,
    /// };
    /// assert_eq!(swish.evaluate("dx", &at), Ok(1.0));
    /// ```
    ///
    /// # Errors
    /// If there is no such equation, a symbol has no value, or a part is not a function of single numbers.
    pub fn evaluate(&self, left: &str, value: &dyn Fn(&str) -> Option<f64>) -> Result<f64, EvaluationError> {
        let equation = self.equation(left).ok_or_else(|| EvaluationError::NoEquation(left.to_owned()))?;
        Evaluator { formula: self, value, defining: Vec::new() }.number(&equation.right)
    }

    /// Substitutes symbols on right sides by the numbers that `text` gives for them. Elements with indices and sums are
    /// not changed.
    ///
    /// ```
    /// use chainrule_autograd::formula::Formula;
    /// let sigmoid = Formula::parse("dx = dy · y(1 − y)").unwrap();
    /// let at = |symbol: &str| match symbol {
    ///     "dy" => Some("-0.5".to_owned()),
    ///     "y" => Some("0.62".to_owned()),
    ///     _ => None,
    /// };
    /// assert_eq!(sigmoid.with_numbers(&at).to_string(), "dx = (−0.5) · 0.62(1 − 0.62)");
    /// ```
    #[must_use]
    pub fn with_numbers(&self, text: &dyn Fn(&str) -> Option<String>) -> Self {
        let equations = self.equations.iter();
        let written = |equation: &Equation| Equation { right: equation.right.with_numbers(text), ..equation.clone() };
        Self { equations: equations.map(written).collect() }
    }
}

impl Expression {
    /// Evaluates the expression. `value` gives the numbers of symbols by [`name`](Symbol::name).
    ///
    /// # Errors
    /// If a symbol has no value or a part is not a function of single numbers.
    pub fn evaluate(&self, value: &dyn Fn(&str) -> Option<f64>) -> Result<f64, EvaluationError> {
        let formula = Formula { equations: Vec::new() };
        Evaluator { formula: &formula, value, defining: Vec::new() }.number(self)
    }

    fn with_numbers(&self, text: &dyn Fn(&str) -> Option<String>) -> Self {
        let new = |x: &Self| x.with_numbers(text);
        let boxed = |x: &Self| Box::new(new(x));
        match self {
            Self::Symbol(symbol) => match text(&symbol.name()) {
                Some(number) => match number.strip_prefix(['-', '−']) {
                    Some(positive) => Self::Negative(Box::new(Self::Number(positive.to_owned()))),
                    None => Self::Number(number),
                },
                None => self.clone(),
            },
            Self::Number(_) | Self::Ellipsis | Self::Element { .. } | Self::Over { .. } => self.clone(),
            Self::Call { function, arguments, .. } => {
                let arguments = arguments.iter().map(new).collect();
                Self::Call { function: function.clone(), arguments, parentheses: true }
            }
            Self::Negative(x) => Self::Negative(boxed(x)),
            Self::Binary(operator, a, b) => Self::Binary(*operator, boxed(a), boxed(b)),
            Self::Power(a, b) => Self::Power(boxed(a), boxed(b)),
            Self::Root(x) => Self::Root(boxed(x)),
            Self::Transpose(x) => Self::Transpose(boxed(x)),
            Self::Fenced(fence, x) => Self::Fenced(*fence, boxed(x)),
            Self::Cases { cases, otherwise } => Self::Cases {
                cases: cases.iter().map(|(value, condition)| (new(value), new(condition))).collect(),
                otherwise: boxed(otherwise),
            },
            Self::Comparison(first, rest) => {
                Self::Comparison(boxed(first), rest.iter().map(|(relation, x)| (*relation, new(x))).collect())
            }
            Self::Logic(junction, conditions) => Self::Logic(*junction, conditions.iter().map(new).collect()),
        }
    }
}

struct Evaluator<'a> {
    formula: &'a Formula,
    value: &'a dyn Fn(&str) -> Option<f64>,
    /// The symbols whose equations are being evaluated.
    defining: Vec<String>,
}

impl Evaluator<'_> {
    fn number(&mut self, x: &Expression) -> Result<f64, EvaluationError> {
        let not_of_numbers = || EvaluationError::NotOfNumbers(x.to_string());
        match x {
            Expression::Number(text) => text.parse().map_err(|_| not_of_numbers()),
            Expression::Symbol(symbol) => self.symbol(symbol),
            Expression::Negative(x) => Ok(-self.number(x)?),
            Expression::Root(x) => Ok(self.number(x)?.sqrt()),
            Expression::Power(a, b) => Ok(self.number(a)?.powf(self.number(b)?)),
            Expression::Binary(operator, a, b) => {
                let (a, b) = (self.number(a)?, self.number(b)?);
                Ok(match operator {
                    Operator::Add => a + b,
                    Operator::Subtract => a - b,
                    Operator::Multiply { .. } | Operator::Juxtapose => a * b,
                    Operator::Divide { .. } => a / b,
                })
            }
            Expression::Fenced(fence, x) => {
                let x = self.number(x)?;
                Ok(match fence {
                    Fence::Absolute => x.abs(),
                    Fence::Floor => x.floor(),
                    Fence::Ceiling => x.ceil(),
                })
            }
            Expression::Call { function, arguments, .. } => {
                let arguments = arguments.iter().map(|x| self.number(x)).collect::<Result<Vec<_>, _>>()?;
                functions::value(&function.name(), &arguments).ok_or_else(not_of_numbers)
            }
            Expression::Cases { cases, otherwise } => {
                for (value, condition) in cases {
                    if self.holds(condition)? {
                        return self.number(value);
                    }
                }
                self.number(otherwise)
            }
            Expression::Comparison(..) | Expression::Logic(..) => Ok(f64::from(u8::from(self.holds(x)?))),
            Expression::Element { .. } | Expression::Over { .. } | Expression::Transpose(_) | Expression::Ellipsis => {
                Err(not_of_numbers())
            }
        }
    }

    fn symbol(&mut self, symbol: &Symbol) -> Result<f64, EvaluationError> {
        let name = symbol.name();
        if let Some(value) = (self.value)(&name) {
            return Ok(value);
        }
        let Some(equation) = self.formula.equation(&symbol.to_string()) else {
            return functions::constant(&name).ok_or(EvaluationError::Unknown(name));
        };
        if self.defining.contains(&name) {
            return Err(EvaluationError::Circular(name));
        }
        self.defining.push(name);
        let value = self.number(&equation.right)?;
        self.defining.pop();
        Ok(value)
    }

    fn holds(&mut self, condition: &Expression) -> Result<bool, EvaluationError> {
        match condition {
            Expression::Comparison(first, rest) => {
                let mut a = self.number(first)?;
                for (relation, b) in rest {
                    let b = self.number(b)?;
                    let holds = match relation {
                        Relation::Equal => a == b,
                        Relation::Different => a != b,
                        Relation::Less => a < b,
                        Relation::AtMost => a <= b,
                        Relation::Greater => a > b,
                        Relation::AtLeast => a >= b,
                        Relation::In => return Err(EvaluationError::NotOfNumbers(condition.to_string())),
                    };
                    if !holds {
                        return Ok(false);
                    }
                    a = b;
                }
                Ok(true)
            }
            Expression::Logic(junction, conditions) => {
                for condition in conditions {
                    if self.holds(condition)? != (*junction == Junction::And) {
                        return Ok(*junction == Junction::Or);
                    }
                }
                Ok(*junction == Junction::And)
            }
            _ => Ok(self.number(condition)? != 0.0),
        }
    }
}
