//! Variables: the nodes of the graph.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use chainrule_tensor::{Device, Float, Shape, Shared, TensorOf};
use smallvec::SmallVec;

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

/// A recorded operation, as its rule sees it.
#[repr(transparent)]
pub struct NodeOf<T: Float>(VarOf<T>);

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

    #[track_caller]
    fn cell(&self, what: &str) -> &Parameter<T> {
        match self.content() {
            Some(Content::Parameter(p)) => p,
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
        change(&mut value);
        // Nobody else changes it meanwhile: the value is locked.
        cell.version.store(cell.version.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if *value.layout().shape_ref() == cell.shape {
            return;
        }
        let (before, after) = (cell.shape, value.shape());
        drop(value);
        panic!("update: '{}' had the shape {before} and now has {after}", self.name())
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
