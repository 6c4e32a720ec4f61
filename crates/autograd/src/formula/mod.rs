//! Formulas of rules, in a notation that programs can parse.
//!
//! A formula is one or more equations in textbook notation, `y = 1/(1 + e⁻ˣ)` or `dx = dy · w, dw = dyᵀ · x`. It can be
//! parsed ([`Formula::parse`]), printed as text (`Display`) or as MathML ([`to_mathml`](Formula::to_mathml)), evaluated
//! for given numbers ([`evaluate`](Formula::evaluate)), and printed with these numbers
//! ([`with_numbers`](Formula::with_numbers)).
//!
//! # Notation
//!
//! | | |
//! |---|---|
//! | equations | `dx = dy · w, dw = dyᵀ · x`; `,` or `;` between them; definitions of symbols are equations too |
//! | symbols | `x`, `h₁` (or `h1`, `h_1`), `γ`, `x̂`, `u′`, `pad`; `dx`, `dγ`: the gradients; e, π, ∞ |
//! | products | `a · b`, `a*b`, `2x`, `βx`, `y(1 − y)`; without a sign between they bind more tightly than `/`: `1/2x` is `1/(2x)` |
//! | quotients, powers | `a / b`, `x²`, `xᵖ⁻¹`, `e^(−x)`, `√(1 + x)`, `wᵀ` |
//! | functions | `exp(x)`, `ln p`, `max(a, b)`, `σ(x)`; Φ and φ are the normal distribution and its density; `\|x\|`, `⌊x⌋` |
//! | elements | `x[n, c, s·i + p]`; `…` for indices that stay as they are |
//! | sums | `Σₙ dy`, `Σ_{n,i} dy[n,c,i]`, `Σ_{i : k[i] = j} dy[i]`, `max_{i} x[i]`; they reach to the end of the product |
//! | cases | `dy where x > 0, dy/2 where x = 0, else 0`; conditions: `lo ≤ x ≤ hi`, `a > 0 and b > 0`, `or` |
//!
//! A word of three letters or more before a parenthesis is a function (`foo(x)`), a shorter one a factor (`dy(1 − y)`,
//! `h1(1 − h1)`), unless it is a function known by name (`ln(x)`).

mod evaluate;
mod expression;
mod functions;
mod lexer;
mod mathml;
mod parser;
mod script;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::fmt;

pub use evaluate::EvaluationError;
pub use expression::{Expression, Fence, Junction, Operator, Relation, Symbol};

/// One or more equations.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    equations: Vec<Equation>,
}

/// `left = right`.
#[derive(Clone, Debug, PartialEq)]
pub struct Equation {
    /// The left side: `dx`, `d(dy)`, `y[n,c]`.
    pub left: Expression,
    /// The right side.
    pub right: Expression,
    /// The separator before it, `,` or `;`, unless it is the first.
    separator: char,
}

/// A syntax error in a formula, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    text: String,
    position: usize,
    message: String,
}

impl ParseError {
    fn new(text: &str, position: usize, message: impl Into<String>) -> Self {
        Self { text: text.to_owned(), position, message: message.into() }
    }

    /// The position of the error, in characters.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for ParseError {
    /// The message, the text, and a caret under the error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accents = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
        let columns = self.text.chars().take(self.position).filter(|c| !accents(c)).count();
        let Self { text, position, message } = self;
        write!(f, "formula: {message}\n  at character {}\n  {text}\n  {}^", position + 1, " ".repeat(columns))
    }
}

impl std::error::Error for ParseError {}

