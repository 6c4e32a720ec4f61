//! Fully connected nets on one sample.

use super::super::chain::{Chain, Role};
use super::super::expression::{Activation, Expr, Function, Id};
use super::loss::LossFunction;
use super::{Given, Loss, Numbers, Parameter, Update, indexed, of, product};

/// A fully connected net.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// The sizes of the layers, the inputs first.
    pub layers: Vec<usize>,
    /// The activation of each layer after the inputs.
    pub activations: Vec<Activation>,
    /// Which biases there are.
    #[serde(default)]
    pub biases: Biases,
}

/// The biases of a net.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Biases {
    /// None.
    None,
    /// One for each layer, shared by its units: b1, b2, …
    Layer,
    /// One for each unit, numbered through all layers.
    #[default]
    Unit,
}

/// The letters of hidden layers.
const HIDDEN: [&str; 3] = ["h", "g", "q"];
/// Sheets with more values than this are no exercise.
const MOST_WEIGHTS: usize = 60;

/// A layer: weights by output and input, and the bias of each output.
struct Layer {
    weights: Vec<Vec<usize>>,
    biases: Vec<Option<usize>>,
}

impl Net {
    pub(in super::super) fn check(&self, loss: Loss) -> Result<(), String> {
        let Self { layers, activations, .. } = self;
        if !(2..=HIDDEN.len() + 2).contains(&layers.len()) {
            return Err(format!("layers = {layers:?}: expected 2 to {} sizes, the inputs first", HIDDEN.len() + 2));
        }
        if layers.contains(&0) {
            return Err(format!("layers = {layers:?}: every layer needs at least one unit"));
        }
        let weights: usize =
            layers.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
        if weights > MOST_WEIGHTS {
            return Err(format!("layers = {layers:?}: {weights} weights; a sheet has at most {MOST_WEIGHTS}"));
        }
        if activations.len() != layers.len() - 1 {
            let (given, needed) = (activations.len(), layers.len() - 1);
            return Err(format!("activations: {given} given, but {needed} layers follow the inputs"));
        }
        let (last, hidden) = activations.split_last().expect("at least one layer follows the inputs");
        if hidden.contains(&Activation::Softmax) {
            return Err("activations: softmax can only be the last one".into());
        }
        match (last, loss.function) {
            (Activation::Softmax, LossFunction::CrossEntropy) if layers.last() > Some(&1) => Ok(()),
            (Activation::Softmax, LossFunction::CrossEntropy) => Err("softmax: expected at least 2 outputs".into()),
            (Activation::Softmax, _) => Err("softmax: the loss must be \"cross-entropy\"".into()),
            (_, LossFunction::CrossEntropy) => Err("cross-entropy: the last activation must be \"softmax\"".into()),
            (Activation::Sigmoid, _) | (_, LossFunction::SquaredError) => Ok(()),
            (_, LossFunction::BinaryCrossEntropy) => {
                Err("binary-cross-entropy: the last activation must be \"sigmoid\"".into())
            }
        }
    }

