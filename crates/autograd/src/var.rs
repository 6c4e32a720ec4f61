//! Variables: the nodes of the graph.

mod node;
mod parameter;

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use chainrule_tensor::{Device, Float, Shape, Shared, TensorOf};
use smallvec::SmallVec;

use crate::recording::{is_recording, recorded};

pub use node::{NodeOf, Rule};

/// A variable of `f32`: what networks are trained with.
pub type Var = VarOf<f32>;
/// A variable of `f64`: what derivations are checked with.
pub type Var64 = VarOf<f64>;

/// A value on the graph.
///
/// Cloning gives another handle of the same node. What is computed from variables is recorded, unless none of them
/// needs a gradient or [`no_grad`](crate::no_grad) is in force.
pub struct VarOf<T: Float>(Handle<T>);

/// A constant is its numbers: the backward walk computes with nothing else and would make a node of each for nothing.
enum Handle<T: Float> {
    Constant(TensorOf<T>),
    Node(Shared<Node<T>>),
}

struct Node<T: Float> {
    id: u64,
    content: Content<T>,
}

enum Content<T: Float> {
    Parameter(Parameter<T>),
    Computed(Computed<T>),
}

struct Parameter<T: Float> {
    name: RwLock<String>,
    shape: Shape,
    value: RwLock<TensorOf<T>>,
    version: AtomicU64,
    frozen: AtomicBool,
}

/// What a recorded operation consists of.
pub(crate) struct Computed<T: Float> {
    value: TensorOf<T>,
    pub(crate) edges: Edges<T>,
    pub(crate) rule: Box<dyn Rule<T>>,
}

/// The edges of an operation; most have at most three, which lie in the node itself.
type Edges<T> = SmallVec<[Edge<T>; 3]>;

/// From an operation to one of its inputs.
pub(crate) struct Edge<T: Float> {
    pub(crate) parent: VarOf<T>,
    /// The parameter's version when the operation was recorded.
    version: u64,
}

/// The numbers of a variable for reading: no owner of theirs is counted where they cannot change.
pub(crate) enum Numbers<'a, T: Float> {
    Fixed(&'a TensorOf<T>),
    /// A parameter's, as they were. Its lock is not held while a kernel runs: an op may read one parameter twice.
    Taken(TensorOf<T>),
}

impl<T: Float> Deref for Numbers<'_, T> {
    type Target = TensorOf<T>;
    #[inline]
    fn deref(&self) -> &TensorOf<T> {
        match self {
            Self::Fixed(value) => value,
            Self::Taken(value) => value,
        }
    }
}

