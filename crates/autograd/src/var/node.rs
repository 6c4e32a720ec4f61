//! Recorded operations and their rules.

use chainrule_tensor::Float;

use super::{Computed, Edge, VarOf};
use crate::attribute::Attribute;

/// The derivative rule of an op: how a gradient passes from its output to its inputs.
///
/// A rule's fields are exactly what the op saved besides its inputs and its output, which it reaches through
/// [`NodeOf::parent`] and [`NodeOf::output`].
pub trait Rule<T: Float>: Send + Sync + 'static {
    /// The op's name, as in messages and explanations.
    fn name(&self) -> &str;

    /// The op itself in symbols, such as `y = 1/(1 + e^(−x))`. y is the output.
    #[expect(clippy::unnecessary_literal_bound, reason = "other rules may build their text")]
    fn formula(&self) -> &str {
        ""
    }

    /// The derivative in symbols, such as `dx = dy · y(1 − y)`: dy is the output's gradient.
    fn derivative(&self) -> &str;

    /// What the op was given besides its inputs, in the formulas' symbols: only asked for by who looks at a graph.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// What the backward pass reads of the forward one, in the formulas' symbols, such as `x, w`.
    #[expect(clippy::unnecessary_literal_bound, reason = "other rules may build their text")]
    fn saved(&self) -> &str {
        "its inputs"
    }

    /// The multiply-adds of the op's product: forward, and as many towards each of its first two parents. 0 where there is
    /// no product; a profile then goes by the bytes that move.
    fn multiply_adds(&self, _node: &NodeOf<T>) -> usize {
        0
    }

    /// The gradients of the parents, one entry for each, from the gradient `dy` of the output.
    ///
    /// `needs[i]` says whether anyone asked for parent i's gradient; where not, `None` saves the work. Written on
    /// variables, so that the result can be differentiated again.
    fn backward(&self, node: &NodeOf<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>>;
}

/// A recorded operation, as its rule sees it.
#[repr(transparent)]
pub struct NodeOf<T: Float>(pub(super) VarOf<T>);

impl<T: Float> Edge<T> {
    /// The input, if it still has the value that the operation used.
    #[inline]
    #[track_caller]
    pub(crate) fn walk<'a>(&self, op: impl FnOnce() -> &'a str) -> &VarOf<T> {
        assert!(
            self.parent.version() == self.version,
            "backward: parameter '{}' was changed after '{}' had used it\n  rule: call backward() before the optimizer's step, or compute the loss anew",
            self.parent.name(),
            op()
        );
        &self.parent
    }
}

impl<T: Float> NodeOf<T> {
    pub(crate) fn computed(&self) -> &Computed<T> {
        self.0.computed().expect("a node is only made of a recorded operation")
    }

    /// The i-th variable that the operation was computed from.
    ///
    /// # Panics
    /// If there are fewer, or it is a parameter that was changed since.
    #[track_caller]
    pub fn parent(&self, i: usize) -> VarOf<T> {
        self.input(i).clone()
    }

    /// As [`parent`](Self::parent), without another handle: handles are counted, which small ops feel.
    #[track_caller]
    pub(crate) fn input(&self, i: usize) -> &VarOf<T> {
        let computed = self.computed();
        computed.edges[i].walk(|| computed.rule.name())
    }

    /// How many variables the operation was computed from.
    pub fn parents(&self) -> usize {
        self.computed().edges.len()
    }

    /// The operation's result.
    pub fn output(&self) -> VarOf<T> {
        self.0.clone()
    }

    /// As [`output`](Self::output), without another handle.
    pub(crate) fn result(&self) -> &VarOf<T> {
        &self.0
    }

    /// The operation's rule: its name, its formula, what it saved.
    pub fn rule(&self) -> &dyn Rule<T> {
        &*self.computed().rule
    }
}