impl Formula {
    /// Parses equations in the [notation](self) of this module.
    ///
    /// ```
    /// use chainrule_autograd::formula::Formula;
    /// let relu = Formula::parse("dx = dy where y > 0, else 0").unwrap();
    /// assert_eq!(relu.to_string(), "dx = dy where y > 0, else 0");
    /// let error = Formula::parse("y = 2 + * x").unwrap_err();
    /// assert_eq!(error.position(), 8);
    /// ```
    ///
    /// # Errors
    /// If there is a syntax error; the error contains its position.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parser::equations(text).map(|equations| Self { equations })
    }

    /// The equations, in order.
    #[must_use]
    pub fn equations(&self) -> &[Equation] {
        &self.equations
    }

    /// The equation with this left side.
    #[must_use]
    pub fn equation(&self, left: &str) -> Option<&Equation> {
        self.equations.iter().find(|equation| equation.left.to_string() == left)
    }

    /// The inputs whose gradients a derivative defines, in order. `dx`, `dx[n,c]` and `d(x)` define that of x.
    ///
    /// ```
    /// use chainrule_autograd::formula::Formula;
    /// let sigmoid_gradient = Formula::parse("d(dy) = dz · s, d(x) = dz · dy · s(1 − 2y), s = y(1 − y)").unwrap();
    /// assert_eq!(sigmoid_gradient.inputs(), ["dy", "x"]);
    /// ```
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        self.equations.iter().filter_map(|equation| input(base(&equation.left))).collect()
    }

    /// The free symbols of right sides, by [`name`](Symbol::name): without those that an equation defines, indices, and
    /// e, π and ∞.
    #[must_use]
    pub fn symbols(&self) -> BTreeSet<String> {
        let mut free = BTreeSet::new();
        for equation in &self.equations {
            let mut bound = BTreeSet::new();
            indices(&equation.left, &mut bound);
            collect(&equation.right, &bound, &mut free);
        }
        free.retain(|name| functions::constant(name).is_none());
        for equation in &self.equations {
            if let Expression::Symbol(symbol) = base(&equation.left) {
                free.remove(&symbol.name());
            }
        }
        free
    }
}

impl Expression {
    /// Parses a single expression, such as a student's answer, in the [notation](self) of this module.
    ///
    /// # Errors
    /// If there is a syntax error; the error contains its position.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parser::expression(text)
    }
}

/// The symbol of a left side without indices: `y` of `y[n,c]`.
fn base(left: &Expression) -> &Expression {
    match left {
        Expression::Element { of, .. } => base(of),
        _ => left,
    }
}

/// The variable whose gradient a left side denotes.
fn input(left: &Expression) -> Option<String> {
    match left {
        Expression::Symbol(symbol) => {
            let of = expression::differential(&symbol.base)?;
            Some(Symbol { base: of.to_owned(), ..symbol.clone() }.name())
        }
        Expression::Call { function, arguments, .. } if function.name() == "d" => match &arguments[..] {
            [Expression::Symbol(of)] => Some(of.name()),
            _ => None,
        },
        _ => None,
    }
}

/// The symbols in the indices of a left side, which are bound on the right side.
fn indices(left: &Expression, bound: &mut BTreeSet<String>) {
    if let Expression::Element { of, at } = left {
        indices(of, bound);
        for index in at {
            collect(index, &BTreeSet::new(), bound);
        }
    }
}

/// Adds the names of the free symbols of an expression.
fn collect(x: &Expression, bound: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match x {
        Expression::Symbol(symbol) => {
            if !bound.contains(&symbol.name()) {
                found.insert(symbol.name());
            }
        }
        Expression::Over { indices, condition, body, .. } => {
            let mut inner = bound.clone();
            for index in indices {
                collect(running(index), &BTreeSet::new(), &mut inner);
            }
            indices.iter().chain(condition.as_deref()).for_each(|x| collect(x, &inner, found));
            collect(body, &inner, found);
        }
        _ => x.for_each_part(&mut |part| collect(part, bound, found)),
    }
}

/// The index in `i ∈ window` or `i ≠ j` under a sum.
fn running(index: &Expression) -> &Expression {
    match index {
        Expression::Comparison(first, _) => first,
        _ => index,
    }
}
