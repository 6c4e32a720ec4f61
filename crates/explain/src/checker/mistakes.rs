//! The mistakes that the checker knows: each is a transformation of the expression of a quantity, so that it applies to
//! every kind of sheet.

use std::collections::BTreeSet;

use super::chain::{Chain, Change, Role};
use super::expression::{Activation, Expr, Function, Id};
use super::kind::Kind;

/// A mistake at a certain place of a derivation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub kind: Kind,
    /// The quantities whose expressions it changes.
    pub change: Change,
}

impl Candidate {
    /// What was done, in symbols.
    pub(super) fn detail(&self, chain: &Chain) -> String {
        let (at, expr) = &self.change[0];
        format!("{} = {}", chain.quantities[*at].name, chain.text(expr))
    }
}

/// Every mistake that can have been made in the quantities of `hidden`: the answer itself, which has the largest number,
/// and what it depends on without the student having stated it.
pub(super) fn candidates(chain: &Chain, hidden: &BTreeSet<Id>) -> Vec<Candidate> {
    let mut all = Vec::new();
    // The quantity itself first, then backwards.
    for &at in hidden.iter().rev().filter(|&&at| !chain.is_given(at)) {
        for (kind, expr) in in_one_place(chain, at) {
            push(&mut all, kind, vec![(at, expr)]);
        }
    }
    for (kind, rule) in EVERYWHERE {
        let change: Change = (hidden.iter().rev())
            .filter(|&&at| !chain.is_given(at))
            .filter_map(|&at| chain.quantities[at].expr.replaced(&|x| rule(chain, at, x)).map(|expr| (at, expr)))
            .collect();
        if !change.is_empty() {
            push(&mut all, kind, change);
        }
    }
    all
}

fn push(all: &mut Vec<Candidate>, kind: Kind, change: Change) {
    if all.iter().any(|other| other.kind == kind && other.change == change) {
        return;
    }
    all.push(Candidate { kind, change });
}

/// The expression that replaces a subexpression of a quantity.
type Rule = fn(&Chain, Id, &Expr) -> Option<Expr>;

/// Mistakes that are repeated at every place where they can occur.
const EVERYWHERE: [(Kind, Rule); 8] = [
    (Kind::SlopeForgotten, |_, _, x| matches!(x, Expr::Slope(..)).then_some(Expr::Number(1.0))),
    (Kind::SlopeAtOutput, |_, _, x| slope_at_output(x)),
    (Kind::BiasForgotten, |chain, _, x| without_bias(chain, x)),
    (Kind::MaskForgotten, |_, _, x| matches!(x, Expr::IsLargest(..)).then_some(Expr::Number(1.0))),
    (Kind::UpdatedTooEarly, updated),
    (Kind::Transposed, |chain, at, x| exchanged(chain, at, &chain.transposed, x)),
    (Kind::KernelFlipped, |chain, at, x| exchanged(chain, at, &chain.flipped, x)),
    (Kind::PreActivation, |chain, at, x| {
        let gradient = chain.quantities[at].role == Role::Gradient;
        let slope = |x: &Expr| matches!(x, Expr::Slope(..));
        if gradient && slope(x) { Some(with_pre_activations(chain, x)).filter(|new| new != x) } else { None }
    }),
];

/// The expressions of one quantity with a mistake in one place.
fn in_one_place(chain: &Chain, at: Id) -> Vec<(Kind, Expr)> {
    let quantity = &chain.quantities[at];
    let expr = &quantity.expr;
    let mut all = quantity.alternatives.clone();
    all.extend(expr.variants(&|x| local(chain, x)));
    all.push((Kind::PreActivation, with_pre_activations(chain, expr)));
    all.extend(gradient_of_partner(chain, at).map(|expr| (Kind::Transposed, expr)));
    if quantity.role != Role::Update {
        let times = |factor: f64| Expr::Product(vec![Expr::Number(factor), expr.clone()]);
        all.push((Kind::Sign, with_opposite_sign(expr)));
        if matches!(quantity.role, Role::Gradient | Role::Loss) {
            all.extend([(Kind::Twice, times(2.0)), (Kind::Half, times(0.5))]);
            if chain.outputs > 1 {
                let n = chain.outputs as f64;
                all.push((Kind::SumForMean, times(n)));
                all.push((Kind::MeanForSum, Expr::quotient(expr.clone(), Expr::Number(n))));
            }
        }
    }
    all.retain(|(_, new)| new != expr);
    all
}

