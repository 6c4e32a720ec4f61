//! Modules: layers and models.

use std::collections::HashSet;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Conv2dOptions, Device, Epilogue, Float, Pool2dOptions, Shape, ShapeError};

use crate::parameter_table::{self, Note, Row};
use crate::path_patterns;
use crate::state::{BufferOf, Counter, Mode};
use crate::synchronization::Synchronization;

/// A layer or a model: a forward pass, parameters and state.
///
/// [`visit`](Self::visit) shows a visitor all parameters and state; [`children!`](crate::children) implements it from a list
/// of fields:
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Linear, Module, children};
/// use chainrule_tensor::Rng;
///
/// struct Net { fc1: Linear, fc2: Linear }
///
/// impl Module for Net {
///     children!(fc1, fc2);
///     fn forward(&self, x: &Var) -> Var {
///         self.fc2.forward(&self.fc1.forward(x).relu())
///     }
/// }
///
/// let mut rng = Rng::seed(0);
/// let net = Net { fc1: Linear::new(4, 8, &mut rng), fc2: Linear::new(8, 2, &mut rng) };
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
/// ```
pub trait Module<T: Float = f32>: Send + Sync {
    /// The output for an input.
    fn forward(&self, x: &VarOf<T>) -> VarOf<T>;

    /// The shape of the output for an input shape, without computing anything. By default that of the input.
    ///
    /// # Errors
    /// If an input of this shape does not fit, with the text that `forward` would panic with.
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(x)
    }

    /// The kind of this layer, for fusion with its neighbors. Layers that are never fused are `Other`.
    #[doc(hidden)]
    fn kind(&self) -> LayerKind<'_, T> {
        LayerKind::Other
    }

    /// Shows the visitor all parameters and state of this module, in a fixed order.
    fn visit(&self, visitor: &mut Visitor<'_, T>);

    /// The modules that this one runs one after the other, with their names, which begin the paths of their parameters.
    /// Empty for a module that is no such sequence, or does not say so.
    ///
    /// With them a net can be cut: what comes before a stage, once computed, need not be computed again where only the
    /// rest is trained.
    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        Vec::new()
    }

    /// All parameters with their paths, such as `conv1.weight`. A shared parameter appears once, with its first path.
    ///
    /// Also sets the name of each parameter to its path, for use in messages.
    fn named_parameters(&self) -> Vec<(String, VarOf<T>)> {
        let mut found: Vec<(String, VarOf<T>)> = Vec::new();
        self.visit(&mut Visitor::new(&mut |path, item| {
            if let Item::Parameter(var) = item
                && found.iter().all(|(_, other)| other.id() != var.id())
            {
                var.rename(path);
                found.push((path.into(), var.clone()));
            }
        }));
        found
    }

    /// All parameters, each once.
    fn parameters(&self) -> Vec<VarOf<T>> {
        self.named_parameters().into_iter().map(|(_, var)| var).collect()
    }

    /// The parameters in groups by their paths, for an optimizer that has other settings for some: one group for each pattern,
    /// with the parameters whose first matching pattern it is, then all others. A `*` stands for any characters.
    ///
    /// ```
    /// use chainrule_nn::{BatchNorm1d, Linear, Module, Optimizer, Sequential, Sgd};
    /// let mut rng = chainrule_tensor::Rng::seed(0);
    /// let net: Sequential = Sequential::new().add(Linear::new(4, 8, &mut rng)).add(BatchNorm1d::new(8));
    /// // No weight decay for biases and for the normalization.
    /// let groups = net.parameters_by(&["*.bias", "1.*"]);
    /// assert_eq!([groups[0].len(), groups[1].len(), groups[2].len()], [2, 1, 1]);
    /// let sgd = Sgd::new(groups[2].clone(), 0.1).weight_decay(5e-4).group(groups[..2].concat(), 0.1).weight_decay(0.0);
    /// assert_eq!(sgd.parameters().len(), 4);
    /// ```
    ///
    /// # Panics
    /// If a pattern is the first to match no parameter: it may be misspelled.
    #[track_caller]
    fn parameters_by(&self, patterns: &[&str]) -> Vec<Vec<VarOf<T>>> {
        path_patterns::groups(self.named_parameters(), patterns)
    }

    /// Sets training mode (batch statistics, dropout) or inference mode for this module and all modules in it.
    fn set_training(&self, training: bool) {
        self.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Mode(mode) = item {
                mode.set(training);
            }
        }));
    }

    /// Sets training mode; see [`set_training`](Self::set_training).
    fn train(&self) {
        self.set_training(true);
    }

    /// Sets inference mode; see [`set_training`](Self::set_training).
    fn eval(&self) {
        self.set_training(false);
    }

    /// Freezes or unfreezes all parameters. Frozen parameters get no gradient and are not updated.
    fn set_frozen(&self, frozen: bool) {
        for var in self.parameters() {
            var.set_frozen(frozen);
        }
    }

    /// Moves all parameters and buffers to a device, in the memory layout of its kernels. The variables stay the same, so
    /// existing optimizers remain valid.
    ///
    /// # Panics
    /// If the device cannot be used; check with [`Device::ready`].
    fn to(&self, device: Device) {
        for var in self.parameters() {
            let value = var.value().to_as_parameter(device);
            var.set(&value);
        }
        self.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Buffer(buffer) = item {
                buffer.set(buffer.get().to(device));
            }
        }));
    }

    /// A table of all parameters and buffers with path, shape and number of elements, and the totals. For the shapes of the
    /// outputs and the cost of each operation see [`Summary`](crate::Summary).
    ///
    /// ```
    /// use chainrule_nn::{Linear, Module};
    /// let fc = Linear::<f32>::new(4, 2, &mut chainrule_tensor::Rng::seed(0));
    /// println!("{}", fc.summary());
    /// // path    shape   count
    /// // weight  (2, 4)      8
    /// // bias    (2,)        2
    /// // 10 parameters
    /// ```
    fn summary(&self) -> String {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        self.visit(&mut Visitor::new(&mut |path, item| {
            let (shape, note) = match item {
                Item::Parameter(var) if !seen.insert(var.id()) => (var.shape(), Note::Shared),
                Item::Parameter(var) if !var.requires_grad() => (var.shape(), Note::Frozen),
                Item::Parameter(var) => (var.shape(), Note::None),
                Item::Buffer(buffer) => (buffer.get().shape(), Note::Buffer),
                Item::Counter(_) | Item::Mode(_) | Item::Synchronization(_) => return,
            };
            rows.push(Row { path: path.into(), shape, note });
        }));
        parameter_table::table(&rows)
    }

    /// The number of elements of all parameters.
    fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|var| var.shape().numel()).sum()
    }
}

