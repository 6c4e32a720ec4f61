//! Hooks: reading and changing what a net computes inside, by path.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Index;
use std::rc::Rc;

use chainrule_autograd::{Operation, Rule, VarOf, map_records};
use chainrule_tensor::Float;

use crate::chain::unfused;
use crate::error::NnError;
use crate::module::Module;

/// A forward pass in which every intermediate value can be read, and changed, by its path; so can its gradient. In the spirit
/// of `PyTorch`'s `register_forward_hook` and `register_full_backward_hook`.
///
/// The path of an operation is that of its layer, such as `layer1.0.conv2`. Operations without parameters have none; theirs is
/// the path of the last layer before them with their name: after `conv1` come `conv1.relu` and `conv1.max_pool2d`. What comes
/// before any layer has its name alone. A path that occurs again is numbered: `conv1.relu#2`. Nothing is fused, so that each
/// operation is one of its own; on the CPU the bits stay the same.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Conv2d, Flatten, Hooks, Linear, Relu, Sequential};
/// use chainrule_tensor::{Rng, Tensor};
/// let mut rng = Rng::seed(0);
/// let net: Sequential = Sequential::new()
///     .add(Conv2d::new(1, 2, 3, &mut rng))
///     .add(Relu)
///     .add(Flatten)
///     .add(Linear::new(2 * 4 * 4, 3, &mut rng));
/// let x = Var::constant(Tensor::ones([5, 1, 6, 6]));
/// let hooked = Hooks::of(&net)
///     .value("0.relu", |relu| relu * 2.0)
///     .gradient("3", |dy| dy * 0.5)
///     .forward(&x)?;
/// let paths: Vec<&str> = hooked.iter().map(|(path, _)| path).collect();
/// assert_eq!(paths, ["0", "0.relu", "0.reshape", "3"]);
/// let relu = &hooked["0.relu"];
/// assert_eq!(relu.shape(), [5, 2, 4, 4]);
/// let loss = hooked.output.cross_entropy(&[0, 1, 2, 0, 1].into());
/// let gradients = loss.backward_keeping(&[relu]);
/// assert_eq!(gradients[relu].shape(), [5, 2, 4, 4]);
/// # Ok::<(), chainrule_nn::NnError>(())
/// ```
///
/// Under `no_grad` nothing is recorded, and so there is nothing to hook. Neither is an operation on a constant input and
/// frozen parameters only; an input that is a parameter, such as `Var::parameter("input", images)`, has it recorded.
pub struct Hooks<'a, T: Float = f32> {
    net: &'a dyn Module<T>,
    values: Vec<(String, ValueHook<T>)>,
    gradients: Vec<(String, GradientHook<T>)>,
}

type ValueHook<T> = Box<dyn FnMut(VarOf<T>) -> VarOf<T>>;
type GradientHook<T> = Box<dyn Fn(VarOf<T>) -> VarOf<T> + Send + Sync>;

impl<'a, T: Float> Hooks<'a, T> {
    /// No hooks yet: a pass whose values can be read.
    pub fn of(net: &'a dyn Module<T>) -> Self {
        Self { net, values: Vec::new(), gradients: Vec::new() }
    }

    /// Passes the output of an operation to `hook`, and what it returns to the rest of the net. Hooks of one path run in the
    /// order in which they were added.
    #[must_use]
    pub fn value(mut self, path: impl Into<String>, hook: impl FnMut(VarOf<T>) -> VarOf<T> + 'static) -> Self {
        self.values.push((path.into(), Box::new(hook)));
        self
    }

    /// Passes the gradient dy of an operation's output to `hook` in each backward walk, and what it returns to the operation,
    /// in the shape of dy. Hooks of one path run in the order in which they were added.
    #[must_use]
    pub fn gradient(
        mut self,
        path: impl Into<String>,
        hook: impl Fn(VarOf<T>) -> VarOf<T> + Send + Sync + 'static,
    ) -> Self {
        self.gradients.push((path.into(), Box::new(hook)));
        self
    }

