//! The formulas of one operation, in symbols and with the numbers of a run.

use chainrule_autograd::formula::{Equation, Expression, Formula, Operator};
use chainrule_autograd::{Operation, Setting};
use chainrule_tensor::{Float, Shape, TensorOf};
use serde::Serialize;

use crate::graph::Graph;
use crate::number::{number, shape_text, unravel};

/// An equation of a rule in symbols, and with the numbers of this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// In symbols, such as `dx = dy · y(1 − y)`.
    pub symbols: String,
    /// The right side with numbers, such as `(−0.017986) · 0.982(1 − 0.982)`, where it can be evaluated and agrees with the
    /// engine.
    pub numbers: Option<String>,
    /// For matrix products: the right side with the shapes of the operands, such as `(10, 4)ᵀ·(10, 3)`.
    pub shapes: Option<String>,
}

/// The symbols of an operation's formulas, and their values at one element of the output.
pub(crate) struct Symbols<'a, T: Float> {
    op: Operation<'a, T>,
    outgoing: &'a [Option<TensorOf<T>>],
    /// `None` if the text of the rule does not parse, as a user's own text may.
    formula: Option<Formula>,
    derivative: Option<Formula>,
    inputs: Vec<String>,
    /// The parents, the output and its gradient.
    values: Vec<(String, Shape, Vec<T>)>,
    /// The numbers among the attributes.
    settings: Vec<(&'static str, f64)>,
    /// The output element whose numbers are shown: that with the largest gradient.
    at: usize,
}

impl<'a, T: Float> Symbols<'a, T> {
    pub fn new(graph: &'a Graph<T>, step: usize) -> Self {
        let walked = &graph.walked[step];
        let op = graph.operation(step);
        let formula = Formula::parse(op.rule().formula()).ok();
        let derivative = Formula::parse(op.rule().derivative()).ok();
        let mut inputs = derivative.as_ref().map_or(Vec::new(), Formula::inputs);
        if inputs.iter().any(|input| input.ends_with("_i")) || inputs.len() < op.parents() {
            inputs = (1..=op.parents()).map(|i| format!("x{i}")).collect();
        }
        inputs.truncate(op.parents());
        let dy = graph.gradients[walked.output].as_ref().expect("the walk passed a gradient to the rule").to_vec();
        let at = dy.iter().enumerate().fold(
            0,
            |best, (i, x)| {
                if x.to_f64().abs() > dy[best].to_f64().abs() { i } else { best }
            },
        );
        let result = formula.as_ref().map_or("y".into(), |formula| base(&formula.equations()[0]));
        let gradient = if result == "y" { "dy" } else { "dz" };
        // Values that no formula can use are not copied: only elementwise formulas have numbers.
        let elementwise = op.rule().multiply_adds(&op) == 0 && op.parents() == inputs.len();
        let mut values = Vec::new();
        if elementwise {
            for (i, symbol) in inputs.iter().enumerate() {
                let value = op.parent(i).value();
                values.push((symbol.clone(), value.shape(), value.to_vec()));
            }
            values.push((result, op.output().shape(), op.output().value().to_vec()));
            values.push((gradient.into(), op.output().shape(), dy));
        }
        let settings = op.rule().attributes().into_iter().filter_map(|attribute| match attribute.value {
            Setting::Number(value) => Some((attribute.symbol, value)),
            _ => None,
        });
        Self { outgoing: &walked.outgoing, formula, derivative, inputs, values, settings: settings.collect(), at, op }
    }

    /// The symbol of an input.
    pub fn input(&self, i: usize) -> String {
        self.inputs[i].clone()
    }

    /// The index of the output element whose numbers are shown.
    pub fn at(&self) -> Vec<usize> {
        unravel(self.at, &self.op.output().shape())
    }

    /// The formula of the operation.
    pub fn forward(&self) -> Rule {
        let symbols = self.op.rule().formula().to_owned();
        let Some(formula) = &self.formula else { return Rule { symbols, numbers: None, shapes: None } };
        let y = self.op.output().value().to_vec().get(self.at).map(|y| y.to_f64());
        let equation = &formula.equations()[0];
        let numbers = y.and_then(|y| self.numbers(formula, equation, y));
        Rule { symbols, numbers, shapes: self.shapes(equation) }
    }

