//! Sheets on shapes and matrix identities: "dW = ?" for linear layers on a batch.

mod matrix;
mod verdict;

use chainrule_autograd::formula::Expression;
use chainrule_tensor::Rng;
use matrix::{Matrix, Named, evaluate, parse, size};

use super::expression::Activation;
use super::sheet::Name;
use super::verdict::{Line, Report, Verdict};
use super::worksheet::Question;

/// Linear layers on a batch. The gradient of the loss with respect to the output, dY, is given.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Matrices {
    /// The number of samples.
    pub batch: usize,
    /// The sizes of the layers, the inputs first.
    pub layers: Vec<usize>,
    /// The activation between two layers.
    #[serde(default = "sigmoid")]
    pub activation: Activation,
    /// How samples and weights are laid out.
    #[serde(default)]
    pub form: Form,
    /// Whether there are biases.
    #[serde(default = "yes")]
    pub biases: bool,
}

fn sigmoid() -> Activation {
    Activation::Sigmoid
}

fn yes() -> bool {
    true
}

/// The layout of a linear layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Form {
    /// A sample is a row, `Y = X·W + b`, W is (inputs, outputs).
    #[default]
    #[serde(rename = "XW")]
    Rows,
    /// PyTorch's: a sample is a row, `Y = X·Wᵀ + b`, W is (outputs, inputs).
    #[serde(rename = "XW^T")]
    RowsTransposed,
    /// A sample is a column, `Y = W·X + b`, W is (outputs, inputs).
    #[serde(rename = "WX")]
    Columns,
}

/// A quantity of the sheet.
struct Quantity {
    name: String,
    /// Its formula; `None` if it is given.
    formula: Option<String>,
    shape: [usize; 2],
    meaning: String,
}

/// An answer: a formula or a shape.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    pub text: String,
    answer: Answer,
}

impl Entry {
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.answer, Answer::Blank)
    }
}

#[derive(Clone, Debug)]
enum Answer {
    Blank,
    Shape([usize; 2]),
    Formula(Expression),
}

const SHAPE: &str = "shape_";

