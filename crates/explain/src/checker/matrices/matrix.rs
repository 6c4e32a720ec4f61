//! Small matrices, and formulas evaluated with them.

use std::collections::BTreeMap;

use chainrule_autograd::formula::{Expression, Formula, Operator};

/// A matrix; a number is a matrix of one element that fits everywhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub shape: [usize; 2],
    pub data: Vec<f64>,
    is_number: bool,
}

impl Matrix {
    pub(super) fn new(shape: [usize; 2], element: impl FnMut(usize) -> f64) -> Self {
        Self { shape, data: (0..shape[0] * shape[1]).map(element).collect(), is_number: false }
    }

    fn number(x: f64) -> Self {
        Self { shape: [1, 1], data: vec![x], is_number: true }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.shape[1] + j]
    }

    pub(super) fn transposed(&self) -> Self {
        let [rows, columns] = self.shape;
        Self { is_number: self.is_number, ..Self::new([columns, rows], |n| self.at(n % rows, n / rows)) }
    }

    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { data: self.data.iter().map(|&x| f(x)).collect(), ..self.clone() }
    }

    /// The sum over an axis, as a row or a column.
    fn sum(&self, axis: usize) -> Self {
        let [rows, columns] = self.shape;
        match axis {
            0 => Self::new([1, columns], |j| (0..rows).map(|i| self.at(i, j)).sum()),
            _ => Self::new([rows, 1], |i| (0..columns).map(|j| self.at(i, j)).sum()),
        }
    }

    /// Element by element. Numbers, and rows and columns of the same length, are repeated.
    fn combined(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Option<Self> {
        if self.is_number || other.is_number {
            let shape = if self.is_number { other.shape } else { self.shape };
            let of = |x: &Self, n: usize| if x.is_number { x.data[0] } else { x.data[n] };
            let is_number = self.is_number && other.is_number;
            return Some(Self { is_number, ..Self::new(shape, |n| f(of(self, n), of(other, n))) });
        }
        let fits = |axis: usize| {
            let (a, b) = (self.shape[axis], other.shape[axis]);
            if a == b || b == 1 {
                Some(a)
            } else if a == 1 {
                Some(b)
            } else {
                None
            }
        };
        let shape = [fits(0)?, fits(1)?];
        let of = |x: &Self, i: usize, j: usize| x.at(i.min(x.shape[0] - 1), j.min(x.shape[1] - 1));
        Some(Self::new(shape, |n| {
            let (i, j) = (n / shape[1], n % shape[1]);
            f(of(self, i, j), of(other, i, j))
        }))
    }

    /// The matrix product; element by element if the shapes are equal and allow no matrix product.
    fn times(&self, other: &Self) -> Option<Self> {
        if self.is_number || other.is_number {
            return self.combined(other, |a, b| a * b);
        }
        let ([rows, inner], [inner_too, columns]) = (self.shape, other.shape);
        if inner == inner_too {
            // (rows, columns) = (rows, inner) · (inner, columns)
            return Some(Self::new([rows, columns], |n| {
                (0..inner).map(|k| self.at(n / columns, k) * other.at(k, n % columns)).sum()
            }));
        }
        if self.shape == other.shape { self.combined(other, |a, b| a * b) } else { None }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()));
        self.shape == other.shape && self.data.iter().zip(&other.data).all(near)
    }
}

/// `3 × 2`.
pub(super) fn size(shape: [usize; 2]) -> String {
    format!("{}×{}", shape[0], shape[1])
}

/// Reads a formula. NumPy's `@` and `.T`, `^T`, and `⊙` for a product by elements are understood.
pub(super) fn parse(name: &str, text: &str) -> Result<Expression, String> {
    let plain = text.replace('@', " · ").replace(".T", "ᵀ").replace("^T", "ᵀ").replace(['⊙', '∘'], "*");
    let formula =
        Formula::parse(&format!("{name} = {}", with_signs(&plain))).map_err(|error| format!("{name}: {error}"))?;
    match formula.equations() {
        [equation] => Ok(equation.right.clone()),
        _ => Err(format!("{name} = {text}: expected one formula")),
    }
}

/// The formula with a sign in products that are written by a space: `dY W`.
fn with_signs(text: &str) -> String {
    let mut signed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(' ') {
        let (before, after) = (&rest[..at], rest[at..].trim_start());
        signed += before;
        let ends = signed.ends_with(|c: char| c.is_ascii_alphanumeric() || c == 'ᵀ' || c == ')');
        let begins = after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '(');
        signed += if ends && begins { " · " } else { " " };
        rest = after;
    }
    signed + rest
}

/// Matrices by name.
pub(super) type Named = BTreeMap<String, Matrix>;

