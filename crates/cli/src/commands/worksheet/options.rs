//! The flags, and the problem that they describe.

use std::fs;
use std::path::PathBuf;

use chainrule_explain::checker::{
    Activation, BatchNorm, Biases, Convolution, Form, Kind, Loss, LossFunction, Matrices, Momentum, Net, Optimizer,
    Pooling, Problem, Reduction, Update,
};
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::numbers::positive;

/// Makes worksheets on backpropagation, each student's with other numbers
///
/// For each student there is a sheet (Markdown and HTML), a file to fill in, which `chainrule check` grades, and the key.
/// Numbers are drawn until all mistakes that the checker knows can be told apart at the digits asked for.
///
/// Example: chainrule worksheet --net 2-2-1 --activation sigmoid --seed 7 --students 30 --out class
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The kind of problem
    #[arg(long, value_enum, default_value_t = Exercise::Dense)]
    kind: Exercise,
    /// The sizes of the layers, the inputs first: for dense, softmax and matrices [default: 2-2-1, 3-3, 3-4-2]
    #[arg(long, value_name = "N-N-N")]
    net: Option<String>,
    /// The activation of hidden layers, and of the convolution [default: sigmoid]
    #[arg(long, value_enum)]
    activation: Option<Function>,
    /// The activation of the output of a dense net [default: sigmoid]
    #[arg(long, value_enum)]
    output: Option<Function>,
    /// The biases: none, one for each layer, or one for each unit [default: unit]
    #[arg(long, value_enum)]
    biases: Option<WhichBiases>,
    /// The optimizer whose steps are asked for [default: sgd]
    #[arg(long, value_enum)]
    optimizer: Option<Steps>,
    /// The learning rate [default: 0.5]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// The number of steps [default: 1]
    #[arg(long)]
    steps: Option<usize>,
    /// The problem of this sheet instead of the flags above; its numbers and answers are ignored
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["kind", "net", "activation", "output", "biases", "optimizer", "lr", "steps"]
    )]
    like: Option<PathBuf>,
    /// The title of the sheets
    #[arg(long)]
    title: Option<String>,
    /// The significant digits that answers need
    #[arg(long, default_value_t = 5, value_parser = digits)]
    pub digits: usize,
    /// The seed of all numbers
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The number of students
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    students: u32,
    /// A file with the students' names, one on a line, instead of their number
    #[arg(long, value_name = "FILE", conflicts_with = "students")]
    names: Option<PathBuf>,
    /// The folder that the worksheets are written to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Overwrites files that are filled in
    #[arg(long)]
    pub force: bool,
}

