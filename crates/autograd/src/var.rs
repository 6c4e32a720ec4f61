//! Variables: the nodes of the graph.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::recording::{is_recording, recorded};

/// A variable of `f32`: what networks are trained with.
pub type Var = VarOf<f32>;
/// A variable of `f64`: what derivations are checked with.
pub type Var64 = VarOf<f64>;

/// The derivative rule of an op: how a gradient passes from its output to its inputs.
///
/// A rule's fields are exactly what the op saved besides its inputs and its output, which it reaches through
/// [`NodeOf::parent`] and [`NodeOf::output`].
pub trait Rule<T: Float>: Send + Sync + 'static {
    /// The op's name, as in messages and explanations.
    fn name(&self) -> &str;

    /// The derivative in symbols, such as `dx = dy · y(1 − y)`.
    fn formula(&self) -> &str;

    /// What the backward pass reads of the forward one, in the formula's symbols, such as `x, w`.
    #[expect(clippy::unnecessary_literal_bound, reason = "other rules may build their text")]
    fn saved(&self) -> &str {
        "its inputs"
    }

    /// The gradients of the parents, one entry for each, from the gradient `dy` of the output.
    ///
    /// `needs[i]` says whether anyone asked for parent i's gradient; where not, `None` saves the work. Written on
    /// variables, so that the result can be differentiated again.
    fn backward(&self, node: &NodeOf<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>>;
}

/// A value on the graph.
///
/// Cloning gives another handle of the same node. What is computed from variables is recorded, unless none of them
/// needs a gradient or [`no_grad`](crate::no_grad) is in force.
#[derive(Clone)]
pub struct VarOf<T: Float>(Arc<Node<T>>);

/// A recorded operation, as its rule sees it.
pub struct NodeOf<T: Float>(pub(crate) VarOf<T>);

struct Node<T: Float> {
    id: u64,
    content: Content<T>,
}

enum Content<T: Float> {
    Constant(TensorOf<T>),
    Parameter(Parameter<T>),
    Computed(Computed<T>),
}

struct Parameter<T: Float> {
    name: RwLock<String>,
    value: RwLock<TensorOf<T>>,
    version: AtomicU64,
    frozen: AtomicBool,
}

/// What a recorded operation consists of.
pub(crate) struct Computed<T: Float> {
    value: TensorOf<T>,
    pub(crate) edges: Vec<Edge<T>>,
    pub(crate) rule: Box<dyn Rule<T>>,
}

/// From an operation to one of its inputs.
pub(crate) struct Edge<T: Float> {
    pub(crate) parent: VarOf<T>,
    /// The parameter's version when the operation was recorded.
    version: u64,
}

