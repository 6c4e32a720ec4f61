//! Formulas as plain Unicode text, which parses to the same formula.

use std::fmt::{self, Display, Formatter};

use super::expression::{Expression, Operator, Symbol, level};
use super::script::{subscript, superscript};
use super::{Equation, Formula, functions};

impl Display for Formula {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, equation) in self.equations.iter().enumerate() {
            if i > 0 {
                write!(f, "{} ", equation.separator)?;
            }
            write!(f, "{equation}")?;
        }
        Ok(())
    }
}

impl Display for Equation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.left, self.right)
    }
}

impl Display for Symbol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        // One or two letters become subscripts; longer words would be hard to read.
        let short = self.subscript.chars().count() <= 2 || self.subscript.chars().all(|c| c.is_ascii_digit());
        match subscript(&self.subscript).filter(|_| short) {
            Some(text) => f.write_str(&text)?,
            None => write!(f, "_{}", self.subscript)?,
        }
        f.write_str(&if self.primes == 2 { "″".into() } else { "′".repeat(self.primes) })
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) => f.write_str(text),
            Self::Symbol(symbol) => write!(f, "{symbol}"),
            Self::Ellipsis => f.write_str("…"),
            Self::Element { of, at } => write!(f, "{}[{}]", enclosed(of, level::ATOM), list(at)),
            Self::Call { function, arguments, parentheses } => {
                let argument = arguments.first().map(|argument| enclosed(argument, level::JUXTAPOSED));
                if let Some(text) = argument.filter(|text| !parentheses && !text.starts_with('(')) {
                    return write!(f, "{function} {text}");
                }
                let texts: Vec<String> = arguments.iter().map(ToString::to_string).collect();
                write!(f, "{function}({})", texts.join(", "))
            }
            Self::Negative(x) => write!(f, "−{}", enclosed(x, level::NEGATIVE)),
            Self::Binary(operator, a, b) => f.write_str(&binary(*operator, a, b)),
            Self::Power(base, exponent) => {
                let plain: String = exponent.to_string().chars().filter(|c| *c != ' ').collect();
                let base = enclosed(base, level::ATOM);
                match superscript(&plain) {
                    Some(raised) => write!(f, "{base}{raised}"),
                    None => write!(f, "{base}^{}", enclosed(exponent, level::ATOM)),
                }
            }
            Self::Root(x) => write!(f, "√{}", enclosed(x, level::RAISED)),
            Self::Transpose(x) => write!(f, "{}ᵀ", enclosed(x, level::ATOM)),
            Self::Fenced(fence, x) => {
                let [open, close] = fence.signs();
                write!(f, "{open}{x}{close}")
            }
            Self::Over { operator, indices, condition, body } => {
                write!(f, "{operator}{} {}", under(indices, condition.as_deref()), enclosed(body, level::PRODUCT))
            }
            Self::Cases { cases, otherwise } => {
                for (value, condition) in cases {
                    write!(f, "{} where {condition}, ", enclosed(value, level::SUM))?;
                }
                write!(f, "else {}", enclosed(otherwise, level::SUM))
            }
            Self::Comparison(first, rest) => {
                f.write_str(&enclosed(first, level::SUM))?;
                rest.iter().try_for_each(|(relation, x)| write!(f, " {} {}", relation.sign(), enclosed(x, level::SUM)))
            }
            Self::Logic(junction, conditions) => {
                let texts: Vec<String> = conditions.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(&format!(" {} ", junction.word())))
            }
        }
    }
}

/// The expression, in parentheses if its precedence is lower than required.
fn enclosed(x: &Expression, least: u8) -> String {
    if x.level() < least { format!("({x})") } else { x.to_string() }
}

/// The same as the left operand of an operator; a sum over indices at its end would include the following factors.
fn left(x: &Expression, least: u8) -> String {
    match x {
        Expression::Binary(operator, a, b) if x.is_open() && x.level() >= least => {
            joined(*operator, a, b, &format!("({b})"))
        }
        _ if x.is_open() => format!("({x})"),
        _ => enclosed(x, least),
    }
}

/// A denominator. A product without a sign counts as one factor: `2y`, but `(p(1 − p))`.
fn divisor(x: &Expression) -> String {
    let text = enclosed(x, level::APPLIED);
    let product = matches!(x, Expression::Binary(Operator::Juxtapose, ..)) && text.ends_with(')');
    if product { format!("({text})") } else { text }
}

fn binary(operator: Operator, a: &Expression, b: &Expression) -> String {
    let right = match operator {
        Operator::Add | Operator::Subtract => enclosed(b, level::PRODUCT),
        Operator::Multiply { spaced: true } => enclosed(b, level::TIGHT),
        Operator::Multiply { spaced: false } => enclosed(b, level::APPLIED),
        Operator::Divide { .. } => divisor(b),
        Operator::Juxtapose => enclosed(b, level::RAISED),
    };
    joined(operator, a, b, &right)
}

/// The text of a binary operation; `right` is the text of b.
fn joined(operator: Operator, a: &Expression, b: &Expression, right: &str) -> String {
    match operator {
        Operator::Add => format!("{} + {right}", enclosed(a, level::SUM)),
        Operator::Subtract => format!("{} − {right}", enclosed(a, level::SUM)),
        Operator::Multiply { spaced: true } => format!("{} · {right}", left(a, level::PRODUCT)),
        Operator::Divide { spaced: true } => format!("{} / {right}", left(a, level::PRODUCT)),
        Operator::Multiply { spaced: false } => format!("{}·{right}", left(a, level::TIGHT)),
        Operator::Divide { spaced: false } => format!("{}/{right}", left(a, level::TIGHT)),
        Operator::Juxtapose => {
            let a_text = left(a, level::JUXTAPOSED);
            format!("{a_text}{}{right}", between(a, &a_text, b, right))
        }
    }
}

/// The separator between two factors of a product without a sign, so that they parse as two factors.
fn between(a: &Expression, a_text: &str, b: &Expression, b_text: &str) -> &'static str {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let words = word(a_text.chars().next_back()) && word(b_text.chars().next());
    let function = |name: &str| functions::is_known(name) || functions::looks_like_one(name);
    let call = matches!(a, Expression::Symbol(symbol) if function(&symbol.base)) && b_text.starts_with('(');
    if words && matches!(b, Expression::Call { .. }) {
        " "
    } else if call || b_text.starts_with(|c: char| c.is_ascii_digit()) || words && !matches!(a, Expression::Number(_)) {
        "·"
    } else {
        ""
    }
}

/// Expressions separated by `, `, or by `,` if none of them contains a space.
fn list(items: &[Expression]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(if texts.iter().any(|text| text.contains(' ')) { ", " } else { "," })
}

/// The subscript of a sum sign: `ₙ`, `_{n,i}`, `_{i : k[i] = j}`.
fn under(indices: &[Expression], condition: Option<&Expression>) -> String {
    let text = list(indices);
    match condition {
        None if text.is_empty() => text,
        None if text.chars().count() == 1 && subscript(&text).is_some() => subscript(&text).unwrap_or_default(),
        None => format!("_{{{text}}}"),
        Some(condition) => format!("_{{{text} : {condition}}}"),
    }
}