    /// The letter of a layer's units; layer 0 are the inputs.
    pub(in super::super) fn letter(&self, layer: usize) -> &'static str {
        match layer {
            0 => "i",
            _ if layer < self.layers.len() - 1 => HIDDEN[layer - 1],
            _ if self.activations.last() == Some(&Activation::Softmax) => "p",
            _ => "o",
        }
    }

    pub(in super::super) fn chain(&self, loss: Loss, update: Option<&Update>, numbers: Numbers) -> Chain {
        let mut chain = Chain::new();
        let inputs: Vec<Id> = (0..self.layers[0])
            .map(|j| {
                let name = indexed("i", j, self.layers[0]);
                chain.given(&name, Role::Given, numbers(&name, Given::Input))
            })
            .collect();
        let mut parameters = Vec::new();
        let layers = self.parameters(&mut chain, &mut parameters, numbers);
        let targets = loss.targets(&mut chain, numbers, *self.layers.last().expect("checked: not empty"));
        if let Some(update) = update {
            update.define_constants(&mut chain);
        }
        for step in 1..=update.map_or(1, |update| update.steps) {
            if step > 1 {
                chain.next_step();
                for parameter in &parameters {
                    chain.alias(&parameter.name, parameter.value);
                }
            }
            self.pass(&mut chain, loss, &inputs, &layers, &targets, &parameters);
            if let Some(update) = update {
                update.step(&mut chain, step, &mut parameters);
            }
        }
        chain
    }

    /// The weights w1, w2, … by layer, unit and input, and the biases.
    fn parameters(&self, chain: &mut Chain, all: &mut Vec<Parameter>, numbers: Numbers) -> Vec<Layer> {
        let mut weights = 0;
        let mut layers: Vec<Layer> = Vec::new();
        for pair in self.layers.windows(2) {
            let (inputs, outputs) = (pair[0], pair[1]);
            let first = all.len();
            for _ in 0..inputs * outputs {
                weights += 1;
                all.push(Parameter::given(chain, numbers, &format!("w{weights}"), false));
            }
            let at = |k: usize, j: usize| first + k * inputs + j;
            for k in 0..outputs {
                for j in 0..inputs {
                    // Read with rows and columns exchanged, element (k, j) is where (j, k) would be.
                    chain.transposed.push((all[at(k, j)].value, all[first + j * outputs + k].value));
                }
            }
            let weights = (0..outputs).map(|k| (0..inputs).map(|j| at(k, j)).collect()).collect();
            layers.push(Layer { weights, biases: vec![None; outputs] });
        }
        let mut count = 0;
        for layer in &mut layers {
            for (k, slot) in layer.biases.iter_mut().enumerate() {
                if self.biases == Biases::None {
                    continue;
                }
                if self.biases == Biases::Unit || k == 0 {
                    count += 1;
                    all.push(Parameter::given(chain, numbers, &format!("b{count}"), true));
                }
                *slot = Some(all.len() - 1);
            }
        }
        layers
    }

    /// Defines one forward and one backward pass.
    fn pass(&self, chain: &mut Chain, loss: Loss, inputs: &[Id], layers: &[Layer], targets: &[Id], all: &[Parameter]) {
        let mut outputs = vec![inputs.to_vec()];
        let mut pres = vec![Vec::new()];
        for (l, layer) in layers.iter().enumerate() {
            let (pre, out) = self.forward(chain, l + 1, layer, &outputs[l], all);
            pres.push(pre);
            outputs.push(out);
        }
        let last = layers.len();
        loss.define(chain, targets, &outputs[last]);

        let softmax = self.activations[last - 1] == Activation::Softmax;
        let mut upstream = if softmax { Vec::new() } else { loss.derivatives(chain, targets, &outputs[last]) };
        for l in (1..=last).rev() {
            let deltas: Vec<Id> = (0..self.layers[l])
                .map(|k| match () {
                    () if l == last && softmax => loss.softmax_derivative(chain, k, &pres[l], targets, &outputs[l]),
                    () => self.delta(chain, l, pres[l][k], outputs[l][k], upstream[k]),
                })
                .collect();
            weight_gradients(chain, &layers[l - 1], &deltas, &outputs[l - 1], all);
            if l > 1 {
                upstream = hidden_gradients(chain, &layers[l - 1], &deltas, [&outputs[l - 1], &outputs[l]], all);
            }
        }
    }

    fn forward(&self, chain: &mut Chain, l: usize, layer: &Layer, x: &[Id], all: &[Parameter]) -> (Vec<Id>, Vec<Id>) {
        let (letter, count, activation) = (self.letter(l), self.layers[l], self.activations[l - 1]);
        let sum = |k: usize| {
            let products = layer.weights[k].iter().zip(x).map(|(&w, &x)| product([of(all[w].value), of(x)]));
            let mut terms: Vec<Expr> = products.chain(layer.biases[k].map(|b| of(all[b].value))).collect();
            if terms.len() == 1 { terms.remove(0) } else { Expr::Sum(terms) }
        };
        let define = |chain: &mut Chain, name: &str, meaning: String, expr: Expr, aliases: &[String]| {
            let id = chain.define(name, meaning, Role::Forward, expr);
            for alias in aliases {
                chain.alias(alias, id);
            }
            chain.asked.push(id);
            id
        };
        let mut pres = Vec::new();
        for k in 0..count {
            let unit = indexed(letter, k, count);
            let numbered = format!("{letter}{}", k + 1);
            let aliases = [&unit, &numbered].map(|unit| [format!("net_{unit}"), format!("{unit}_in")]).concat();
            let id = match activation {
                Activation::Linear => define(
                    chain,
                    &unit,
                    format!("output of unit {unit} (linear)"),
                    sum(k),
                    &[aliases, vec![numbered]].concat(),
                ),
                Activation::Softmax => {
                    define(chain, &format!("z{}", k + 1), format!("input {} of the softmax", k + 1), sum(k), &aliases)
                }
                _ => define(
                    chain,
                    &format!("net_{unit}"),
                    format!("input of the activation of {unit}"),
                    sum(k),
                    &aliases,
                ),
            };
            pres.push(id);
        }
        if activation == Activation::Linear {
            return (pres.clone(), pres);
        }
        let exp = |pre: Id| Expr::call(Function::Exp, of(pre));
        let outs = (0..count).map(|k| {
            let unit = indexed(letter, k, count);
            let expr = match activation {
                Activation::Softmax => {
                    Expr::quotient(exp(pres[k]), Expr::Sum(pres.iter().map(|&pre| exp(pre)).collect()))
                }
                _ => Expr::call(Function::Of(activation), of(pres[k])),
            };
            let meaning = format!("output of unit {unit}");
            let out = define(chain, &unit, meaning, expr, &[format!("{letter}{}", k + 1), format!("out_{unit}")]);
            chain.activations.push((pres[k], out));
            out
        });
        let outs = outs.collect();
        (pres, outs)
    }

    /// The derivative with respect to the input of a unit, after that with respect to its output.
    fn delta(&self, chain: &mut Chain, l: usize, pre: Id, out: Id, upstream: Id) -> Id {
        let unit = chain.quantities[out].name.clone();
        let activation = self.activations[l - 1];
        if activation == Activation::Linear {
            for name in [format!("dE_dnet_{unit}"), format!("dE_d{unit}_in"), format!("delta_{unit}")] {
                chain.alias(&name, upstream);
            }
            return upstream;
        }
        let slope = Expr::Slope(activation, Box::new([of(pre), of(out)]));
        let meaning = format!("derivative of {unit} with respect to the input of its activation");
        let slope = chain.define(&format!("d{unit}_dnet_{unit}"), meaning, Role::Gradient, slope);
        chain.alias(&format!("d{unit}_d{unit}_in"), slope);
        chain.asked.push(slope);
        let meaning = format!("derivative of E with respect to the input of the activation of {unit}");
        let delta =
            chain.define(&format!("dE_dnet_{unit}"), meaning, Role::Gradient, product([of(upstream), of(slope)]));
        for name in [format!("dE_d{unit}_in"), format!("delta_{unit}")] {
            chain.alias(&name, delta);
        }
        chain.asked.push(delta);
        delta
    }
}

