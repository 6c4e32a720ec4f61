//! Formulas as presentation MathML, for browsers.

use super::expression::{Expression, Operator, Symbol, differential, level};
use super::{Equation, Formula};

impl Formula {
    /// As a `<math>` element, with all equations in one row.
    ///
    /// ```
    /// use chainrule_autograd::formula::Formula;
    /// let mathml = Formula::parse("y = √x").unwrap().to_mathml();
    /// assert!(mathml.contains("<mi>y</mi><mo>=</mo><msqrt><mi>x</mi></msqrt>"));
    /// ```
    #[must_use]
    pub fn to_mathml(&self) -> String {
        let mut inner = String::new();
        for (i, equation) in self.equations.iter().enumerate() {
            if i > 0 {
                inner += &operator(equation.separator);
                inner += "<mspace width=\"1em\"/>";
            }
            inner += &row(equation);
        }
        math(&inner)
    }
}

impl Equation {
    /// As a `<math>` element.
    #[must_use]
    pub fn to_mathml(&self) -> String {
        math(&row(self))
    }
}

impl Expression {
    /// As a `<math>` element.
    #[must_use]
    pub fn to_mathml(&self) -> String {
        math(&show(self))
    }
}

fn math(inner: &str) -> String {
    format!("<math xmlns=\"http://www.w3.org/1998/Math/MathML\"><mrow>{inner}</mrow></math>")
}

fn row(equation: &Equation) -> String {
    format!("{}{}{}", show(&equation.left), operator('='), show(&equation.right))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn operator(sign: char) -> String {
    format!("<mo>{}</mo>", escaped(&sign.to_string()))
}

fn wrapped(inner: &str) -> String {
    format!("<mrow>{inner}</mrow>")
}

fn parenthesized(inner: &str) -> String {
    wrapped(&format!("<mo>(</mo>{inner}<mo>)</mo>"))
}

/// Invisible multiplication, for screen readers and spacing.
const TIMES: &str = "<mo>&#x2062;</mo>";
/// Invisible function application.
const APPLY: &str = "<mo>&#x2061;</mo>";

/// The precedence of an expression in MathML, where fractions and roots need no parentheses around their parts.
fn binding(x: &Expression) -> u8 {
    match x {
        Expression::Binary(Operator::Divide { .. }, ..) => level::RAISED,
        _ => x.level(),
    }
}

fn enclosed(x: &Expression, least: u8) -> String {
    let text = show(x);
    if binding(x) < least { parenthesized(&text) } else { text }
}

/// A left operand of an operator; a sum over indices at its end would include the following factors.
fn left(x: &Expression, least: u8) -> String {
    match x {
        Expression::Binary(Operator::Divide { .. }, ..) => enclosed(x, least),
        Expression::Binary(kind, a, b) if x.is_open() && binding(x) >= least => {
            joined(*kind, a, b, &parenthesized(&show(b)))
        }
        _ if x.is_open() => parenthesized(&show(x)),
        _ => enclosed(x, least),
    }
}

fn list(items: &[Expression]) -> String {
    let shown: Vec<String> = items.iter().map(show).collect();
    shown.join(&operator(','))
}

fn show(x: &Expression) -> String {
    match x {
        Expression::Number(text) => number(text),
        Expression::Symbol(name) => symbol(name),
        Expression::Ellipsis => "<mo>…</mo>".into(),
        Expression::Element { of, at } => {
            format!("<msub>{}{}</msub>", wrapped(&enclosed(of, level::ATOM)), wrapped(&list(at)))
        }
        Expression::Call { function, arguments, parentheses } => {
            let bare = arguments.first().filter(|x| !parentheses && binding(x) >= level::JUXTAPOSED);
            let arguments = bare.map_or_else(|| parenthesized(&list(arguments)), show);
            format!("{}{APPLY}{arguments}", symbol(function))
        }
        Expression::Negative(x) => wrapped(&format!("<mo>−</mo>{}", enclosed(x, level::NEGATIVE))),
        Expression::Binary(kind, a, b) => binary(*kind, a, b),
        Expression::Power(base, exponent) => {
            let base = match &**base {
                // Fractions and roots get parentheses before an exponent.
                Expression::Binary(..) | Expression::Root(_) => parenthesized(&show(base)),
                _ => enclosed(base, level::ATOM),
            };
            format!("<msup>{}{}</msup>", wrapped(&base), wrapped(&show(exponent)))
        }
        Expression::Root(x) => format!("<msqrt>{}</msqrt>", show(x)),
        Expression::Transpose(x) => {
            format!("<msup>{}<mi mathvariant=\"normal\">T</mi></msup>", wrapped(&enclosed(x, level::ATOM)))
        }
        Expression::Fenced(fence, x) => {
            let [open, close] = fence.signs().map(operator);
            wrapped(&format!("{open}{}{close}", show(x)))
        }
        Expression::Over { operator: sign, indices, condition, body } => {
            let sign = match sign.as_str() {
                "Σ" => "<mo>∑</mo>".into(),
                "Π" => "<mo>∏</mo>".into(),
                name => format!("<mi>{}</mi>", escaped(name)),
            };
            let mut under = list(indices);
            if let Some(condition) = condition {
                under = under + &operator(':') + &show(condition);
            }
            let sign = if under.is_empty() { sign } else { format!("<munder>{sign}{}</munder>", wrapped(&under)) };
            wrapped(&format!("{sign}{}", enclosed(body, level::PRODUCT)))
        }
        Expression::Cases { cases, otherwise } => {
            let cell = |inner: &str| format!("<mtd style=\"text-align: left\">{inner}</mtd>");
            let row =
                |value: &Expression, condition: &str| format!("<mtr>{}{}</mtr>", cell(&show(value)), cell(condition));
            let when = |condition: &Expression| format!("<mtext>where&#xa0;</mtext>{}", show(condition));
            let rows: String = cases.iter().map(|(value, condition)| row(value, &when(condition))).collect();
            wrapped(&format!("<mo>{{</mo><mtable>{rows}{}</mtable>", row(otherwise, "<mtext>else</mtext>")))
        }
        Expression::Comparison(first, rest) => {
            let rest: String = rest.iter().map(|(relation, x)| operator(relation.sign()) + &show(x)).collect();
            show(first) + &rest
        }
        Expression::Logic(junction, conditions) => {
            let shown: Vec<String> = conditions.iter().map(show).collect();
            shown.join(&format!("<mtext>&#xa0;{}&#xa0;</mtext>", junction.word()))
        }
    }
}

fn binary(kind: Operator, a: &Expression, b: &Expression) -> String {
    let right = match kind {
        Operator::Juxtapose => enclosed(b, level::RAISED),
        _ => enclosed(b, level::PRODUCT),
    };
    joined(kind, a, b, &right)
}

/// The MathML of a binary operation; `right` is that of b, except in fractions.
fn joined(kind: Operator, a: &Expression, b: &Expression, right: &str) -> String {
    match kind {
        Operator::Add => format!("{}<mo>+</mo>{right}", enclosed(a, level::SUM)),
        Operator::Subtract => format!("{}<mo>−</mo>{right}", enclosed(a, level::SUM)),
        Operator::Multiply { .. } => format!("{}<mo>·</mo>{right}", left(a, level::PRODUCT)),
        Operator::Juxtapose => {
            let sign = if matches!(b, Expression::Number(_)) { "<mo>·</mo>" } else { TIMES };
            format!("{}{sign}{right}", left(a, level::JUXTAPOSED))
        }
        Operator::Divide { .. } => format!("<mfrac>{}{}</mfrac>", wrapped(&show(a)), wrapped(&show(b))),
    }
}

/// `1e-9` is shown as a multiple of a power of ten.
fn number(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent = match exponent.strip_prefix('-') {
                Some(positive) => format!("<mrow><mo>−</mo><mn>{positive}</mn></mrow>"),
                None => format!("<mn>{}</mn>", exponent.trim_start_matches('+')),
            };
            wrapped(&format!("<mn>{digits}</mn><mo>·</mo><msup><mn>10</mn>{exponent}</msup>"))
        }
        None => format!("<mn>{text}</mn>"),
    }
}

