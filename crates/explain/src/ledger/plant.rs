//! Wrong rules on purpose, to see that the ledger finds them.

use chainrule_autograd::{Attribute, Operation, Rule, Tangent, TangentSource, Var64, map_records};

/// A rule that is right but for a mistake in the gradients.
struct Planted<M> {
    /// The operation with the right rule.
    right: Var64,
    mistake: M,
}

impl<M: Fn(usize, Var64) -> Var64 + Send + Sync + 'static> Planted<M> {
    fn right(&self) -> Operation<'_, f64> {
        self.right.operation().expect("only operations are replaced")
    }
}

impl<M: Fn(usize, Var64) -> Var64 + Send + Sync + 'static> Rule<f64> for Planted<M> {
    fn name(&self) -> &str {
        self.right().rule().name()
    }
    fn formula(&self) -> &str {
        self.right().rule().formula()
    }
    fn derivative(&self) -> &str {
        self.right().rule().derivative()
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.right().rule().attributes()
    }
    fn saved(&self) -> &str {
        self.right().rule().saved()
    }
    fn multiply_adds(&self, op: &Operation<f64>) -> usize {
        self.right().rule().multiply_adds(op)
    }
    fn backward(&self, _op: &Operation<f64>, dy: &Var64, needs: &[bool]) -> Vec<Option<Var64>> {
        let right = self.right();
        let gradients = right.rule().backward(&right, dy, needs).into_iter().enumerate();
        gradients.map(|(i, gradient)| gradient.map(|gradient| (self.mistake)(i, gradient))).collect()
    }
    fn tangent(&self, _op: &Operation<f64>, dx: &[Option<Var64>]) -> Option<Tangent<f64>> {
        let right = self.right();
        // A slope is the one of the backward pass, and so has its mistake.
        right.rule().tangent(&right, dx).filter(|tangent| tangent.source == TangentSource::Forward)
    }
}

/// Runs `body`, in which all operations with this name have a mistake in their derivative rule: the gradient of each parent
/// is replaced by `mistake` of the parent's number and the gradient. Values are right, and tangents that are independent
/// of the rule.
///
/// ```
/// use chainrule_autograd::Var64;
/// use chainrule_explain::ledger::{LedgerOptions, ledger, plant};
/// let w = Var64::parameter("w", [0.5, -1.5]);
/// let f = || plant("tanh", |_, dx| 1.01 * dx, || w.tanh().square().sum());
/// let ledger = ledger(f, &LedgerOptions::default()).unwrap();
/// assert_eq!(ledger.guilty.unwrap().rule, "tanh");
/// ```
pub fn plant<R>(
    name: &str,
    mistake: impl Fn(usize, Var64) -> Var64 + Clone + Send + Sync + 'static,
    body: impl FnOnce() -> R,
) -> R {
    let name = name.to_owned();
    let replace = move |right: Var64| {
        let Some(op) = right.operation().filter(|op| op.rule().name() == name) else { return right };
        let parents: Vec<Var64> = (0..op.parents()).map(|i| op.parent(i).clone()).collect();
        let value = right.value().clone();
        Var64::record(value, &parents, Planted { right: right.clone(), mistake: mistake.clone() })
    };
    map_records(replace, body)
}