    /// The rule of the gradient of an input, with the definitions that it uses.
    pub fn gradient(&self, i: usize) -> Option<Rule> {
        let derivative = self.derivative.as_ref()?;
        let is_of = |equation: &&Equation| {
            let left = base(equation);
            left == format!("d{}", self.inputs[i]) || left == format!("d({})", self.inputs[i])
        };
        let equation = derivative.equations().iter().find(is_of)?;
        let definitions = derivative.equations().iter().filter(|other| {
            let name = base(other);
            !name.starts_with('d') && uses(&equation.right, &name)
        });
        let texts: Vec<String> = std::iter::once(equation).chain(definitions).map(ToString::to_string).collect();
        // Of a broadcast input, the gradient is a sum over the formula.
        let same_shape = self.op.parent(i).shape() == self.op.output().shape();
        let dx = self.outgoing[i].as_ref().filter(|_| same_shape);
        let dx = dx.and_then(|dx| dx.to_vec().get(self.at).map(|x| x.to_f64()));
        Some(Rule {
            symbols: texts.join(", "),
            numbers: dx.and_then(|dx| self.numbers(derivative, equation, dx)),
            shapes: self.shapes(equation),
        })
    }

    /// The value of a symbol at the element that is shown.
    fn value(&self, name: &str) -> Option<f64> {
        if let Some((_, shape, values)) = self.values.iter().find(|(symbol, ..)| symbol == name) {
            let output = self.op.output().shape();
            let index = unravel(self.at, &output);
            let offset = output.rank().checked_sub(shape.rank())?;
            let mut flat = 0;
            for (k, &len) in shape.iter().enumerate() {
                let fits = len == 1 || len == output[offset + k];
                flat = flat * len + if len == 1 { 0 } else { index[offset + k] };
                if !fits {
                    return None;
                }
            }
            return values.get(flat).map(|x| x.to_f64());
        }
        self.settings.iter().find(|(symbol, _)| *symbol == name).map(|&(_, value)| value)
    }

    /// The right side with numbers, if the formula can be evaluated and agrees with the engine.
    fn numbers(&self, formula: &Formula, equation: &Equation, engine: f64) -> Option<String> {
        if self.values.is_empty() {
            return None;
        }
        let value = formula.evaluate(&equation.left.to_string(), &|name| self.value(name)).ok()?;
        let tolerance = 64.0 * T::EPSILON.to_f64() * (1.0 + engine.abs());
        if (value - engine).abs() > tolerance {
            return None;
        }
        let defined = |name: &str| {
            let value = self.value(name).or_else(|| formula.evaluate(name, &|name| self.value(name)).ok());
            value.map(number)
        };
        let written = formula.with_numbers(&defined);
        let position = formula.equations().iter().position(|other| std::ptr::eq(other, equation))?;
        Some(written.equations()[position].right.to_string())
    }

    /// The right side of a matrix product with shapes in place of operands.
    fn shapes(&self, equation: &Equation) -> Option<String> {
        if self.op.rule().multiply_adds(&self.op) == 0 {
            return None;
        }
        self.product_of_shapes(&equation.right)
    }

    fn product_of_shapes(&self, x: &Expression) -> Option<String> {
        match x {
            Expression::Symbol(symbol) => {
                let name = symbol.name();
                let output = [self.op.output().shape()];
                let parents = (0..self.inputs.len()).map(|i| self.op.parent(i).shape());
                let names = ["y", "dy"].into_iter().position(|y| y == name).map(|_| output[0]);
                let shape =
                    names.or_else(|| self.inputs.iter().zip(parents).find(|(n, _)| **n == name).map(|(_, s)| s));
                shape.map(|shape| shape_text(&shape))
            }
            Expression::Transpose(x) => self.product_of_shapes(x).map(|text| text + "ᵀ"),
            Expression::Binary(Operator::Multiply { .. }, a, b) => {
                Some(format!("{}·{}", self.product_of_shapes(a)?, self.product_of_shapes(b)?))
            }
            // A bias is added to the product.
            Expression::Binary(Operator::Add, a, _) => self.product_of_shapes(a),
            _ => None,
        }
    }
}

/// The symbol of a left side without indices: `dx` of `dx[n,c]`.
fn base(equation: &Equation) -> String {
    let mut left = &equation.left;
    while let Expression::Element { of, .. } = left {
        left = of;
    }
    left.to_string()
}

fn uses(x: &Expression, symbol: &str) -> bool {
    let mut found = matches!(x, Expression::Symbol(s) if s.to_string() == symbol);
    x.for_each_part(&mut |part| found |= uses(part, symbol));
    found
}