    /// Runs the net's forward pass, in the mode that it is in.
    ///
    /// # Errors
    /// [`NnError::NoOperation`], with the paths that there are, if a hook's path is not one of them. The pass has run then.
    #[track_caller]
    pub fn forward(self, x: &VarOf<T>) -> Result<Hooked<T>, NnError> {
        let Self { net, values, gradients } = self;
        let wanted: Vec<String> =
            values.iter().map(|(path, _)| path).chain(gradients.iter().map(|(path, _)| path)).cloned().collect();
        // The layer of an operation is read from the names that this sets.
        let _ = net.named_parameters();
        // A parameter as input would count as one of the first layer's.
        let x = if x.is_parameter() { x * 1.0 } else { x.clone() };
        let recorded = Rc::new(RefCell::new(Vec::new()));
        let (mut paths, seen) = (Paths::default(), Rc::clone(&recorded));
        let (mut values, mut gradients) = (by_path(values), by_path(gradients));
        let hook = move |mut var: VarOf<T>| {
            let path = var.operation().map(|op| paths.next(&op)).expect("it was recorded");
            for hook in values.get_mut(&path).into_iter().flatten() {
                var = hook(var);
            }
            seen.borrow_mut().push((path.clone(), var.clone()));
            match gradients.remove(&path) {
                Some(hooks) => VarOf::record(var.value().clone(), [&var], GradientHooks(hooks)),
                None => var,
            }
        };
        let output = map_records(hook, || unfused(|| net.forward(&x)));
        let hooked = Hooked { output, values: recorded.take() };
        wanted.iter().try_for_each(|path| hooked.get(path).map(drop))?;
        Ok(hooked)
    }
}

/// The hooks of each path, in their order.
fn by_path<H>(hooks: Vec<(String, H)>) -> HashMap<String, Vec<H>> {
    let mut map: HashMap<String, Vec<H>> = HashMap::new();
    for (path, hook) in hooks {
        map.entry(path).or_default().push(hook);
    }
    map
}

/// The result of [`Hooks::forward`]: the net's output, and the output of each operation by its path.
///
/// The gradient of such a value, by `backward_keeping` or `gradient`, is what gradient hooks made of it.
#[derive(Debug)]
pub struct Hooked<T: Float = f32> {
    /// The output of the net.
    pub output: VarOf<T>,
    values: Vec<(String, VarOf<T>)>,
}

impl<T: Float> Hooked<T> {
    /// The paths and outputs of all operations, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &VarOf<T>)> {
        self.values.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// The output of an operation.
    ///
    /// # Errors
    /// [`NnError::NoOperation`], with the paths that there are.
    pub fn get(&self, path: &str) -> Result<&VarOf<T>, NnError> {
        self.iter().find(|(known, _)| *known == path).map(|(_, value)| value).ok_or_else(|| NnError::NoOperation {
            path: path.into(),
            known: self.iter().map(|(known, _)| known.into()).collect(),
        })
    }
}

impl<T: Float> Index<&str> for Hooked<T> {
    type Output = VarOf<T>;

    /// The output of an operation.
    ///
    /// # Panics
    /// If there is none with this path; [`get`](Self::get) returns an error.
    #[track_caller]
    fn index(&self, path: &str) -> &VarOf<T> {
        self.get(path).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The paths of successive operations of a forward pass, as [`Hooks`] describes them.
#[derive(Default)]
pub struct Paths {
    /// That of the last layer so far.
    layer: String,
    seen: HashMap<String, usize>,
}

impl Paths {
    /// The path of the operation after those that were asked for before.
    pub fn next<T: Float>(&mut self, op: &Operation<T>) -> String {
        let name = op.rule().name();
        let path = match op.layer() {
            Some(layer) => {
                self.layer.clone_from(&layer);
                layer
            }
            None if self.layer.is_empty() => name.to_owned(),
            None => format!("{}.{name}", self.layer),
        };
        let times = self.seen.entry(path.clone()).or_insert(0);
        *times += 1;
        if *times == 1 { path } else { format!("{path}#{times}") }
    }
}

/// The identity, whose gradient passes through hooks.
struct GradientHooks<T: Float>(Vec<GradientHook<T>>);

impl<T: Float> Rule<T> for GradientHooks<T> {
    fn name(&self) -> &'static str {
        "gradient hook"
    }

    fn formula(&self) -> &'static str {
        "y = x"
    }

    fn derivative(&self) -> &'static str {
        "dx = hook(dy)"
    }

    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(self.0.iter().fold(dy.clone(), |dy, hook| hook(dy)))]
    }
}
