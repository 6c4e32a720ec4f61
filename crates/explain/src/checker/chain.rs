//! A derivation as a list of named quantities, each with the expression that defines it.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{Expr, Id};
use super::interval::Interval;
use super::kind::Kind;

/// What a quantity is in a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An input, a target, a constant: given, and the same in every step.
    Given,
    /// A weight that was given.
    Weight,
    /// A bias that was given.
    Bias,
    /// The learning rate.
    Rate,
    /// A value of the forward pass.
    Forward,
    /// The loss or a part of it.
    Loss,
    /// A derivative of the loss, or a factor of one.
    Gradient,
    /// The state of an optimizer or an updated weight.
    Update,
}

/// One quantity.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    /// The name without the step.
    pub name: String,
    /// What it is, in words.
    pub meaning: String,
    pub role: Role,
    pub expr: Expr,
    /// Expressions of mistakes that are particular to this quantity.
    pub alternatives: Vec<(Kind, Expr)>,
}

/// The quantities of a derivation. Expressions refer to quantities with smaller numbers only.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub quantities: Vec<Quantity>,
    /// Quantities by step and name; a name can be an alias.
    names: BTreeMap<(usize, String), Id>,
    /// Pre-activations with their activations.
    pub activations: Vec<(Id, Id)>,
    /// Weights with their updated values.
    pub updated: Vec<(Id, Id)>,
    /// Weights with those that take their place if the matrix is read with rows and columns exchanged.
    pub transposed: Vec<(Id, Id)>,
    /// Elements of a kernel with those that take their place if it is rotated by 180°.
    pub flipped: Vec<(Id, Id)>,
    /// Weights with the derivatives of the loss with respect to them.
    pub gradients: BTreeMap<Id, Id>,
    /// The number of terms of which the loss is the sum or the mean.
    pub outputs: usize,
    /// What a worksheet asks for.
    pub asked: Vec<Id>,
    /// The step that definitions belong to.
    step: usize,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self { step: 1, outputs: 1, ..Self::default() }
    }

    /// Starts the definitions of the next step; given quantities keep their names.
    pub(super) fn next_step(&mut self) {
        let fixed = |id: Id| matches!(self.quantities[id].role, Role::Given | Role::Rate);
        let kept: Vec<(String, Id)> = (self.names.iter())
            .filter(|((step, _), id)| *step == self.step && fixed(**id))
            .map(|((_, name), id)| (name.clone(), *id))
            .collect();
        self.step += 1;
        for (name, id) in kept {
            self.alias(&name, id);
        }
    }

    pub(super) fn given(&mut self, name: &str, role: Role, value: f64) -> Id {
        self.define(name, String::new(), role, Expr::Number(value))
    }

    pub(super) fn define(&mut self, name: &str, meaning: impl Into<String>, role: Role, expr: Expr) -> Id {
        let id = self.quantities.len();
        self.quantities.push(Quantity {
            name: name.to_owned(),
            meaning: meaning.into(),
            role,
            expr,
            alternatives: Vec::new(),
        });
        self.alias(name, id);
        id
    }

    /// Another name of a quantity in the current step. The first meaning of a name stays.
    pub(super) fn alias(&mut self, name: &str, id: Id) {
        self.names.entry((self.step, name.to_owned())).or_insert(id);
    }

    /// Adds an expression that a known mistake gives for the last quantity.
    pub(super) fn mistaken(&mut self, kind: Kind, expr: Expr) {
        if let Some(last) = self.quantities.last_mut() {
            last.alternatives.push((kind, expr));
        }
    }

    pub(super) fn id(&self, step: usize, name: &str) -> Option<Id> {
        self.names.get(&(step, name.to_owned())).copied()
    }

    /// All names of a step, aliases too.
    pub(super) fn names(&self, step: usize) -> impl Iterator<Item = (&str, Id)> {
        self.names.iter().filter(move |((at, _), _)| *at == step).map(|((_, name), id)| (name.as_str(), *id))
    }

    pub(super) fn steps(&self) -> usize {
        self.step
    }

    /// A formula with the names of this chain.
    pub(super) fn text(&self, expr: &Expr) -> String {
        expr.text(&|id| self.quantities[id].name.clone())
    }

    /// Whether the value stands on the sheet.
    pub(super) fn is_given(&self, id: Id) -> bool {
        matches!(self.quantities[id].expr, Expr::Number(_)) && self.quantities[id].meaning.is_empty()
    }

    /// The exact values of all quantities.
    pub(super) fn exact(&self) -> Vec<f64> {
        let none = vec![None; self.quantities.len()];
        let mut values = Values::new(self, &none);
        (0..self.quantities.len()).map(|id| values.of(id).middle()).collect()
    }

    /// The quantities on which `id` depends directly or through others that `stop` does not hold for; `id` included.
    pub(super) fn ancestors(&self, id: Id, stop: &dyn Fn(Id) -> bool) -> BTreeSet<Id> {
        let mut found = BTreeSet::from([id]);
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            let mut dependencies = Vec::new();
            self.quantities[next].expr.dependencies(&mut dependencies);
            open.extend(dependencies.into_iter().filter(|&id| !stop(id) && found.insert(id)));
        }
        found
    }
}

