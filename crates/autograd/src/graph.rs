//! The graph: variables, the operations that computed them, and the derivative rules of operations.

use std::fmt;
use std::panic::Location;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chainrule_tensor::{Float, Shape, Shared, TensorOf};
use smallvec::SmallVec;

use crate::attribute::Attribute;
use crate::scope::Scope;

/// An `f32` variable, for training networks.
pub type Var = VarOf<f32>;
/// An `f64` variable, for checking derivations.
pub type Var64 = VarOf<f64>;

/// A value on the graph.
///
/// Cloning gives another handle of the same node. Operations on variables are recorded, unless none of the operands
/// requires a gradient or recording is off ([`no_grad`](crate::no_grad)).
pub struct VarOf<T: Float>(pub(crate) Node<T>);

/// The kinds of variables.
pub(crate) enum Node<T: Float> {
    /// A tensor without gradient.
    Constant(TensorOf<T>),
    /// A constant with a name.
    Named(Shared<Named<T>>),
    /// A tensor that is learned: a leaf for which gradients are collected.
    Parameter(Shared<Parameter<T>>),
    /// The result of a recorded operation on other variables.
    Computed(Shared<Recorded<T>>),
}

/// A constant with a name.
pub(crate) struct Named<T: Float> {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) value: TensorOf<T>,
}

/// A parameter: a name and a value, both behind a lock.
pub(crate) struct Parameter<T: Float> {
    pub(crate) id: u64,
    pub(crate) name: RwLock<String>,
    pub(crate) shape: Shape,
    pub(crate) value: RwLock<TensorOf<T>>,
    /// The number of changes of the value.
    pub(crate) version: AtomicU64,
    pub(crate) frozen: AtomicBool,
}

/// The record of an operation: its result, its parents and its rule.
pub(crate) struct Recorded<T: Float> {
    pub(crate) id: u64,
    pub(crate) value: TensorOf<T>,
    /// Up to three are stored in the record itself.
    pub(crate) edges: SmallVec<[Edge<T>; 3]>,
    pub(crate) rule: Box<dyn Rule<T>>,
    pub(crate) scope: Option<Scope>,
    /// The line that called the op.
    pub(crate) place: &'static Location<'static>,
    /// The name of the result, if set by [`VarOf::named`].
    pub(crate) name: RwLock<Option<Box<str>>>,
}

/// An edge from an operation to one of its inputs.
pub(crate) struct Edge<T: Float> {
    pub(crate) parent: VarOf<T>,
    /// The parameter's version when the operation was recorded.
    version: u64,
}

impl<T: Float> Edge<T> {
    pub(crate) fn to(parent: &VarOf<T>) -> Self {
        Self { parent: parent.clone(), version: parent.version() }
    }

    /// Whether the input still has the value that the operation used.
    #[inline]
    fn is_current(&self) -> bool {
        self.parent.version() == self.version
    }
}

impl<T: Float> VarOf<T> {
    /// The number of changes of a parameter; 0 for other variables.
    #[inline]
    fn version(&self) -> u64 {
        match &self.0 {
            Node::Parameter(p) => p.version.load(Ordering::Relaxed),
            _ => 0,
        }
    }
}

/// The derivative rule of an op: computes the gradients of the inputs from the gradient of the output.
///
/// Its fields are the values that the op saved. Inputs and output are not saved in it; they are available through
/// [`Operation::parent`] and [`Operation::output`].
pub trait Rule<T: Float>: Send + Sync + 'static {
    /// The name of the op, for messages.
    fn name(&self) -> &str;

    /// The formula of the op, such as `y = 1/(1 + e⁻ˣ)`, in the notation of [`formula`](crate::formula). The output is
    /// y; in an op that computes a gradient it is that gradient, such as `dx`.
    fn formula(&self) -> &str;

    /// The formula of the derivative, such as `dx = dy · y(1 − y)`: first the gradient of each input, in the order of
    /// the parents, then definitions of other symbols. dy is the gradient of the output. If the output is itself a
    /// gradient, its gradient is dz, and those of the inputs are written `d(dy)`, `d(x)`.
    fn derivative(&self) -> &str;

    /// The settings of the op besides its inputs, with the symbols of the formulas. Only used for inspecting a graph.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// The values of the forward pass that the backward pass reads, in the symbols of the formulas, such as `x, w`.
    #[expect(clippy::unnecessary_literal_bound, reason = "other rules may build their text")]
    fn saved(&self) -> &str {
        "its inputs"
    }

    /// The multiply-adds of the op's product: the number of the forward pass, and that of the gradient of each of the
    /// first two parents. 0 if there is no product; a profiler then rates the op by the bytes it moves.
    fn multiply_adds(&self, _op: &Operation<T>) -> usize {
        0
    }

    /// Computes the gradients of the parents, one entry for each, from the gradient `dy` of the output.
    ///
    /// `needs[i]` tells whether the gradient of parent i is needed; if not, return `None` to skip the work. The
    /// computation uses variables, so the result can be differentiated again.
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>>;

    /// The output recorded again, by an op that did not keep how it was computed, such as [`recompute`](crate::recompute):
    /// backward walks go through those operations instead of calling [`backward`](Self::backward), and add their gradients in
    /// the order that they would have without this op. `None` for all others.
    ///
    /// The operations start from the parents of this one.
    fn recompute(&self, _op: &Operation<T>) -> Option<VarOf<T>> {
        None
    }

    /// Computes the tangent of the output, the Jacobian times the tangents `dx` of the parents, of which `None` is zero;
    /// at least one is given. It has the shape of the output.
    ///
    /// By default `None`, and [`Operation::tangent`] derives it from [`backward`](Self::backward). A rule gives its own
    /// where that is short: a linear op is its own tangent.
    fn tangent(&self, _op: &Operation<T>, _dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        None
    }
}

