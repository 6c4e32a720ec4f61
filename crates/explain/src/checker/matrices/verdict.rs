//! Verdicts on answers about matrices.

use chainrule_autograd::formula::{Expression, Operator};

use super::super::kind::Kind;
use super::super::verdict::{Mistake, Verdict};
use super::matrix::{Named, evaluate, parse, size};

/// The verdict on a shape.
pub(super) fn of_shape(given: [usize; 2], shape: [usize; 2]) -> Verdict {
    if given == shape {
        Verdict::Right
    } else if given == [shape[1], shape[0]] {
        Verdict::Wrong(vec![Mistake { kind: Kind::Transposed, detail: "rows and columns are exchanged".into() }])
    } else {
        Verdict::Wrong(Vec::new())
    }
}

/// The verdict on a formula for the quantity `name`, whose formula is `expected`. The student's own value is remembered
/// in `own`, unless its shape is wrong.
pub(super) fn of_formula(
    formula: &Expression,
    name: &str,
    expected: &str,
    exact: &Named,
    own: &mut Named,
    batch: usize,
) -> Verdict {
    let right = &exact[name];
    let expected = parse(name, expected).expect("the sheet's own formula");
    let own_right = evaluate(&expected, own);
    let own_value = evaluate(formula, own).ok().filter(|value| value.shape == right.shape);
    let follows = matches!((&own_value, &own_right), (Some(a), Ok(b)) if a.equals(b));
    if let Some(value) = own_value {
        own.insert(name.to_owned(), value);
    }
    let value = evaluate(formula, exact);
    if value.as_ref().is_ok_and(|value| value.equals(right)) {
        return Verdict::Right;
    }
    if follows {
        return Verdict::Follows;
    }

    let mut found = Vec::new();
    if let Ok(value) = &value {
        if value.transposed().equals(right) {
            let detail = format!("this is the transpose, {} instead of {}", size(value.shape), size(right.shape));
            found.push((Kind::Transposed, detail));
        }
        for (kind, factor) in [(Kind::Sign, -1.0), (Kind::Twice, 2.0), (Kind::Half, 0.5)] {
            if value.equals(&right.map(|x| factor * x)) {
                found.push((kind, format!("{factor} times the right value")));
            }
        }
        if value.equals(&right.map(|x| x / batch as f64)) {
            found.push((Kind::MeanOverBatch, format!("divided by the {batch} samples")));
        }
        for (kind, wrong) in forgotten(&expected) {
            if evaluate(&wrong, exact).is_ok_and(|wrong| wrong.equals(value)) {
                found.push((kind, format!("{name} = {wrong}")));
            }
        }
    }
    for (kind, detail, repaired) in repairs(formula) {
        if evaluate(&repaired, exact).is_ok_and(|value| value.equals(right)) {
            found.push((kind, detail));
        }
    }
    if let Err(message) = value
        && found.is_empty()
    {
        found.push((Kind::WrongShapes, message));
    }
    let mut mistakes: Vec<Mistake> = Vec::new();
    for (kind, detail) in found {
        if mistakes.iter().all(|known| known.kind != kind) {
            mistakes.push(Mistake { kind, detail });
        }
    }
    Verdict::Wrong(mistakes)
}

/// The formula with something left out: a factor of a product or a term of a sum.
fn forgotten(x: &Expression) -> Vec<(Kind, Expression)> {
    let Expression::Binary(operator, a, b) = x else { return Vec::new() };
    let slope = |x: &Expression| matches!(x, Expression::Symbol(symbol) if symbol.base == "S");
    let kind = |left_out: &Expression| match operator {
        Operator::Add | Operator::Subtract => Kind::BiasForgotten,
        _ if slope(left_out) => Kind::SlopeForgotten,
        _ => Kind::FactorForgotten,
    };
    vec![(kind(b), (**a).clone()), (kind(a), (**b).clone())]
}

/// The student's formula with one thing changed: a transpose more or less, factors exchanged, a sum over the other axis.
fn repairs(x: &Expression) -> Vec<(Kind, String, Expression)> {
    let mut all = Vec::new();
    match x {
        Expression::Symbol(_) => {
            all.push((Kind::Transposed, format!("{x} must be transposed"), Expression::Transpose(Box::new(x.clone()))));
        }
        Expression::Transpose(inner) => {
            all.push((Kind::Transposed, format!("{inner} must not be transposed"), (**inner).clone()));
        }
        Expression::Binary(operator @ (Operator::Multiply { .. } | Operator::Juxtapose), a, b) => {
            let exchanged = Expression::Binary(*operator, b.clone(), a.clone());
            all.push((Kind::OrderExchanged, format!("it is {exchanged}"), exchanged));
            // Both factors transposed and exchanged is the transpose of the product.
            let transposed = Expression::Transpose(Box::new(x.clone()));
            all.push((Kind::Transposed, format!("{x} must be transposed"), transposed));
        }
        Expression::Call { function, arguments, parentheses } if function.name() == "sum" && !arguments.is_empty() => {
            for axis in ["0", "1"] {
                let arguments = vec![arguments[0].clone(), Expression::Number(axis.into())];
                let other = Expression::Call { function: function.clone(), arguments, parentheses: *parentheses };
                all.push((Kind::WrongAxis, format!("it is {other}"), other));
            }
        }
        _ => {}
    }
    let parts: &[&Expression] = match x {
        Expression::Binary(_, a, b) => &[a, b],
        Expression::Negative(a) | Expression::Transpose(a) => &[a],
        _ => &[],
    };
    for (i, part) in parts.iter().enumerate() {
        for (kind, detail, new) in repairs(part) {
            let whole = match x {
                Expression::Binary(operator, a, b) => {
                    let mut both = [(**a).clone(), (**b).clone()];
                    both[i] = new;
                    let [a, b] = both.map(Box::new);
                    Expression::Binary(*operator, a, b)
                }
                Expression::Negative(_) => Expression::Negative(Box::new(new)),
                _ => Expression::Transpose(Box::new(new)),
            };
            all.push((kind, detail, whole));
        }
    }
    all
}
