//! The methods of variables that make, read and name them.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use chainrule_tensor::{Device, Float, Shape, Shared, TensorOf};
use smallvec::SmallVec;

use crate::graph::{Edge, Named, Node, Operation, Parameter, Recorded, Rule, VarOf};
use crate::hooks::recorded;
use crate::internal::value::Value;
use crate::recording::is_recording;
use crate::scope;

/// The bit that is set in ids of unnamed constants; the other bits identify the tensor.
const CONSTANTS: u64 = 1 << 63;

/// Ids increase in the order of creation, so the id of a node is larger than those of all nodes it was computed from.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<T: Float> VarOf<T> {
    /// A variable without gradient.
    pub fn constant(value: impl Into<TensorOf<T>>) -> Self {
        Self(Node::Constant(value.into()))
    }

    /// A variable that can be learned: gradients are computed for it, and optimizers update it.
    ///
    /// ```
    /// use chainrule_autograd::Var;
    /// let w = Var::parameter("w", [0.5, 0.5]);
    /// let loss = (&w * &w).sum();
    /// println!("{}", loss.backward()[&w]); // [1. 1.]
    /// ```
    pub fn parameter(name: impl Into<String>, value: impl Into<TensorOf<T>>) -> Self {
        let value = value.into();
        Self(Node::Parameter(Shared::new(Parameter {
            id: next_id(),
            name: RwLock::new(name.into()),
            shape: value.shape(),
            value: RwLock::new(value),
            version: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
        })))
    }

    /// Records an operation: `value` was computed from `parents`, and `rule` computes their gradients.
    ///
    /// All ops use this method, those of this crate and custom ones. Under [`no_grad`](crate::no_grad), or if no parent
    /// requires a gradient, the result is a constant.
    ///
    /// ```
    /// use chainrule_autograd::{Operation, Rule, Var64, VarOf, gradcheck};
    /// use chainrule_tensor::{Float, Unary};
    ///
    /// struct Cube;
    /// impl<T: Float> Rule<T> for Cube {
    ///     fn name(&self) -> &str { "cube" }
    ///     fn formula(&self) -> &str { "y = x³" }
    ///     fn derivative(&self) -> &str { "dx = 3x² · dy" }
    ///     fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
    ///         vec![Some(3.0 * op.parent(0).square() * dy)]
    ///     }
    /// }
    /// fn cube(x: &Var64) -> Var64 {
    ///     VarOf::record(x.value().unary(Unary::Pow(3.0)), [x], Cube)
    /// }
    /// gradcheck(|x| cube(&x[0]), &[[0.3, -1.2].into()]).unwrap();
    /// ```
    #[track_caller]
    pub fn record<'a>(value: TensorOf<T>, parents: impl IntoIterator<Item = &'a Self>, rule: impl Rule<T>) -> Self {
        if !is_recording() {
            return Self::constant(value);
        }
        let edges: SmallVec<[Edge<T>; 3]> = parents.into_iter().map(Edge::to).collect();
        if !edges.iter().any(|edge| edge.parent.requires_grad()) {
            return Self::constant(value);
        }
        let id = next_id();
        let (scope, place) = (scope::current(), Location::caller());
        let recorded_op = Recorded { id, value, edges, rule: Box::new(rule), scope, place, name: RwLock::new(None) };
        recorded(Self(Node::Computed(Shared::new(recorded_op))))
    }

    /// The tensor.
    pub fn value(&self) -> Value<'_, T> {
        Value(match &self.0 {
            Node::Constant(value) => Cow::Borrowed(value),
            Node::Named(named) => Cow::Borrowed(&named.value),
            Node::Computed(recorded) => Cow::Borrowed(&recorded.value),
            Node::Parameter(p) => Cow::Owned(p.value.read().unwrap_or_else(PoisonError::into_inner).clone()),
        })
    }

    /// Converts this handle to its tensor. If it was the only handle of a constant, the tensor can be changed in place.
    pub(crate) fn into_value(self) -> TensorOf<T> {
        match self.0 {
            Node::Constant(value) => value,
            _ => self.value().clone(),
        }
    }

    /// The shape.
    #[inline]
    pub fn shape(&self) -> Shape {
        *self.shape_ref()
    }

    /// The shape, by reference.
    #[inline]
    pub(crate) fn shape_ref(&self) -> &Shape {
        let value = match &self.0 {
            Node::Constant(value) => value,
            Node::Named(named) => &named.value,
            Node::Computed(recorded) => &recorded.value,
            Node::Parameter(p) => return &p.shape,
        };
        value.layout().shape_ref()
    }

    /// The value of a scalar, such as a loss.
    ///
    /// # Panics
    /// If there is more than one element.
    #[track_caller]
    pub fn item(&self) -> T {
        self.value().item()
    }

    /// The device of the tensor.
    pub fn device(&self) -> Device {
        self.value().device()
    }

    /// The same value as a constant, so that no gradient flows back through it.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self::constant(self.value().clone())
    }

    /// Whether this is a parameter that is not frozen, or was computed from one.
    pub fn requires_grad(&self) -> bool {
        match &self.0 {
            Node::Constant(_) | Node::Named(_) => false,
            Node::Parameter(p) => !p.frozen.load(Ordering::Relaxed),
            Node::Computed(_) => true,
        }
    }

    /// Whether this is a parameter.
    pub fn is_parameter(&self) -> bool {
        matches!(self.0, Node::Parameter(_))
    }

    /// A number that is unique within a graph and increases in the order of creation.
    ///
    /// Constants without a [name](Self::named) are not nodes. Their ids are larger than those of all nodes, and equal
    /// for constants of the same tensor. Such an id may be reused after the tensor is dropped; a graph keeps its
    /// tensors alive.
    pub fn id(&self) -> u64 {
        match &self.0 {
            Node::Constant(value) => CONSTANTS | value.identity(),
            Node::Named(named) => named.id,
            Node::Parameter(p) => p.id,
            Node::Computed(recorded) => recorded.id,
        }
    }

    /// Whether this is a node of a graph: not a constant without a name.
    pub(crate) fn is_node(&self) -> bool {
        !matches!(self.0, Node::Constant(_))
    }

    /// The name set by [`named`](Self::named), otherwise that of the operation that computed this variable, or `constant`.
    pub fn name(&self) -> String {
        match &self.0 {
            Node::Constant(_) => "constant".into(),
            Node::Named(named) => named.name.clone(),
            Node::Parameter(p) => p.name.read().unwrap_or_else(PoisonError::into_inner).clone(),
            Node::Computed(recorded) => match &*recorded.name.read().unwrap_or_else(PoisonError::into_inner) {
                Some(name) => name.to_string(),
                None => recorded.rule.name().into(),
            },
        }
    }

    /// Sets the name of this variable, such as `h1`, for messages and for inspecting a graph.
    ///
    /// All handles of a parameter or of a computed variable share its name. For a constant, only the returned handle
    /// and its clones have the name.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let x = Var64::constant([0.5, 2.0]).named("x");
    /// let w = Var64::parameter("w", [1.0, -1.0]);
    /// let h = (&w * &x).named("h");
    /// let op = h.operation().unwrap();
    /// assert_eq!((h.name(), op.parent(0).name(), op.parent(1).name()), ("h".into(), "w".into(), "x".into()));
    /// assert_eq!(op.rule().name(), "mul");
    /// ```
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        match &self.0 {
            Node::Constant(value) => {
                let named = Named { id: next_id(), name: name.into(), value: value.clone() };
                return Self(Node::Named(Shared::new(named)));
            }
            Node::Named(named) => return Self::constant(&named.value).named(name),
            Node::Parameter(_) => self.rename(name),
            Node::Computed(recorded) => {
                *recorded.name.write().unwrap_or_else(PoisonError::into_inner) = Some(name.into().into());
            }
        }
        self
    }

    /// The recorded operation that computed this variable; `None` for parameters and constants.
    pub fn operation(&self) -> Option<Operation<'_, T>> {
        match &self.0 {
            Node::Computed(recorded) => Some(Operation { output: self, recorded }),
            _ => None,
        }
    }
}

impl<T: Float> Clone for VarOf<T> {
    /// Another handle of the same variable.
    #[inline]
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Node::Constant(value) => Node::Constant(value.clone()),
            Node::Named(named) => Node::Named(named.clone()),
            Node::Parameter(p) => Node::Parameter(p.clone()),
            Node::Computed(recorded) => Node::Computed(recorded.clone()),
        })
    }
}

impl<T: Float> fmt::Display for VarOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.value(), f)
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
