//! The formulas of the rules: they parse, all their symbols are defined, and elementwise ones agree with the kernels.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_autograd::formula::{Expression, Formula, ParseError};
use chainrule_autograd::{Operation, Setting, Var64};
use chainrule_tensor::Tensor64;

use crate::row::spread;
use crate::{each_operation, every_graph, rows};

/// The formula and the derivative of an operation's rule.
fn formulas(op: &Operation<f64>) -> Result<(Formula, Formula), ParseError> {
    Ok((Formula::parse(op.rule().formula())?, Formula::parse(op.rule().derivative())?))
}

/// The symbol for the gradient of the output in the derivative: dy, or dz for an op that computes a gradient.
fn output_gradient(formula: &Formula) -> &'static str {
    if formula.equations()[0].left.to_string().starts_with('y') { "dy" } else { "dz" }
}

/// The problem of an operation's formulas, if any.
fn problem(op: &Operation<f64>) -> Option<String> {
    let rule = op.rule();
    let (formula, derivative) = match formulas(op) {
        Ok(formulas) => formulas,
        Err(error) => return Some(error.to_string()),
    };
    for formula in [&formula, &derivative] {
        let text = formula.to_string();
        if !Formula::parse(&text).is_ok_and(|again| again.to_string() == text) {
            return Some(format!("'{text}' is printed differently after parsing"));
        }
        if !formula.to_mathml().ends_with("</math>") {
            return Some("no MathML".into());
        }
    }
    let inputs = derivative.inputs();
    let any_number = inputs.iter().any(|input| input.ends_with("_i"));
    if op.parents() != inputs.len() && !any_number {
        return Some(format!("'{derivative}' does not define exactly {} gradients", op.parents()));
    }
    let mut known: BTreeSet<String> = inputs.into_iter().collect();
    known.insert(output_gradient(&formula).into());
    known.extend(rule.attributes().iter().map(|attribute| attribute.symbol.to_owned()));
    // Saved values that are symbols.
    for part in rule.saved().split(", ") {
        if let Ok(Expression::Symbol(symbol)) = Expression::parse(part) {
            known.insert(symbol.name());
        }
    }
    known.extend(formula.equations().iter().map(|equation| name(&equation.left.to_string()).to_owned()));
    let unknown = |symbol: &String| {
        let numbered = any_number && symbol.trim_end_matches(|c: char| c.is_ascii_digit()) == "x";
        !known.contains(symbol) && !numbered
    };
    let unknown: Vec<String> = formula.symbols().into_iter().chain(derivative.symbols()).filter(unknown).collect();
    (!unknown.is_empty()).then(|| format!("undefined symbols {unknown:?}\n  {formula}\n  {derivative}"))
}

/// The symbol of a left side without indices.
fn name(left: &str) -> &str {
    left.split('[').next().unwrap_or(left)
}

#[test]
fn all_symbols_of_formulas_are_defined() {
    let mut problems = BTreeMap::new();
    every_graph(&mut |op| {
        assert!(!op.rule().saved().is_empty());
        if let Some(problem) = problem(op) {
            problems.insert(op.rule().name().to_owned(), problem);
        }
    });
    let all: Vec<String> = problems.iter().map(|(rule, problem)| format!("{rule}: {problem}")).collect();
    assert!(all.is_empty(), "{} rules:\n{}", all.len(), all.join("\n"));
}

fn broadcasts(small: &[usize], large: &[usize]) -> bool {
    let pairs = small.iter().rev().zip(large.iter().rev());
    small.len() <= large.len() && pairs.into_iter().all(|(a, b)| a == b || *a == 1)
}

/// An element of x after broadcasting to a shape.
fn element(x: &Tensor64, shape: &[usize], flat: usize) -> f64 {
    x.broadcast_to(shape).to_vec()[flat]
}

/// Checks that two numbers agree, including infinities and NaN.
fn same(what: &str, a: f64, b: f64) {
    let near = (a - b).abs() <= 1e-12 * (1.0 + b.abs());
    assert!(near || a == b || a.is_nan() && b.is_nan(), "{what}: the formula gives {a}, the kernel {b}");
}

