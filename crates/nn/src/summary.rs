//! What a net computes from an input: the operations with their shapes and costs.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use chainrule_autograd::{VarOf, map_records};
use chainrule_tensor::{Float, Shape, ShapeError, TensorOf};

use crate::chain::unfused;
use crate::inference::Inference;
use crate::module::Module;

/// The operations of a net on an input at inference, in their order, each by itself, and the totals.
///
/// ```
/// use chainrule_nn::{Summary, nets};
/// use chainrule_tensor::Rng;
/// let net: nets::ResNet = nets::resnet18_cifar(10, &mut Rng::seed(0));
/// let summary = Summary::of(&net, [1, 3, 32, 32]).unwrap();
/// let first = &summary.rows[0];
/// assert_eq!((first.path.as_str(), first.operation.as_str()), ("conv1", "conv2d"));
/// assert_eq!((first.output, first.parameters, first.multiply_adds), ([1, 64, 32, 32].into(), 1728, 1_769_472));
/// println!("{summary}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The shape of the input.
    pub input: Shape,
    /// The operations.
    pub rows: Vec<SummaryRow>,
    /// The elements of all parameters of the net, also of those that this input does not use.
    pub parameters: usize,
    /// The elements of the parameters that are not frozen.
    pub trainable: usize,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// The path of the layer; empty for an operation without parameters.
    pub path: String,
    /// The name of the operation.
    pub operation: String,
    /// The shape of its output.
    pub output: Shape,
    /// The elements of its parameters; those that an earlier operation uses too are counted there.
    pub parameters: usize,
    /// The multiply-adds of its product: for a convolution N·O·oh·ow·(C/groups)·kh·kw, for a linear layer
    /// N·outputs·inputs, for a matrix product M·N·K. 0 for all other operations, whose cost is that of moving memory.
    pub multiply_adds: usize,
}

/// Operations whose output is a view of their input.
const VIEWS: [&str; 5] = ["reshape", "permute", "transpose", "slice", "broadcast_to"];

impl Summary {
    /// Runs the net once, in inference mode and unfused, on zeros of the given shape, and restores its modes.
    ///
    /// # Errors
    /// If the net does not accept an input of this shape.
    pub fn of<T: Float>(net: &dyn Module<T>, input: impl Into<Shape>) -> Result<Self, ShapeError> {
        let input = input.into();
        let modes = Inference::enter(net);
        net.output_shape(input)?;
        // Their names are then their paths.
        let parameters = net.named_parameters();
        let size = |trainable: bool| {
            let counted = parameters.iter().filter(|(_, var)| !trainable || var.requires_grad());
            counted.map(|(_, var)| var.shape().numel()).sum()
        };
        let (rows, seen) = (Rc::new(RefCell::new(Vec::new())), RefCell::new(HashSet::new()));
        let recorded = Rc::clone(&rows);
        let see = move |var: VarOf<T>| {
            let row = row(&var, &mut seen.borrow_mut());
            recorded.borrow_mut().extend(row);
            var
        };
        let device = parameters.first().map_or_else(Default::default, |(_, var)| var.value().device());
        // The input requires a gradient, so that operations on frozen parameters are recorded too. It is the result of an
        // operation, because a parameter here would count as a parameter of the first layer.
        let x = VarOf::parameter("input", TensorOf::<T>::zeros(input).to(device)) * 1.0;
        drop(map_records(see, || unfused(|| net.forward(&x))));
        drop(modes);
        let rows = rows.take();
        Ok(Self { input, rows, parameters: size(false), trainable: size(true) })
    }

    /// The multiply-adds of all operations.
    pub fn multiply_adds(&self) -> usize {
        self.rows.iter().map(|row| row.multiply_adds).sum()
    }

    /// The bytes of the outputs of all operations, in `f32`, without views of other outputs: about what training keeps for
    /// the backward pass, or more than that where layers run as one op.
    pub fn activation_bytes(&self) -> usize {
        let outputs = self.rows.iter().filter(|row| !VIEWS.contains(&row.operation.as_str()));
        outputs.map(|row| row.output.numel() * size_of::<f32>()).sum()
    }
}

/// The row of an operation; `seen` are the ids of the parameters of earlier rows.
fn row<T: Float>(var: &VarOf<T>, seen: &mut HashSet<u64>) -> Option<SummaryRow> {
    let op = var.operation()?;
    let parents = (0..op.parents()).map(|i| op.parent(i));
    let parameters = parents.filter(|parent| parent.is_parameter());
    Some(SummaryRow {
        path: op.layer().unwrap_or_default(),
        operation: op.rule().name().to_owned(),
        output: var.shape(),
        parameters: parameters.filter(|var| seen.insert(var.id())).map(|var| var.shape().numel()).sum(),
        multiply_adds: op.rule().multiply_adds(&op),
    })
}

/// The widest line of a printed summary, unless the name of an operation or a number is too long for it.
const COLUMNS: usize = 80;

impl fmt::Display for Summary {
    /// A table with a line for each operation, the shapes without the first axis, then the totals for each image of the
    /// input. A path that is too long has a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["layer", "operation", "output", "parameters", "multiply-adds"].map(str::to_owned);
        let cells = |row: &SummaryRow| {
            let output: Vec<String> = row.output.iter().skip(1).map(usize::to_string).collect();
            let count = |n: usize| if n == 0 { String::new() } else { n.to_string() };
            let (parameters, multiply_adds) = (count(row.parameters), count(row.multiply_adds));
            [row.path.clone(), row.operation.clone(), output.join("×"), parameters, multiply_adds]
        };
        let table: Vec<[String; 5]> = std::iter::once(head).chain(self.rows.iter().map(cells)).collect();
        let width = |column: usize| table.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let [path_width, operation_width, output_width, parameters_width, cost_width] = [0, 1, 2, 3, 4].map(width);
        // Two spaces between columns.
        let rest = operation_width + output_width + parameters_width + cost_width + 8;
        let path_width = path_width.min(COLUMNS.saturating_sub(rest));
        for [path, operation, output, parameters, cost] in &table {
            let mut path = path.as_str();
            if path.chars().count() > path_width {
                writeln!(f, "{path}")?;
                path = "";
            }
            let line = format!(
                "{path:path_width$}  {operation:operation_width$}  {output:output_width$}  {parameters:>parameters_width$}  {cost:>cost_width$}"
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let frozen = match self.parameters - self.trainable {
            0 => String::new(),
            frozen => format!(", {frozen} of them frozen"),
        };
        let images = self.input.first().copied().unwrap_or(1).max(1);
        let megabytes = |bytes: usize| bytes as f64 / 1e6;
        writeln!(
            f,
            "{} parameters{frozen}: {:.2} MB in f32",
            self.parameters,
            megabytes(self.parameters * size_of::<f32>())
        )?;
        writeln!(
            f,
            "{} multiply-adds for each image, in convolutions and matrix products",
            self.multiply_adds() / images
        )?;
        write!(
            f,
            "{:.2} MB for each image if all outputs are kept, as in training without fusion",
            megabytes(self.activation_bytes()) / images as f64
        )
    }
}