/// Ids grow with time, so a node's id is larger than those of all that it was computed from.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<T: Float> VarOf<T> {
    fn new(content: Content<T>) -> Self {
        Self(Arc::new(Node { id: next_id(), content }))
    }

    /// A value that no gradient flows to.
    pub fn constant(value: impl Into<TensorOf<T>>) -> Self {
        Self::new(Content::Constant(value.into()))
    }

    /// A value that can be learned: gradients are computed for it, and optimizers change it.
    ///
    /// ```
    /// use chainrule_autograd::Var;
    /// let w = Var::parameter("w", [0.5, 0.5]);
    /// let loss = (&w * &w).sum();
    /// println!("{}", loss.backward()[&w]); // [1. 1.]
    /// ```
    pub fn parameter(name: impl Into<String>, value: impl Into<TensorOf<T>>) -> Self {
        Self::new(Content::Parameter(Parameter {
            name: RwLock::new(name.into()),
            value: RwLock::new(value.into()),
            version: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
        }))
    }

    /// Records an operation of any kind: `value` was computed from `parents`, and `rule` leads a gradient back.
    ///
    /// This is how all ops are made, those of this crate and a user's own. Under [`no_grad`](crate::no_grad), or where no
    /// parent needs a gradient, the result is a constant.
    ///
    /// ```
    /// use chainrule_autograd::{NodeOf, Rule, Var64, VarOf, gradcheck};
    /// use chainrule_tensor::Float;
    ///
    /// struct Cube;
    /// impl<T: Float> Rule<T> for Cube {
    ///     fn name(&self) -> &str { "cube" }
    ///     fn formula(&self) -> &str { "dx = 3x² · dy" }
    ///     fn backward(&self, node: &NodeOf<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
    ///         vec![Some(3.0 * node.parent(0).square() * dy)]
    ///     }
    /// }
    /// fn cube(x: &Var64) -> Var64 {
    ///     let value = x.value();
    ///     VarOf::record(value.unary(chainrule_tensor::Unary::Pow(3.0)), [x], Cube)
    /// }
    /// gradcheck(|x| cube(&x[0]), &[[0.3, -1.2].into()]).unwrap();
    /// ```
    pub fn record<'a>(value: TensorOf<T>, parents: impl IntoIterator<Item = &'a Self>, rule: impl Rule<T>) -> Self {
        if !is_recording() {
            return Self::constant(value);
        }
        let edges: Vec<Edge<T>> =
            parents.into_iter().map(|p| Edge { parent: p.clone(), version: p.version() }).collect();
        if !edges.iter().any(|edge| edge.parent.requires_grad()) {
            return Self::constant(value);
        }
        let var = Self::new(Content::Computed(Computed { value, edges, rule: Box::new(rule) }));
        recorded(var.id());
        var
    }

    /// The numbers.
    pub fn value(&self) -> TensorOf<T> {
        match &self.0.content {
            Content::Constant(value) | Content::Computed(Computed { value, .. }) => value.clone(),
            Content::Parameter(p) => p.value.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The numbers, this handle given up: if it was the only one, they can be changed in place.
    pub(crate) fn into_value(self) -> TensorOf<T> {
        self.value()
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> Shape {
        match &self.0.content {
            Content::Constant(value) | Content::Computed(Computed { value, .. }) => value.shape(),
            Content::Parameter(p) => p.value.read().unwrap_or_else(PoisonError::into_inner).shape(),
        }
    }

    /// The one number of a variable that has only one, such as a loss.
    ///
    /// # Panics
    /// If there are more.
    #[track_caller]
    pub fn item(&self) -> T {
        self.value().item()
    }

    /// The same value as a constant: no gradient flows through it.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self::constant(self.value())
    }

    /// Whether gradients flow to this variable: it is a parameter that is not frozen, or was computed from one.
    pub fn requires_grad(&self) -> bool {
        match &self.0.content {
            Content::Constant(_) => false,
            Content::Parameter(p) => !p.frozen.load(Ordering::Relaxed),
            Content::Computed(_) => true,
        }
    }

    /// Whether this is a parameter.
    pub fn is_parameter(&self) -> bool {
        matches!(self.0.content, Content::Parameter(_))
    }

    /// A number that no other variable has; it grows in the order of creation.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The parameter's name, or that of the operation that made this variable.
    pub fn name(&self) -> String {
        match &self.0.content {
            Content::Constant(_) => "constant".into(),
            Content::Parameter(p) => p.name.read().unwrap_or_else(PoisonError::into_inner).clone(),
            Content::Computed(computed) => computed.rule.name().into(),
        }
    }

    #[track_caller]
    fn cell(&self, what: &str) -> &Parameter<T> {
        match &self.0.content {
            Content::Parameter(p) => p,
            _ => panic!("{what}: '{}' is not a parameter\n  rule: only parameters can be changed", self.name()),
        }
    }

    /// Gives a parameter another name, such as its path within a model.
    ///
    /// # Panics
    /// If this is not a parameter.
    #[track_caller]
    pub fn rename(&self, name: impl Into<String>) {
        *self.cell("rename").name.write().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    /// Freezes or thaws a parameter: while frozen it is a constant to what is computed from it.
    ///
    /// # Panics
    /// If this is not a parameter.
    #[track_caller]
    pub fn set_frozen(&self, frozen: bool) {
        self.cell("set_frozen").frozen.store(frozen, Ordering::Relaxed);
    }

    /// Changes a parameter's value, in place where nobody else holds the storage. Graphs recorded before cannot be
    /// walked through it any more.
    ///
    /// # Panics
    /// If this is not a parameter, or its shape changes.
    #[track_caller]
    pub fn update(&self, change: impl FnOnce(&mut TensorOf<T>)) {
        let cell = self.cell("update");
        let mut value = cell.value.write().unwrap_or_else(PoisonError::into_inner);
        let before = value.shape();
        change(&mut value);
        cell.version.fetch_add(1, Ordering::Relaxed);
        let after = value.shape();
        drop(value);
        assert!(before == after, "update: '{}' had the shape {before} and now has {after}", self.name());
    }

    /// As [`update`](Self::update), of several parameters at once.
    ///
    /// # Panics
    /// If one is not a parameter or is named twice, or a shape changes.
    #[track_caller]
    pub fn update_all(parameters: &[&Self], change: impl FnOnce(Vec<&mut TensorOf<T>>)) {
        // Locked in the order of ids, so that two threads that update the same parameters do not wait for each other.
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        order.sort_by_key(|&i| parameters[i].id());
        for pair in order.windows(2) {
            let var = parameters[pair[0]];
            assert!(var.id() != parameters[pair[1]].id(), "update_all: '{}' is named twice", var.name());
        }
        let lock = |i: usize| {
            let cell = parameters[i].cell("update_all");
            let value = cell.value.write().unwrap_or_else(PoisonError::into_inner);
            (i, value.shape(), value)
        };
        let mut values: Vec<_> = order.into_iter().map(lock).collect();
        values.sort_by_key(|&(i, ..)| i);
        change(values.iter_mut().map(|(_, _, value)| &mut **value).collect());
        for (i, before, value) in values {
            parameters[i].cell("update_all").version.fetch_add(1, Ordering::Relaxed);
            let after = value.shape();
            drop(value);
            assert!(
                before == after,
                "update_all: '{}' had the shape {before} and now has {after}",
                parameters[i].name()
            );
        }
    }

    /// Sets a parameter's value.
    ///
    /// # Panics
    /// If this is not a parameter, or its shape changes.
    #[track_caller]
    pub fn set(&self, value: &TensorOf<T>) {
        self.update(|slot| *slot = value.clone());
    }

    /// How often a parameter was changed; 0 for everything else.
    fn version(&self) -> u64 {
        match &self.0.content {
            Content::Parameter(p) => p.version.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// The operation that made this variable, if it was recorded.
    pub(crate) fn computed(&self) -> Option<&Computed<T>> {
        match &self.0.content {
            Content::Computed(computed) => Some(computed),
            _ => None,
        }
    }

    /// The recorded operation that made this variable, for looking at a graph; `None` for parameters and constants.
    pub fn node(&self) -> Option<NodeOf<T>> {
        self.computed().map(|_| NodeOf(self.clone()))
    }
}

impl<T: Float> Edge<T> {
    /// The input, if it still has the value that the operation used.
    #[track_caller]
    pub(crate) fn walk(&self, op: &str) -> &VarOf<T> {
        assert!(
            self.parent.version() == self.version,
            "backward: parameter '{}' was changed after '{op}' had used it\n  rule: call backward() before the optimizer's step, or compute the loss anew",
            self.parent.name()
        );
        &self.parent
    }
}

impl<T: Float> NodeOf<T> {
    fn computed(&self) -> &Computed<T> {
        self.0.computed().expect("a node is only made of a recorded operation")
    }

    /// The i-th variable that the operation was computed from.
    ///
    /// # Panics
    /// If there are fewer, or it is a parameter that was changed since.
    #[track_caller]
    pub fn parent(&self, i: usize) -> VarOf<T> {
        let computed = self.computed();
        computed.edges[i].walk(computed.rule.name()).clone()
    }

    /// How many variables the operation was computed from.
    pub fn parents(&self) -> usize {
        self.computed().edges.len()
    }

    /// The operation's result.
    pub fn output(&self) -> VarOf<T> {
        self.0.clone()
    }

    /// The operation's rule: its name, its formula, what it saved.
    pub fn rule(&self) -> &dyn Rule<T> {
        &*self.computed().rule
    }
}

impl<T: Float> Drop for Node<T> {
    /// Takes long chains apart in a loop; the compiler's own drop would recurse once for each node.
    fn drop(&mut self) {
        let Content::Computed(computed) = &mut self.content else { return };
        let mut doomed = std::mem::take(&mut computed.edges);
        while let Some(edge) = doomed.pop() {
            if let Some(mut node) = Arc::into_inner(edge.parent.0)
                && let Content::Computed(computed) = &mut node.content
            {
                doomed.append(&mut computed.edges);
            }
        }
    }
}

impl<T: Float> fmt::Display for VarOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value(), f)
    }
}

impl<T: Float> fmt::Debug for VarOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name(), self.value())
    }
}

impl<T: Float> From<&VarOf<T>> for VarOf<T> {
    fn from(x: &VarOf<T>) -> Self {
        x.clone()
    }
}

impl<T: Float> From<TensorOf<T>> for VarOf<T> {
    fn from(value: TensorOf<T>) -> Self {
        Self::constant(value)
    }
}

impl<T: Float> From<&TensorOf<T>> for VarOf<T> {
    fn from(value: &TensorOf<T>) -> Self {
        Self::constant(value)
    }
}