/// The kind of a layer, as far as the choice of fused ops depends on it.
#[doc(hidden)]
pub enum LayerKind<'a, T: Float> {
    /// Weight, bias and options.
    Conv2d(&'a VarOf<T>, Option<&'a VarOf<T>>, Conv2dOptions),
    BatchNorm(&'a dyn BatchNormalization<T>),
    Relu,
    MaxPool2d(Pool2dOptions),
    Add(&'a VarOf<T>),
    Other,
}

/// A batch normalization, which can be followed by an epilogue.
#[doc(hidden)]
pub trait BatchNormalization<T: Float> {
    /// Whether the sums over each channel that a convolution attaches to its result are used.
    fn uses_channel_stats(&self) -> bool;
    fn forward_with(&self, x: &VarOf<T>, epilogue: Epilogue<'_, VarOf<T>>) -> VarOf<T>;
}

/// An item of a module, as shown to a visitor.
#[non_exhaustive]
pub enum Item<'a, T: Float> {
    /// A parameter.
    Parameter(&'a VarOf<T>),
    /// State that is saved but not learned, such as running statistics.
    Buffer(&'a BufferOf<T>),
    /// A counter that is saved, such as the number of masks that a dropout layer has drawn.
    Counter(&'a Counter),
    /// Training or inference mode of a layer.
    Mode(&'a Mode),
    /// The processes whose batches a layer normalizes together in training.
    Synchronization(&'a Synchronization<T>),
}

/// Visits all items of a module and of the modules in it, with their paths.
pub struct Visitor<'a, T: Float> {
    path: String,
    see: &'a mut dyn FnMut(&str, Item<'_, T>),
}

impl<'a, T: Float> Visitor<'a, T> {
    /// A visitor that calls `see` with the path of every item.
    pub fn new(see: &'a mut dyn FnMut(&str, Item<'_, T>)) -> Self {
        Self { path: String::new(), see }
    }

    /// Visits a child module.
    pub fn child(&mut self, name: &str, module: &dyn Module<T>) {
        let parent = self.path.len();
        self.push(name);
        module.visit(self);
        self.path.truncate(parent);
    }

    /// Shows an item.
    pub fn item(&mut self, name: &str, item: Item<'_, T>) {
        let parent = self.path.len();
        self.push(name);
        (self.see)(&self.path, item);
        self.path.truncate(parent);
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }
}

/// Implements [`Module::visit`] from a list of the fields that are modules: `children!(conv1, fc1)`, or
/// `children!(T: conv1, fc1)` for a struct that is generic in its element type.
#[macro_export]
macro_rules! children {
    ($($field:ident),+ $(,)?) => { $crate::children!(f32: $($field),+); };
    ($t:ty: $($field:ident),+ $(,)?) => {
        fn visit(&self, visitor: &mut $crate::Visitor<'_, $t>) {
            $(visitor.child(stringify!($field), &self.$field);)+
        }
    };
}