/// A tangent, and how it was computed.
#[derive(Clone, Debug)]
pub struct Tangent<T: Float> {
    /// The derivative of a variable along the tangents of others; it has the shape of the variable.
    pub value: VarOf<T>,
    /// How it was computed; for a tangent through several operations, the last of their sources in the order of
    /// [`TangentSource`].
    pub source: TangentSource,
}

/// How a tangent was computed, from the most independent of the rule's `backward` to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TangentSource {
    /// From the forward computation alone: the op itself for a linear op, the product rule for a product. The rule's
    /// `backward` had no part in it.
    Forward,
    /// From the local derivative f′ that `backward` multiplies dy with: an error in f′ is in both.
    Slope,
    /// From `backward`, differentiated in dy.
    Backward,
    /// From `backward` with a one-hot dy for each element of the output, because its result is not recorded on dy.
    OneHot,
}

impl TangentSource {
    /// Whether an error in a rule's `backward` cannot be in the tangent, so that comparing both checks the rule.
    pub fn is_independent(self) -> bool {
        self == Self::Forward
    }
}

impl fmt::Display for TangentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Forward => "forward",
            Self::Slope => "slope",
            Self::Backward => "backward",
            Self::OneHot => "one-hot",
        })
    }
}

/// A recorded operation: its inputs, its output and its rule, borrowed from the graph.
#[derive(Clone, Copy)]
pub struct Operation<'a, T: Float> {
    pub(crate) output: &'a VarOf<T>,
    pub(crate) recorded: &'a Recorded<T>,
}

impl<'a, T: Float> Operation<'a, T> {
    /// The i-th input of the operation.
    ///
    /// # Panics
    /// If there is none, or if it is a parameter that was changed since.
    #[inline]
    #[track_caller]
    pub fn parent(&self, i: usize) -> &'a VarOf<T> {
        let edge = &self.recorded.edges[i];
        assert!(
            edge.is_current(),
            "backward: parameter '{}' was changed after '{}' had used it\n  rule: call backward() before the optimizer's step, or compute the loss again",
            edge.parent.name(),
            self.rule().name()
        );
        &edge.parent
    }

    /// The number of inputs.
    pub fn parents(&self) -> usize {
        self.recorded.edges.len()
    }

    /// The output.
    #[inline]
    pub fn output(&self) -> &'a VarOf<T> {
        self.output
    }

    /// The [scope](crate::scope()) in which the operation was recorded, if any.
    pub fn scope(&self) -> Option<&'a Scope> {
        self.recorded.scope.as_ref()
    }

    /// The line of the program that called the op. For an operation inside a composed op, such as the mean in `mse_loss`, it is
    /// the line that called that; for one inside a layer that was called as `dyn Module`, the line of the layer.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let x = Var64::parameter("x", [1.0, 2.0]);
    /// let (y, line) = (x.softmax(0), line!());
    /// let place = y.operation().unwrap().place();
    /// assert_eq!((place.file(), place.line()), (file!(), line));
    /// ```
    pub fn place(&self) -> &'static Location<'static> {
        let calls = std::iter::successors(self.scope(), |scope| scope.parent());
        calls.map_while(Scope::place).last().unwrap_or(self.recorded.place)
    }

    /// The path of the layer that the operation belongs to, such as `layer1.0.bn2`: the names of its parameters without
    /// their last part. `None` if it has no parameters among its inputs, or those of several layers.
    ///
    /// Names are read when asked for, so this takes no time while operations are recorded. Parameters get the names of
    /// their paths when a net lists them (`Module::named_parameters`).
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let (w, b) = (Var64::parameter("block.fc.weight", [[2.0]]), Var64::parameter("block.fc.bias", [1.0]));
    /// let y = Var64::constant([[3.0]]).linear(&w, Some(&b));
    /// assert_eq!(y.operation().unwrap().layer().as_deref(), Some("block.fc"));
    /// assert_eq!(y.relu().operation().unwrap().layer(), None);
    /// ```
    pub fn layer(&self) -> Option<String> {
        let parents = self.recorded.edges.iter().map(|edge| &edge.parent);
        let layers = parents.filter(|parent| parent.is_parameter()).map(|parameter| {
            let name = parameter.name();
            name.rsplit_once('.').map(|(layer, _)| layer.to_owned())
        });
        layers.reduce(|a, b| if a == b { a } else { None }).flatten()
    }

    /// The rule: name, formulas, saved values.
    #[inline]
    pub fn rule(&self) -> &'a dyn Rule<T> {
        &*self.recorded.rule
    }
}