impl Matrices {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(2..=4).contains(&self.layers.len()) || self.layers.contains(&0) || self.batch == 0 {
            return Err("matrices: expected a batch and 2 to 4 sizes of layers, all at least 1".into());
        }
        let mut sizes = self.layers.clone();
        sizes.push(self.batch);
        sizes.sort_unstable();
        if sizes.windows(2).any(|pair| pair[0] == pair[1]) || sizes[0] < 2 || sizes.last() > Some(&64) {
            let (batch, layers) = (self.batch, &self.layers);
            return Err(format!(
                "matrices: batch = {batch}, layers = {layers:?}: the sizes must be different and from 2 to 64, since \
                 equal ones hide a wrong transpose"
            ));
        }
        if matches!(self.activation, Activation::Softmax | Activation::LeakyRelu) {
            return Err("matrices: expected the activation \"linear\", \"sigmoid\", \"tanh\" or \"relu\"".into());
        }
        Ok(())
    }

    /// All quantities in the order of a derivation.
    fn quantities(&self) -> Vec<Quantity> {
        let rows = self.form != Form::Columns;
        let last = self.layers.len() - 1;
        let numbered = |letter: &str, l: usize| if last == 1 { letter.to_owned() } else { format!("{letter}{l}") };
        let values = |features: usize| if rows { [self.batch, features] } else { [features, self.batch] };
        let mut all = vec![Quantity {
            name: "X".into(),
            formula: None,
            shape: values(self.layers[0]),
            meaning: "given: the inputs of the batch".into(),
        }];
        let mut push = |name: String, formula: Option<String>, shape: [usize; 2], meaning: String| {
            all.push(Quantity { name, formula, shape, meaning });
        };
        for l in 1..=last {
            let [inputs, outputs] = [self.layers[l - 1], self.layers[l]];
            let weight = if self.form == Form::Rows { [inputs, outputs] } else { [outputs, inputs] };
            push(numbered("W", l), None, weight, format!("given: the weights of layer {l}"));
            if self.biases {
                let bias = if rows { [1, outputs] } else { [outputs, 1] };
                push(numbered("b", l), None, bias, format!("given: the biases of layer {l}"));
            }
        }
        let activation = self.activation;
        let below = |l: usize| match l {
            1 => "X".to_owned(),
            _ if activation == Activation::Linear => format!("Z{}", l - 1),
            _ => format!("A{}", l - 1),
        };
        let output = |l: usize| if l == last { "Y".to_owned() } else { format!("Z{l}") };
        for l in 1..=last {
            let (x, w) = (below(l), numbered("W", l));
            let product = match self.form {
                Form::Rows => format!("{x}·{w}"),
                Form::RowsTransposed => format!("{x}·{w}ᵀ"),
                Form::Columns => format!("{w}·{x}"),
            };
            let formula = if self.biases { format!("{product} + {}", numbered("b", l)) } else { product };
            push(output(l), Some(formula), values(self.layers[l]), format!("output of the linear layer {l}"));
            if l < last && activation != Activation::Linear {
                let shape = values(self.layers[l]);
                push(
                    format!("A{l}"),
                    Some(format!("{}(Z{l})", activation.symbol())),
                    shape,
                    format!("activation of Z{l}"),
                );
                let slope = match activation {
                    Activation::Sigmoid => format!("A{l} * (1 − A{l})"),
                    Activation::Tanh => format!("1 − A{l} * A{l}"),
                    _ => format!("relu(Z{l})/Z{l}"),
                };
                push(
                    format!("S{l}"),
                    Some(slope),
                    shape,
                    format!("derivative of the activation at Z{l}, element by element"),
                );
            }
        }
        push("dY".into(), None, values(self.layers[last]), "given: derivative of the loss with respect to Y".into());
        for l in (1..=last).rev() {
            let (x, w, dy) = (below(l), numbered("W", l), format!("d{}", output(l)));
            let (dw, dx) = match self.form {
                Form::Rows => (format!("{x}ᵀ·{dy}"), format!("{dy}·{w}ᵀ")),
                Form::RowsTransposed => (format!("{dy}ᵀ·{x}"), format!("{dy}·{w}")),
                Form::Columns => (format!("{dy}·{x}ᵀ"), format!("{w}ᵀ·{dy}")),
            };
            let [inputs, outputs] = [self.layers[l - 1], self.layers[l]];
            let weight = if self.form == Form::Rows { [inputs, outputs] } else { [outputs, inputs] };
            let derivative = |name: &str| format!("derivative of the loss with respect to {name}");
            push(format!("d{w}"), Some(dw), weight, derivative(&w));
            if self.biases {
                let b = numbered("b", l);
                let (formula, bias) = if rows {
                    (format!("sum({dy}, 0)"), [1, outputs])
                } else {
                    (format!("sum({dy}, 1)"), [outputs, 1])
                };
                push(format!("d{b}"), Some(formula), bias, derivative(&b));
            }
            push(format!("d{x}"), Some(dx), values(inputs), derivative(&x));
            if l > 1 && activation != Activation::Linear {
                let z = format!("Z{}", l - 1);
                push(format!("d{z}"), Some(format!("d{x} * S{}", l - 1)), values(inputs), derivative(&z));
            }
        }
        all
    }

    /// What a worksheet asks for: the shape of each derivative and its formula.
    pub(super) fn questions(&self) -> Vec<Question> {
        let asked = self.quantities().into_iter().filter(|quantity| quantity.name.starts_with('d'));
        let both = |quantity: Quantity| {
            let formula = quantity.formula?;
            let question = |name: String, meaning: String, answer: String| Question {
                step: None,
                name,
                meaning,
                formula: formula.clone(),
                answer,
            };
            let shape = format!("rows and columns of {}", quantity.name);
            Some([
                question(format!("{SHAPE}{}", quantity.name), shape, size(quantity.shape)),
                question(quantity.name, format!("{}, as a formula", quantity.meaning), formula.clone()),
            ])
        };
        asked.filter_map(both).flatten().collect()
    }

    /// The problem in sentences.
    pub(super) fn description(&self) -> Vec<String> {
        let all = self.quantities();
        let given: Vec<String> = all
            .iter()
            .filter(|quantity| quantity.formula.is_none())
            .map(|quantity| format!("{} ({})", quantity.name, size(quantity.shape)))
            .collect();
        let layout = if self.form == Form::Columns { "column" } else { "row" };
        let forward = all.iter().take_while(|quantity| quantity.name != "dY");
        let mut lines = vec![
            format!("A batch of {} samples, each a {layout}.", self.batch),
            format!("Given are {}; dY is the derivative of the loss with respect to Y.", given.join(", ")),
        ];
        lines
            .extend(forward.filter_map(|quantity| Some(format!("{} = {}", quantity.name, quantity.formula.as_ref()?))));
        lines.push("* between matrices of the same shape means element by element; a transpose is written X^T.".into());
        lines
    }

    pub(super) fn names(&self) -> Vec<Name> {
        let name = |quantity: Quantity| Name {
            meaning: match quantity.formula {
                None => format!("{}, {}", quantity.meaning, size(quantity.shape)),
                Some(_) => quantity.meaning,
            },
            aliases: vec![format!("{SHAPE}{}", quantity.name)],
            name: quantity.name,
        };
        self.quantities().into_iter().map(name).collect()
    }

    /// Reads an answer.
    pub(super) fn entry(&self, name: &str, text: &str) -> Result<Entry, String> {
        let all = self.quantities();
        let quantity = name.strip_prefix(SHAPE).unwrap_or(name);
        let Some(found) = all.iter().find(|known| known.name == quantity) else {
            return Err(format!("answers: this sheet has no {quantity} (--explain-names lists all names)"));
        };
        let entry = |answer: Answer| Ok(Entry { name: name.to_owned(), text: text.to_owned(), answer });
        if text.trim().is_empty() || text.trim() == "?" {
            return entry(Answer::Blank);
        }
        if quantity != name {
            let sizes: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
            let sizes: Vec<usize> = sizes.into_iter().filter_map(|part| part.parse().ok()).collect();
            return match sizes[..] {
                [rows, columns] => entry(Answer::Shape([rows, columns])),
                // A vector.
                [n] if found.shape[0] == 1 => entry(Answer::Shape([1, n])),
                [n] if found.shape[1] == 1 => entry(Answer::Shape([n, 1])),
                _ => Err(format!("answers: {name} = {text}: expected rows and columns, such as \"4x3\"")),
            };
        }
        if found.formula.is_none() {
            return Err(format!("answers: {name} is given"));
        }
        let formula = parse(name, text)?;
        let at = |name: &str| all.iter().position(|known| known.name == name);
        let mut symbols = Vec::new();
        collect(&formula, &mut symbols);
        for symbol in symbols {
            match at(&symbol) {
                None => return Err(format!("answers: {name} = {text}: this sheet has no {symbol}")),
                Some(used) if Some(used) >= at(name) => {
                    return Err(format!("answers: {name} = {text}: {symbol} does not come before {name}"));
                }
                Some(_) => {}
            }
        }
        entry(Answer::Formula(formula))
    }

    pub(super) fn grade(&self, entries: &[Entry]) -> Report {
        let all = self.quantities();
        let mut rng = Rng::seed(2);
        let mut exact = Named::new();
        for quantity in &all {
            let value = match &quantity.formula {
                None => Matrix::new(quantity.shape, |_| 2.0 * rng.uniform() - 1.0),
                Some(formula) => {
                    let formula = parse(&quantity.name, formula).expect("the sheet's own formula");
                    evaluate(&formula, &exact).expect("the sheet's own shapes")
                }
            };
            debug_assert_eq!(value.shape, quantity.shape);
            exact.insert(quantity.name.clone(), value);
        }
        let mut own = exact.clone();
        let lines = entries.iter().map(|entry| {
            let quantity = entry.name.strip_prefix(SHAPE).unwrap_or(&entry.name);
            let quantity = all.iter().find(|known| known.name == quantity).expect("checked when it was read");
            let (verdict, exact) = match &entry.answer {
                Answer::Blank => (Verdict::Blank, quantity.formula.clone().unwrap_or_else(|| size(quantity.shape))),
                Answer::Shape(shape) => (verdict::of_shape(*shape, quantity.shape), size(quantity.shape)),
                Answer::Formula(formula) => {
                    let expected = quantity.formula.clone().unwrap_or_default();
                    let verdict = verdict::of_formula(formula, &quantity.name, &expected, &exact, &mut own, self.batch);
                    (verdict, expected)
                }
            };
            Line { name: entry.name.clone(), given: entry.text.clone(), exact, verdict }
        });
        Report { lines: lines.collect() }
    }
}

fn collect(x: &Expression, symbols: &mut Vec<String>) {
    if let Expression::Symbol(symbol) = x {
        symbols.push(symbol.name());
    }
    match x {
        Expression::Over { body, .. } => collect(body, symbols),
        _ => x.for_each_part(&mut |part| collect(part, symbols)),
    }
}