fn digits(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|digits| (2..=10).contains(digits)).ok_or_else(|| "expected 2 to 10 digits".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Exercise {
    /// A fully connected net with a squared error
    Dense,
    /// A linear layer with softmax and cross-entropy
    Softmax,
    /// A convolution with pooling on a 4×4 image
    Convolution,
    /// Batch normalization of four numbers
    BatchNorm,
    /// Shapes and matrix identities
    Matrices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Function {
    Linear,
    Sigmoid,
    Tanh,
    Relu,
    LeakyRelu,
}

impl Function {
    fn activation(self) -> Activation {
        match self {
            Self::Linear => Activation::Linear,
            Self::Sigmoid => Activation::Sigmoid,
            Self::Tanh => Activation::Tanh,
            Self::Relu => Activation::Relu,
            Self::LeakyRelu => Activation::LeakyRelu,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhichBiases {
    None,
    Layer,
    Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Steps {
    /// No step: the sheet ends with the gradients
    None,
    Sgd,
    /// PyTorch's momentum
    Momentum,
    /// The velocity contains the learning rate
    ClassicalMomentum,
    Adam,
}

impl Arguments {
    /// The problem and the title.
    pub fn problem(&self) -> Result<(Problem, String), Failure> {
        let titled = |title: &str| self.title.clone().unwrap_or_else(|| title.to_owned());
        if let Some(path) = &self.like {
            let bad = |error: &dyn std::fmt::Display| Failure::Input(format!("{}: {error}", path.display()));
            let text = fs::read_to_string(path).map_err(|error| bad(&error))?;
            return Ok((text.parse().map_err(|error| bad(&error))?, titled("Backpropagation")));
        }
        self.refuse_flags_of_other_kinds()?;
        let sizes = |default: &[usize]| self.net.as_deref().map_or_else(|| Ok(default.to_vec()), layers);
        let activation = self.activation.unwrap_or(Function::Sigmoid).activation();
        let bias = self.biases != Some(WhichBiases::None);
        let squared = Loss { function: LossFunction::SquaredError, half: true, reduction: Reduction::Sum };
        let (kind, loss, title) = match self.kind {
            Exercise::Dense => {
                let layers = sizes(&[2, 2, 1])?;
                let mut activations = vec![activation; layers.len().saturating_sub(2)];
                activations.push(self.output.unwrap_or(Function::Sigmoid).activation());
                (Kind::Dense(Net { layers, activations, biases: self.biases() }), squared, "Backpropagation by hand")
            }
            Exercise::Softmax => {
                let layers = sizes(&[3, 3])?;
                let mut activations = vec![activation; layers.len().saturating_sub(2)];
                activations.push(Activation::Softmax);
                let loss = Loss { function: LossFunction::CrossEntropy, ..squared };
                (Kind::Dense(Net { layers, activations, biases: self.biases() }), loss, "Softmax and cross-entropy")
            }
            Exercise::Convolution => {
                let net = Convolution {
                    image: [4, 4],
                    kernel: [2, 2],
                    activation,
                    pooling: Pooling::Max,
                    window: [2, 2],
                    bias,
                };
                (Kind::Convolution(net), squared, "A convolution with pooling")
            }
            Exercise::BatchNorm => {
                // An ε that can be seen in the digits of an answer.
                (Kind::BatchNorm(BatchNorm { count: 4, epsilon: 0.1 }), squared, "Batch normalization")
            }
            Exercise::Matrices => {
                let matrices =
                    Matrices { batch: 5, layers: sizes(&[3, 4, 2])?, activation, form: Form::Rows, biases: bias };
                (Kind::Matrices(matrices), squared, "Shapes and matrix identities")
            }
        };
        let update = if self.kind == Exercise::Matrices { None } else { self.update() };
        Ok((Problem { kind, loss, update }, titled(title)))
    }

    /// An error for a flag that would have no effect.
    fn refuse_flags_of_other_kinds(&self) -> Result<(), Failure> {
        use Exercise::{BatchNorm, Convolution, Dense, Matrices, Softmax};
        let optimizers = [Dense, Softmax, Convolution, BatchNorm];
        let without_steps = self.optimizer == Some(Steps::None);
        let flags: [(&str, bool, &[Exercise]); 7] = [
            ("--net", self.net.is_some(), &[Dense, Softmax, Matrices]),
            ("--activation", self.activation.is_some(), &[Dense, Softmax, Convolution, Matrices]),
            ("--output", self.output.is_some(), &[Dense]),
            ("--biases", self.biases.is_some(), &[Dense, Softmax, Convolution, Matrices]),
            ("--optimizer", self.optimizer.is_some(), &optimizers),
            ("--lr", self.lr.is_some(), if without_steps { &[] } else { &optimizers }),
            ("--steps", self.steps.is_some(), if without_steps { &[] } else { &optimizers }),
        ];
        match flags.into_iter().find(|(_, given, kinds)| *given && !kinds.contains(&self.kind)) {
            None => Ok(()),
            Some((flag @ ("--lr" | "--steps"), ..)) if without_steps => {
                Err(Failure::Usage(format!("{flag} has no effect with --optimizer none")))
            }
            Some((flag, ..)) => {
                let kind = self.kind.to_possible_value().map_or_else(String::new, |kind| kind.get_name().to_owned());
                Err(Failure::Usage(format!("{flag} has no effect with --kind {kind}")))
            }
        }
    }

    fn biases(&self) -> Biases {
        match self.biases {
            Some(WhichBiases::None) => Biases::None,
            Some(WhichBiases::Layer) => Biases::Layer,
            Some(WhichBiases::Unit) | None => Biases::Unit,
        }
    }

    fn update(&self) -> Option<Update> {
        let (optimizer, convention) = match self.optimizer.unwrap_or(Steps::Sgd) {
            Steps::None => return None,
            Steps::Sgd => (Optimizer::Sgd, Momentum::Pytorch),
            Steps::Momentum => (Optimizer::Momentum, Momentum::Pytorch),
            Steps::ClassicalMomentum => (Optimizer::Momentum, Momentum::Classical),
            Steps::Adam => (Optimizer::Adam, Momentum::Pytorch),
        };
        Some(Update { optimizer, convention, steps: self.steps.unwrap_or(1), ..Update::sgd(self.lr.unwrap_or(0.5)) })
    }

    /// The students' names; empty ones if only their number is given.
    pub fn students(&self) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.names else { return Ok(vec![String::new(); self.students as usize]) };
        let text = fs::read_to_string(path).map_err(|error| Failure::Input(format!("{}: {error}", path.display())))?;
        let names: Vec<String> =
            text.lines().map(|line| line.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Err(Failure::Input(format!("{}: there are no names in this file", path.display())));
        }
        Ok(names)
    }
}

/// Sizes from `2-2-1`.
fn layers(text: &str) -> Result<Vec<usize>, Failure> {
    let sizes = text.split('-').map(|size| size.parse::<usize>().ok());
    let wrong = || Failure::Usage(format!("--net {text}: expected sizes of layers such as 2-2-1"));
    sizes.collect::<Option<Vec<_>>>().filter(|sizes| sizes.len() >= 2).ok_or_else(wrong)
}