/// How quantities are computed that are not known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Precision {
    /// Known values are intervals.
    Intervals,
    /// Known values are the numbers in the middle of their intervals.
    Middles,
    /// The same, and every computed or known value is rounded.
    Rounded(Rounding),
}

/// A rounding of intermediate results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Decimals(i32),
    Digits(i32),
}

impl Rounding {
    pub(super) fn of(self, x: f64) -> f64 {
        let decimals = match self {
            Self::Decimals(n) => n,
            Self::Digits(_) if x == 0.0 => return x,
            Self::Digits(n) => n - 1 - x.abs().log10().floor() as i32,
        };
        let scale = 10f64.powi(decimals);
        if scale.is_finite() && scale > 0.0 { (x * scale).round() / scale } else { x }
    }
}

/// Expressions that replace those of a chain: a mistake.
pub(super) type Change = Vec<(Id, Expr)>;

/// The values of a chain where some are known and some expressions are changed. Each is computed once.
pub(super) struct Values<'a> {
    chain: &'a Chain,
    known: &'a [Option<Interval>],
    change: &'a [(Id, Expr)],
    precision: Precision,
    computed: Vec<Option<Interval>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(chain: &'a Chain, known: &'a [Option<Interval>]) -> Self {
        let computed = vec![None; chain.quantities.len()];
        Self { chain, known, change: &[], precision: Precision::Intervals, computed }
    }

    pub(super) fn with(
        chain: &'a Chain,
        known: &'a [Option<Interval>],
        change: &'a [(Id, Expr)],
        precision: Precision,
    ) -> Self {
        Self { change, precision, ..Self::new(chain, known) }
    }

    /// The value of a quantity: the known one, otherwise computed.
    pub(super) fn of(&mut self, id: Id) -> Interval {
        if let Some(value) = self.computed[id] {
            return value;
        }
        let value = match self.known[id] {
            Some(value) if self.precision == Precision::Intervals => value,
            Some(value) => Interval::point(value.middle()),
            None => self.computed(id),
        };
        let value = match self.precision {
            Precision::Rounded(rounding) if !self.chain.is_given(id) => value.monotone(|x| rounding.of(x)),
            _ => value,
        };
        self.computed[id] = Some(value);
        value
    }

    /// The value of a quantity by its expression, or that which a mistake puts in its place.
    pub(super) fn computed(&mut self, id: Id) -> Interval {
        let chain = self.chain;
        let changed = self.change.iter().find(|(at, _)| *at == id).map(|(_, expr)| expr);
        changed.unwrap_or(&chain.quantities[id].expr).value(&mut |id| self.of(id))
    }
}