fn symbol(name: &Symbol) -> String {
    let letter = |text: &str| format!("<mi>{}</mi>", escaped(text));
    if let (Some(of), Some(by)) = (differential(&name.base), differential(&name.subscript)) {
        let (of, by) = (Symbol::of_variable(of), Symbol::of_variable(by));
        return format!("<mfrac><mrow><mo>∂</mo>{}</mrow><mrow><mo>∂</mo>{}</mrow></mfrac>", symbol(&of), symbol(&by));
    }
    if let Some(of) = differential(&name.base) {
        let d = if name.base.starts_with('∂') { "<mo>∂</mo>" } else { "<mi mathvariant=\"normal\">d</mi>" };
        return wrapped(&format!("{d}{}", symbol(&Symbol { base: of.to_owned(), ..name.clone() })));
    }
    let base = letter(&name.base);
    let subscript = match name.subscript.as_str() {
        digits if digits.chars().all(|c| c.is_ascii_digit()) => format!("<mn>{digits}</mn>"),
        text => letter(text),
    };
    let primes = format!("<mo>{}</mo>", "′".repeat(name.primes));
    match (name.subscript.is_empty(), name.primes) {
        (true, 0) => base,
        (false, 0) => format!("<msub>{base}{subscript}</msub>"),
        (true, _) => format!("<msup>{base}{primes}</msup>"),
        (false, _) => format!("<msubsup>{base}{subscript}{primes}</msubsup>"),
    }
}
