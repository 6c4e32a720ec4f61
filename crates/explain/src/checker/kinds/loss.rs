//! Losses of one sample with one or several outputs, and their derivatives.

use super::super::chain::{Chain, Role};
use super::super::expression::{Expr, Function, Id};
use super::super::kind::Kind;
use super::{Numbers, of, product};

/// The loss of a sheet, with its conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Loss {
    /// The function.
    pub function: LossFunction,
    /// Whether a squared error has a factor ½.
    pub half: bool,
    /// Whether the terms of several outputs are added or averaged.
    pub reduction: Reduction,
}

impl Default for Loss {
    fn default() -> Self {
        Self { function: LossFunction::SquaredError, half: true, reduction: Reduction::Sum }
    }
}

/// A loss function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossFunction {
    /// `½ Σ (t − o)²`, or without the ½.
    SquaredError,
    /// `−Σ (t ln o + (1 − t) ln(1 − o))`.
    BinaryCrossEntropy,
    /// `−Σ t ln p`, after a softmax.
    CrossEntropy,
}

/// How the terms of several outputs become one loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// They are added.
    Sum,
    /// They are averaged.
    Mean,
}

impl Loss {
    /// The formula, for the sheet.
    pub(in super::super) fn formula(self, outputs: usize, letter: &str) -> String {
        let (t, o) =
            if outputs == 1 { ("t".into(), letter.to_owned()) } else { ("tₖ".to_owned(), format!("{letter}ₖ")) };
        let sum = match (outputs, self.reduction) {
            (1, _) => String::new(),
            (_, Reduction::Sum) => "Σₖ ".to_owned(),
            (n, Reduction::Mean) => format!("1/{n} · Σₖ "),
        };
        let half = if self.half { "1/2 · " } else { "" };
        match self.function {
            LossFunction::SquaredError => format!("E = {half}{sum}({t} − {o})²"),
            LossFunction::BinaryCrossEntropy => format!("E = −{sum}({t} · ln({o}) + (1 − {t}) · ln(1 − {o}))"),
            LossFunction::CrossEntropy => format!("E = −{sum}{t} · ln({o})"),
        }
    }

    /// Defines E of these outputs. The derivatives are defined by [`derivative`](Self::derivative).
    pub(super) fn define(self, chain: &mut Chain, targets: &[Id], outputs: &[Id]) -> Id {
        let n = outputs.len();
        chain.outputs = n;
        let square = |k: usize| Expr::square(Expr::difference(of(targets[k]), of(outputs[k])));
        let ln = |x: Expr| Expr::call(Function::Ln, x);
        let term = |k: usize| match self.function {
            LossFunction::SquaredError if self.half => product([Expr::Number(0.5), square(k)]),
            LossFunction::SquaredError => square(k),
            LossFunction::BinaryCrossEntropy => {
                let (t, o) = (of(targets[k]), of(outputs[k]));
                let other = |x: &Expr| Expr::difference(Expr::Number(1.0), x.clone());
                Expr::negative(Expr::Sum(vec![
                    product([t.clone(), ln(o.clone())]),
                    product([other(&t), ln(other(&o))]),
                ]))
            }
            LossFunction::CrossEntropy => Expr::negative(product([of(targets[k]), ln(of(outputs[k]))])),
        };
        let names: Vec<String> = outputs.iter().map(|&o| chain.quantities[o].name.clone()).collect();
        if self.function == LossFunction::SquaredError {
            let squares = Expr::Sum((0..n).map(square).collect());
            let squares = if n == 1 { square(0) } else { squares };
            chain.define("SE", "squared error without any factor", Role::Loss, squares);
        }
        let whole = if n == 1 {
            term(0)
        } else {
            let terms: Vec<Expr> = (0..n)
                .map(|k| {
                    let meaning = format!("the part of E that {} causes, before a mean", names[k]);
                    of(chain.define(&format!("E_{}", names[k]), meaning, Role::Loss, term(k)))
                })
                .collect();
            match self.reduction {
                Reduction::Sum => Expr::Sum(terms),
                Reduction::Mean => Expr::quotient(Expr::Sum(terms), Expr::Number(n as f64)),
            }
        };
        let id = chain.define("E", "loss", Role::Loss, whole);
        chain.alias("E_total", id);
        chain.asked.push(id);
        id
    }

    /// Defines the derivative of E with respect to each output.
    pub(super) fn derivatives(self, chain: &mut Chain, targets: &[Id], outputs: &[Id]) -> Vec<Id> {
        (targets.iter().zip(outputs)).map(|(&t, &o)| self.derivative(chain, t, o, outputs.len())).collect()
    }

    fn derivative(self, chain: &mut Chain, t: Id, o: Id, count: usize) -> Id {
        let expr = match self.function {
            LossFunction::SquaredError => {
                let error = Expr::difference(of(t), of(o));
                Expr::negative(if self.half { error } else { product([Expr::Number(2.0), error]) })
            }
            LossFunction::BinaryCrossEntropy => Expr::quotient(
                Expr::difference(of(o), of(t)),
                product([of(o), Expr::difference(Expr::Number(1.0), of(o))]),
            ),
            LossFunction::CrossEntropy => Expr::negative(Expr::quotient(of(t), of(o))),
        };
        let name = chain.quantities[o].name.clone();
        let expr = self.averaged(expr, count);
        let id = chain.define(
            &format!("dE_d{name}"),
            format!("derivative of E with respect to {name}"),
            Role::Gradient,
            expr,
        );
        chain.asked.push(id);
        id
    }

    /// Defines the derivative of E with respect to the input of a softmax, which is simple: p − t for targets that add
    /// up to 1.
    pub(super) fn softmax_derivative(self, chain: &mut Chain, k: usize, pre: &[Id], targets: &[Id], p: &[Id]) -> Id {
        let expr = self.averaged(Expr::difference(of(p[k]), of(targets[k])), p.len());
        let own = product([Expr::negative(of(targets[k])), Expr::difference(Expr::Number(1.0), of(p[k]))]);
        let name = chain.quantities[pre[k]].name.clone();
        let id = chain.define(
            &format!("dE_d{name}"),
            format!("derivative of E with respect to {name}"),
            Role::Gradient,
            expr,
        );
        chain.mistaken(Kind::OwnInputOnly, self.averaged(own, p.len()));
        chain.asked.push(id);
        id
    }

    fn averaged(self, expr: Expr, count: usize) -> Expr {
        match self.reduction {
            Reduction::Mean if count > 1 => Expr::quotient(expr, Expr::Number(count as f64)),
            _ => expr,
        }
    }

    /// The numbers of the targets.
    pub(super) fn targets(self, chain: &mut Chain, numbers: Numbers, count: usize) -> Vec<Id> {
        let one_hot = self.function == LossFunction::CrossEntropy;
        (0..count)
            .map(|k| {
                let name = super::indexed("t", k, count);
                let given = if one_hot { super::Given::OneHot(k, count) } else { super::Given::Target };
                let id = chain.given(&name, Role::Given, numbers(&name, given));
                if count == 1 {
                    chain.alias("t1", id);
                }
                id
            })
            .collect()
    }
}