/// The mistakes in a subexpression.
fn local(chain: &Chain, x: &Expr) -> Vec<(Kind, Expr)> {
    let mut all = Vec::new();
    match x {
        Expr::Slope(..) => {
            all.push((Kind::SlopeForgotten, Expr::Number(1.0)));
            all.extend(slope_at_output(x).map(|new| (Kind::SlopeAtOutput, new)));
            let pre = with_pre_activations(chain, x);
            if pre != *x {
                all.push((Kind::PreActivation, pre));
            }
        }
        Expr::Sum(terms) => {
            all.extend(without_bias(chain, x).map(|new| (Kind::BiasForgotten, new)));
            for (i, term) in terms.iter().enumerate().filter(|(_, term)| !is_negligible(chain, term)) {
                if !is_bias(chain, term) {
                    all.push((Kind::TermForgotten, without(terms, i, Expr::Sum)));
                }
                // A wrong sign of the first term alone would have to be written out: −a + b.
                if i > 0 {
                    all.push((Kind::Sign, with_sign_changed(terms, i, Expr::Sum)));
                }
            }
            if (2..=3).contains(&terms.len()) {
                let unsigned = terms.iter().map(|term| if let Expr::Negative(a) = term { a } else { term });
                all.push((Kind::ProductForSum, Expr::Product(unsigned.cloned().collect())));
            }
        }
        Expr::Paths(terms) => {
            for i in 0..terms.len() {
                all.push((Kind::PathDropped, without(terms, i, Expr::Paths)));
                all.push((Kind::Sign, with_sign_changed(terms, i, Expr::Paths)));
                if terms.len() > 2 {
                    all.push((Kind::OnePathOnly, terms[i].clone()));
                }
            }
            if terms.len() == 2 {
                all.push((Kind::ProductForSum, Expr::Product(terms.clone())));
            }
        }
        // A power is no product in which anything is forgotten.
        Expr::Product(factors) if factors.iter().all(|factor| *factor == factors[0]) => {}
        Expr::Product(factors) => {
            for (i, factor) in factors.iter().enumerate() {
                let kind = match factor {
                    Expr::Of(id) if chain.quantities[*id].role == Role::Rate => Kind::RateForgotten,
                    Expr::Of(id) if matches!(chain.quantities[*id].expr, Expr::Slope(..)) => Kind::SlopeForgotten,
                    // These have names of their own.
                    Expr::Slope(..) | Expr::IsLargest(..) => continue,
                    _ => Kind::FactorForgotten,
                };
                all.push((kind, without(factors, i, Expr::Product)));
            }
            if (2..=3).contains(&factors.len()) {
                all.push((Kind::SumForProduct, Expr::Sum(factors.clone())));
            }
        }
        Expr::Square(a) => all.push((Kind::SquareForgotten, (**a).clone())),
        Expr::Call(Function::Sqrt, a) => all.push((Kind::RootForgotten, (**a).clone())),
        Expr::Call(Function::Ln, _) => {
            all.push((Kind::DecimalLogarithm, Expr::quotient(x.clone(), Expr::Number(std::f64::consts::LN_10))));
        }
        _ => {}
    }
    all
}

fn is_bias(chain: &Chain, x: &Expr) -> bool {
    let Expr::Of(id) = x else { return false };
    let role = |id: Id| chain.quantities[id].role;
    role(*id) == Role::Bias || chain.updated.iter().any(|&(before, after)| after == *id && role(before) == Role::Bias)
}

/// Whether a term is a constant so small that no answer shows it: the ε of Adam.
fn is_negligible(chain: &Chain, x: &Expr) -> bool {
    let Expr::Of(id) = x else { return false };
    let constant = chain.quantities[*id].role == Role::Given && chain.is_given(*id);
    constant && matches!(chain.quantities[*id].expr, Expr::Number(value) if value != 0.0 && value.abs() <= 1e-6)
}

fn without(all: &[Expr], index: usize, whole: fn(Vec<Expr>) -> Expr) -> Expr {
    let mut rest = all.to_vec();
    rest.remove(index);
    if rest.len() == 1 { rest.remove(0) } else { whole(rest) }
}

fn with_opposite_sign(x: &Expr) -> Expr {
    match x {
        Expr::Negative(a) => (**a).clone(),
        _ => Expr::negative(x.clone()),
    }
}

fn with_sign_changed(all: &[Expr], index: usize, whole: fn(Vec<Expr>) -> Expr) -> Expr {
    let mut changed = all.to_vec();
    changed[index] = with_opposite_sign(&all[index]);
    whole(changed)
}

fn without_bias(chain: &Chain, x: &Expr) -> Option<Expr> {
    let Expr::Sum(terms) = x else { return None };
    let index = terms.iter().position(|term| is_bias(chain, term))?;
    Some(without(terms, index, Expr::Sum))
}

/// σ′(y) instead of σ′(x).
fn slope_at_output(x: &Expr) -> Option<Expr> {
    let Expr::Slope(activation, both) = x else { return None };
    // These have the same slope at both.
    if matches!(activation, Activation::Linear | Activation::Relu | Activation::LeakyRelu | Activation::Softmax) {
        return None;
    }
    let out = both[1].clone();
    let again = Expr::call(Function::Of(*activation), out.clone());
    Some(Expr::Slope(*activation, Box::new([out, again])))
}

fn with_pre_activations(chain: &Chain, x: &Expr) -> Expr {
    let pre = |id: Id| chain.activations.iter().find(|(_, out)| *out == id).map(|(pre, _)| *pre);
    let rule = |x: &Expr| if let Expr::Of(id) = x { pre(*id).map(Expr::Of) } else { None };
    x.replaced(&rule).unwrap_or_else(|| x.clone())
}

/// A weight after its update in a derivative that must not depend on it.
fn updated(chain: &Chain, at: Id, x: &Expr) -> Option<Expr> {
    let Expr::Of(weight) = x else { return None };
    if chain.quantities[at].role != Role::Gradient {
        return None;
    }
    let (_, after) = *chain.updated.iter().find(|(before, _)| before == weight)?;
    let circular = chain.ancestors(after, &|_| false).contains(&at);
    (!circular).then_some(Expr::Of(after))
}

/// The gradient of the weight in whose place a weight stands if its matrix is transposed.
fn gradient_of_partner(chain: &Chain, at: Id) -> Option<Expr> {
    let (weight, _) = chain.gradients.iter().find(|&(_, &gradient)| gradient == at)?;
    let (_, partner) = chain.transposed.iter().find(|(from, _)| from == weight)?;
    chain.gradients.get(partner).map(|&gradient| chain.quantities[gradient].expr.clone())
}

fn exchanged(chain: &Chain, at: Id, partners: &[(Id, Id)], x: &Expr) -> Option<Expr> {
    let Expr::Of(id) = x else { return None };
    // An updated weight comes from its own weight.
    if chain.quantities[at].role == Role::Update {
        return None;
    }
    partners.iter().find(|(from, to)| from == id && to != id).map(|(_, to)| Expr::Of(*to))
}