/// The value of a formula.
pub(super) fn evaluate(x: &Expression, named: &Named) -> Result<Matrix, String> {
    match x {
        Expression::Number(text) => text.parse().map(Matrix::number).map_err(|_| format!("{text} is no number")),
        Expression::Symbol(symbol) => {
            named.get(&symbol.name()).cloned().ok_or_else(|| format!("this sheet has no {}", symbol.name()))
        }
        Expression::Negative(x) => Ok(evaluate(x, named)?.map(|x| -x)),
        Expression::Transpose(x) => Ok(evaluate(x, named)?.transposed()),
        Expression::Over { operator, body, .. } if operator == "Σ" => Ok(evaluate(body, named)?.sum(0)),
        Expression::Power(base, exponent) => {
            let exponent = evaluate(exponent, named)?;
            if !exponent.is_number {
                return Err(format!("{x}: the exponent is no number"));
            }
            Ok(evaluate(base, named)?.map(|base| base.powf(exponent.data[0])))
        }
        Expression::Call { function, arguments, .. } => call(x, &function.name(), arguments, named),
        Expression::Binary(Operator::Multiply { .. } | Operator::Juxtapose, ..) => {
            let mut factors = Vec::new();
            flatten(x, &mut factors);
            let factors = factors.into_iter().map(|factor| evaluate(factor, named)).collect::<Result<Vec<_>, _>>()?;
            chain(&factors).ok_or_else(|| {
                let shapes: Vec<String> = factors.iter().map(|factor| size(factor.shape)).collect();
                format!("the shapes do not fit: {x} is {}", shapes.join(" · "))
            })
        }
        Expression::Binary(operator, a, b) => {
            let (left, right) = (evaluate(a, named)?, evaluate(b, named)?);
            let result = match operator {
                Operator::Add => left.combined(&right, |a, b| a + b),
                Operator::Subtract => left.combined(&right, |a, b| a - b),
                _ => left.combined(&right, |a, b| a / b),
            };
            result.ok_or_else(|| {
                format!("the shapes do not fit: {a} is {}, {b} is {}", size(left.shape), size(right.shape))
            })
        }
        _ => Err(format!("{x} is no formula of matrices")),
    }
}

/// The factors of a product without parentheses around them.
fn flatten<'a>(x: &'a Expression, factors: &mut Vec<&'a Expression>) {
    match x {
        Expression::Binary(Operator::Multiply { .. } | Operator::Juxtapose, a, b) => {
            flatten(a, factors);
            flatten(b, factors);
        }
        _ => factors.push(x),
    }
}

/// The product of several factors, from the left if that is possible, otherwise grouped as the shapes allow.
fn chain(factors: &[Matrix]) -> Option<Matrix> {
    if let [only] = factors {
        return Some(only.clone());
    }
    (1..factors.len()).rev().find_map(|at| chain(&factors[..at])?.times(&chain(&factors[at..])?))
}

fn call(x: &Expression, name: &str, arguments: &[Expression], named: &Named) -> Result<Matrix, String> {
    let first = arguments.first().map(|argument| evaluate(argument, named)).transpose()?;
    let axis = match arguments.get(1) {
        None => Some(0),
        Some(axis) => evaluate(axis, named).ok().filter(|axis| axis.is_number).map(|axis| axis.data[0] as usize),
    };
    match (name, first, axis, arguments.len()) {
        ("sum", Some(m), Some(axis @ 0..=1), 1..=2) => Ok(m.sum(axis)),
        ("mean", Some(m), Some(axis @ 0..=1), 1..=2) => {
            let count = m.shape[axis] as f64;
            Ok(m.sum(axis).map(|x| x / count))
        }
        ("transpose", Some(m), _, 1) => Ok(m.transposed()),
        ("σ" | "sigmoid", Some(m), _, 1) => Ok(m.map(|x| 1.0 / (1.0 + (-x).exp()))),
        ("tanh", Some(m), _, 1) => Ok(m.map(f64::tanh)),
        ("relu", Some(m), _, 1) => Ok(m.map(|x| x.max(0.0))),
        _ => Err(format!("{x}: expected sum(M), sum(M, 1), mean, transpose, sigmoid, tanh or relu")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Named {
        let matrix = |rows: usize, columns: usize| Matrix::new([rows, columns], |n| n as f64 - 2.0);
        [("X", matrix(4, 3)), ("W", matrix(3, 2)), ("dY", matrix(4, 2)), ("S", matrix(4, 3)), ("b", matrix(1, 2))]
            .map(|(name, matrix)| (name.to_owned(), matrix))
            .into()
    }

    fn value(text: &str) -> Result<Matrix, String> {
        evaluate(&parse("y", text)?, &named())
    }

    #[test]
    fn spellings_of_one_product_agree() {
        let expected = value("Xᵀ·dY").unwrap();
        assert_eq!(expected.shape, [3, 2]);
        // Column 0 of X is −2, 1, 4, 7, column 0 of dY −2, 0, 2, 4.
        assert_eq!(expected.data[0], 4.0 + 0.0 + 8.0 + 28.0);
        for text in ["X^T dY", "X.T @ dY", "X^T*dY", "(dY^T X)^T", "transpose(X) · dY"] {
            assert_eq!(value(text), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn products_by_element_and_sums() {
        for text in ["(dY·Wᵀ) ⊙ S", "S * dY @ W.T", "dY W^T * S"] {
            assert_eq!(value(text), value("S*(dY·Wᵀ)"), "{text}");
        }
        assert_eq!(value("Σ dY"), value("sum(dY, 0)"));
        assert_eq!(value("sum(dY)").unwrap().data, [4.0, 8.0]);
        assert_eq!(value("X·W + b").unwrap().shape, [4, 2]);
        assert_eq!(value("1 - X").unwrap().data[0], 3.0);
    }

    #[test]
    fn wrong_shapes_are_named() {
        assert_eq!(value("X·dY").unwrap_err(), "the shapes do not fit: X·dY is 4×3 · 4×2");
        assert_eq!(value("X + dY").unwrap_err(), "the shapes do not fit: X is 4×3, dY is 4×2");
        assert_eq!(value("Q").unwrap_err(), "this sheet has no Q");
    }
}