fn weight_gradients(chain: &mut Chain, layer: &Layer, deltas: &[Id], x: &[Id], all: &[Parameter]) {
    for (weights, &delta) in layer.weights.iter().zip(deltas) {
        for (&w, &x) in weights.iter().zip(x) {
            all[w].gradient(chain, product([of(delta), of(x)]));
        }
    }
    let mut biases: Vec<usize> = layer.biases.iter().copied().flatten().collect();
    biases.dedup();
    for b in biases {
        let of_units = layer.biases.iter().zip(deltas).filter(|(bias, _)| **bias == Some(b));
        all[b].gradient(chain, Expr::paths(of_units.map(|(_, &delta)| of(delta)).collect()));
    }
}

/// The derivatives with respect to the outputs of the layer before `l`: the sum over the units of `l`, each a path.
fn hidden_gradients(
    chain: &mut Chain,
    layer: &Layer,
    deltas: &[Id],
    [below, above]: [&[Id]; 2],
    all: &[Parameter],
) -> Vec<Id> {
    let mut gradients = Vec::new();
    for (j, &x) in below.iter().enumerate() {
        let name = chain.quantities[x].name.clone();
        let product_of = |k: usize| product([of(deltas[k]), of(all[layer.weights[k][j]].value)]);
        let paths = if deltas.len() == 1 {
            vec![product_of(0)]
        } else {
            let via = |k: usize| {
                let unit = chain.quantities[above[k]].name.clone();
                let meaning = format!("the part of dE_d{name} that comes back through {unit}");
                of(chain.define(&format!("dE_d{name}_via_{unit}"), meaning, Role::Gradient, product_of(k)))
            };
            (0..deltas.len()).map(via).collect()
        };
        let meaning = format!("derivative of E with respect to {name}");
        let id = chain.define(&format!("dE_d{name}"), meaning, Role::Gradient, Expr::paths(paths));
        chain.asked.push(id);
        gradients.push(id);
    }
    gradients
}