/// Ids grow with time, so a node's id is larger than those of all that it was computed from.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<T: Float> VarOf<T> {
    fn new(content: Content<T>) -> Self {
        Self(Handle::Node(Shared::new(Node { id: next_id(), content })))
    }

    fn content(&self) -> Option<&Content<T>> {
        match &self.0 {
            Handle::Constant(_) => None,
            Handle::Node(node) => Some(&node.content),
        }
    }

    /// A value that no gradient flows to.
    pub fn constant(value: impl Into<TensorOf<T>>) -> Self {
        Self(Handle::Constant(value.into()))
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
        let value = value.into();
        Self::new(Content::Parameter(Parameter {
            name: RwLock::new(name.into()),
            shape: value.shape(),
            value: RwLock::new(value),
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
    ///     fn formula(&self) -> &str { "y = x³" }
    ///     fn derivative(&self) -> &str { "dx = 3x² · dy" }
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
        let mut edges = Edges::new();
        for parent in parents {
            edges.push(Edge { parent: parent.clone(), version: parent.version() });
        }
        if !edges.iter().any(|edge| edge.parent.requires_grad()) {
            return Self::constant(value);
        }
        let var = Self::new(Content::Computed(Computed { value, edges, rule: Box::new(rule) }));
        recorded(var.id());
        var
    }

    /// The numbers.
    pub fn value(&self) -> TensorOf<T> {
        match self.numbers() {
            Numbers::Fixed(value) => value.clone(),
            Numbers::Taken(value) => value,
        }
    }

    /// The numbers for reading.
    pub(crate) fn numbers(&self) -> Numbers<'_, T> {
        match &self.0 {
            Handle::Constant(value) => Numbers::Fixed(value),
            Handle::Node(node) => match &node.content {
                Content::Computed(computed) => Numbers::Fixed(&computed.value),
                Content::Parameter(p) => Numbers::Taken(p.value.read().unwrap_or_else(PoisonError::into_inner).clone()),
            },
        }
    }

    /// The numbers, this handle given up: if it was the only one, they can be changed in place.
    pub(crate) fn into_value(self) -> TensorOf<T> {
        match self.0 {
            Handle::Constant(value) => value,
            Handle::Node(_) => self.value(),
        }
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> Shape {
        *self.shape_ref()
    }

    /// The lengths of the axes, not copied.
    pub(crate) fn shape_ref(&self) -> &Shape {
        match &self.0 {
            Handle::Constant(value) => value.layout().shape_ref(),
            Handle::Node(node) => match &node.content {
                Content::Computed(computed) => computed.value.layout().shape_ref(),
                Content::Parameter(p) => &p.shape,
            },
        }
    }

    /// The one number of a variable that has only one, such as a loss.
    ///
    /// # Panics
    /// If there are more.
    #[track_caller]
    pub fn item(&self) -> T {
        self.numbers().item()
    }

    /// Where the numbers lie.
    pub fn device(&self) -> Device {
        self.numbers().device()
    }

    /// The same value as a constant: no gradient flows through it.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self::constant(self.value())
    }

    /// Whether gradients flow to this variable: it is a parameter that is not frozen, or was computed from one.
    pub fn requires_grad(&self) -> bool {
        match self.content() {
            None => false,
            Some(Content::Parameter(p)) => !p.frozen.load(Ordering::Relaxed),
            Some(Content::Computed(_)) => true,
        }
    }

    /// Whether this is a parameter.
    pub fn is_parameter(&self) -> bool {
        matches!(self.content(), Some(Content::Parameter(_)))
    }

    /// A number that no other variable of a graph has, which grows in the order of creation; 0 for all constants.
    pub fn id(&self) -> u64 {
        match &self.0 {
            Handle::Constant(_) => 0,
            Handle::Node(node) => node.id,
        }
    }

    /// The parameter's name, or that of the operation that made this variable.
    pub fn name(&self) -> String {
        match self.content() {
            None => "constant".into(),
            Some(Content::Parameter(p)) => p.name.read().unwrap_or_else(PoisonError::into_inner).clone(),
            Some(Content::Computed(computed)) => computed.rule.name().into(),
        }
    }

    /// How often a parameter was changed; 0 for everything else.
    fn version(&self) -> u64 {
        match self.content() {
            Some(Content::Parameter(p)) => p.version.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// The operation that made this variable, if it was recorded.
    pub(crate) fn computed(&self) -> Option<&Computed<T>> {
        match self.content() {
            Some(Content::Computed(computed)) => Some(computed),
            _ => None,
        }
    }

    /// The recorded operation that made this variable, for looking at a graph; `None` for parameters and constants.
    pub fn node(&self) -> Option<NodeOf<T>> {
        self.computed().map(|_| NodeOf(self.clone()))
    }

    /// As [`node`](Self::node), without another handle.
    pub(crate) fn as_node(&self) -> Option<&NodeOf<T>> {
        // SAFETY: a node is a variable and nothing else, and is laid out as one.
        self.computed().map(|_| unsafe { &*std::ptr::from_ref(self).cast::<NodeOf<T>>() })
    }
}

impl<T: Float> Clone for VarOf<T> {
    /// Another handle of the same variable.
    #[inline]
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Handle::Constant(value) => Handle::Constant(value.clone()),
            Handle::Node(node) => Handle::Node(node.clone()),
        })
    }
}

impl<T: Float> Drop for Node<T> {
    /// Takes long chains apart in a loop; the compiler's own drop would recurse once for each node.
    fn drop(&mut self) {
        let mut doomed = SmallVec::<[Shared<Self>; 8]>::new();
        self.let_go(&mut doomed);
        while let Some(mut node) = doomed.pop() {
            if let Some(node) = node.get_mut() {
                node.let_go(&mut doomed);
            }
        }
    }
}

impl<T: Float> Node<T> {
    /// Gives up what an operation was computed from; nodes that nobody else holds go to `doomed`.
    fn let_go(&mut self, doomed: &mut SmallVec<[Shared<Self>; 8]>) {
        let Content::Computed(computed) = &mut self.content else { return };
        while let Some(edge) = computed.edges.pop() {
            if let Handle::Node(node) = edge.parent.0
                && let Some(node) = node.last()
            {
                doomed.push(node);
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
