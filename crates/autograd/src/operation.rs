//! Recorded operations and their derivative rules.

use std::sync::RwLock;

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::internal::edges::Edges;
use crate::scope::Scope;
use crate::var::VarOf;

/// The derivative rule of an op: how a gradient passes from its output to its inputs.
///
/// A rule's fields are exactly what the op saved besides its inputs and its output, which it reaches through
/// [`Operation::parent`] and [`Operation::output`].
pub trait Rule<T: Float>: Send + Sync + 'static {
    /// The op's name, as in messages and explanations.
    fn name(&self) -> &str;

    /// The op itself in symbols, such as `y = 1/(1 + e⁻ˣ)`, in the notation of [`formula`](crate::formula). The output
    /// is y; for an op that computes a gradient, what that is: `dx`.
    fn formula(&self) -> &str;

    /// The derivative in symbols, such as `dx = dy · y(1 − y)`: first the gradient of each input, in the parents' order,
    /// then definitions of other symbols. dy is the output's gradient; where the output is a gradient itself, dz is its,
    /// and those of the inputs are written `d(dy)`, `d(x)`.
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
    fn multiply_adds(&self, _op: &Operation<T>) -> usize {
        0
    }

    /// The gradients of the parents, one entry for each, from the gradient `dy` of the output.
    ///
    /// `needs[i]` says whether anyone asked for parent i's gradient; where not, `None` saves the work. Written on
    /// variables, so that the result can be differentiated again.
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>>;
}

/// What is kept of an operation: its result, what it was computed from, and its rule.
pub(crate) struct Recorded<T: Float> {
    pub(crate) id: u64,
    pub(crate) value: TensorOf<T>,
    pub(crate) edges: Edges<T>,
    pub(crate) rule: Box<dyn Rule<T>>,
    pub(crate) scope: Option<Scope>,
    /// The result's name, if [`VarOf::named`] gave it one.
    pub(crate) name: RwLock<Option<Box<str>>>,
}

/// A recorded operation, as its rule sees it: its inputs, its output and its rule, borrowed from the graph.
#[derive(Clone, Copy)]
pub struct Operation<'a, T: Float> {
    pub(crate) output: &'a VarOf<T>,
    pub(crate) recorded: &'a Recorded<T>,
}

impl<'a, T: Float> Operation<'a, T> {
    /// The i-th variable that the operation was computed from.
    ///
    /// # Panics
    /// If there are fewer, or it is a parameter that was changed since.
    #[inline]
    #[track_caller]
    pub fn parent(&self, i: usize) -> &'a VarOf<T> {
        let edge = &self.recorded.edges[i];
        assert!(
            edge.is_current(),
            "backward: parameter '{}' was changed after '{}' had used it\n  rule: call backward() before the optimizer's step, or compute the loss anew",
            edge.parent.name(),
            self.rule().name()
        );
        &edge.parent
    }

    /// How many variables the operation was computed from.
    pub fn parents(&self) -> usize {
        self.recorded.edges.len()
    }

    /// The operation's result.
    #[inline]
    pub fn output(&self) -> &'a VarOf<T> {
        self.output
    }

    /// The scope that it was recorded in, if one was [open](crate::scope()).
    pub fn scope(&self) -> Option<&'a Scope> {
        self.recorded.scope.as_ref()
    }

    /// The operation's rule: its name, its formula, what it saved.
    #[inline]
    pub fn rule(&self) -> &'a dyn Rule<T> {
        &*self.recorded.rule
    }
}