/// Compares an operation and its gradients with its formulas, element by element; false if they are not elementwise.
fn agrees(op: &Operation<f64>) -> bool {
    let rule = op.rule();
    let Ok((formula, derivative)) = formulas(op) else { return false };
    let (inputs, output) = (derivative.inputs(), op.output().value());
    let shape = output.shape();
    let parents: Vec<Tensor64> = (0..op.parents()).map(|i| op.parent(i).value().clone()).collect();
    // The formula of a matrix product looks like that of a product of numbers.
    let of_numbers = rule.multiply_adds(op) == 0 && parents.iter().all(|x| broadcasts(&x.shape(), &shape));
    if shape.numel() == 0 || parents.len() > inputs.len() || !of_numbers {
        return false;
    }
    let numbers: BTreeMap<&str, f64> = rule
        .attributes()
        .into_iter()
        .filter_map(|attribute| match attribute.value {
            Setting::Number(value) => Some((attribute.symbol, value)),
            _ => None,
        })
        .collect();
    let dy: Tensor64 = spread(&shape, (-1.5, 2.0), 3);
    let needs: Vec<bool> = (0..op.parents()).map(|i| op.parent(i).requires_grad()).collect();
    let gradients = rule.backward(op, &Var64::constant(&dy), &needs);
    let result = formula.equations()[0].left.to_string();
    for i in 0..shape.numel() {
        let at = |name: &str| {
            let parent = inputs.iter().position(|input| input == name).and_then(|i| parents.get(i));
            match parent {
                Some(parent) => Some(element(parent, &shape, i)),
                None if name == result => Some(output.to_vec()[i]),
                None if name == output_gradient(&formula) => Some(dy.to_vec()[i]),
                None => numbers.get(name).copied(),
            }
        };
        let Ok(value) = formula.evaluate(&result, &at) else { return false };
        same(&format!("{}, {formula}, element {i}", rule.name()), value, output.to_vec()[i]);
        for (input, gradient) in inputs.iter().zip(&gradients) {
            let Some(gradient) = gradient else { continue };
            // The gradient of a broadcast input is a sum over the formula, so it is not compared.
            if gradient.shape() == shape {
                let equation = derivative.equations().iter().find(|e| is_gradient_of(&e.left.to_string(), input));
                let left = equation.expect("its left side was read").left.to_string();
                let value = derivative.evaluate(&left, &at).unwrap_or_else(|e| panic!("{}: {e}", rule.name()));
                same(&format!("{}, {derivative}, element {i}", rule.name()), value, gradient.value().to_vec()[i]);
            }
        }
    }
    true
}

fn is_gradient_of(left: &str, input: &str) -> bool {
    left == format!("d{input}") || left == format!("d({input})")
}

#[test]
fn elementwise_formulas_agree_with_the_kernels() {
    let mut compared = BTreeSet::new();
    let mut compare = |op: &Operation<f64>| {
        if agrees(op) {
            compared.insert(op.rule().name().to_owned());
        }
    };
    every_graph(&mut compare);
    // A grid of points, including kinks, ends of ranges and 0.
    for row in rows::functions() {
        let low = if row.range.0 > 0.0 { 1 } else { -40 };
        let grid: Vec<f64> =
            (low..=40).map(|k| f64::from(k) / 8.0).chain([-0.9, 1.1].map(|v| if low > 0 { 1.0 } else { v })).collect();
        let x = Var64::parameter("x", Tensor64::from_slice(&grid, [1, grid.len()]));
        let y = (row.f64)(std::slice::from_ref(&x));
        each_operation(&y, &mut BTreeSet::new(), &mut compare);
        each_operation(&y.sum().gradient(&x), &mut BTreeSet::new(), &mut compare);
    }
    let expected = [
        "add",
        "sub",
        "mul",
        "div",
        "maximum",
        "minimum",
        "add number",
        "subtract from number",
        "multiply by number",
        "divide by number",
        "divide number by",
        "exp",
        "log",
        "sqrt",
        "square",
        "pow",
        "abs",
        "clamp",
        "relu",
        "leaky_relu",
        "sigmoid",
        "tanh",
        "softplus",
        "swish",
        "mish",
        "gelu",
        "gelu_tanh",
        "power",
        "atan2",
        "remainder",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "expm1",
        "log1p",
        "log2",
        "log10",
        "erf",
        "rsqrt",
        "floor",
        "ceil",
        "round",
        "trunc",
        "sign",
        "bce",
    ];
    let missing: Vec<_> = expected.iter().filter(|name| !compared.contains(**name)).collect();
    assert!(missing.is_empty(), "not compared: {missing:?} (compared: {compared:?})");
    let backward = compared.iter().filter(|name| name.ends_with(" backward")).count();
    assert!(backward >= 10, "the gradients that are ops are compared too: {compared:?}");
}
