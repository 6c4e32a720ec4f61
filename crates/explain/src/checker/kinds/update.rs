//! Steps of optimizers: SGD, momentum in two conventions, Adam.

use super::super::chain::{Chain, Role};
use super::super::expression::{Expr, Function, Id};
use super::super::kind::Kind;
use super::{Parameter, of, product};

/// The steps of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Update {
    /// The optimizer.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// The learning rate.
    pub lr: f64,
    /// The number of steps, at least 1.
    #[serde(default = "one")]
    pub steps: usize,
    /// The factor μ of momentum.
    #[serde(default = "nine_tenths")]
    pub momentum: f64,
    /// What the velocity of momentum contains.
    #[serde(default)]
    pub convention: Momentum,
    /// The factor of Adam's mean of gradients.
    #[serde(default = "nine_tenths")]
    pub beta1: f64,
    /// The factor of Adam's mean of squared gradients.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// What Adam adds to the square root.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Whether biases are updated too.
    #[serde(default = "yes")]
    pub biases: bool,
}

fn one() -> usize {
    1
}

fn nine_tenths() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn epsilon() -> f64 {
    1e-8
}

fn yes() -> bool {
    true
}

/// An optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// `w − lr·g`.
    #[default]
    Sgd,
    /// A velocity, in one of two conventions.
    Momentum,
    /// Kingma, Ba: Adam (2015), algorithm 1.
    Adam,
}

/// The convention of momentum. The velocity starts at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Momentum {
    /// `v ← μ·v + g`, `w ← w − lr·v`.
    #[default]
    Pytorch,
    /// `v ← μ·v − lr·g`, `w ← w + v`.
    Classical,
}

impl Update {
    /// One step of SGD, and the usual constants of the other optimizers.
    #[must_use]
    pub fn sgd(lr: f64) -> Self {
        Self {
            optimizer: Optimizer::Sgd,
            lr,
            steps: one(),
            momentum: nine_tenths(),
            convention: Momentum::Pytorch,
            beta1: nine_tenths(),
            beta2: beta2(),
            epsilon: epsilon(),
            biases: yes(),
        }
    }

    /// The steps in words, then the formulas of one.
    pub(in super::super) fn description(&self) -> Vec<String> {
        let (name, formulas): (&str, &[&str]) = match (self.optimizer, self.convention) {
            (Optimizer::Sgd, _) => ("SGD", &["w_new = w − lr · dE_dw"]),
            (Optimizer::Momentum, Momentum::Pytorch) => {
                ("SGD with momentum", &["v = μ · v_old + dE_dw, w_new = w − lr · v"])
            }
            (Optimizer::Momentum, Momentum::Classical) => {
                ("SGD with momentum", &["v = μ · v_old − lr · dE_dw, w_new = w + v"])
            }
            (Optimizer::Adam, _) => (
                "Adam",
                &[
                    "m = β1 · m_old + (1 − β1) · dE_dw, v = β2 · v_old + (1 − β2) · dE_dw²",
                    "mhat = m/(1 − β1^k), vhat = v/(1 − β2^k), w_new = w − lr · mhat/(√vhat + ε)",
                ],
            ),
        };
        let constants: Vec<String> =
            self.constants().iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        let start = match self.optimizer {
            Optimizer::Sgd => "",
            Optimizer::Momentum => "; v is 0 before the first step",
            Optimizer::Adam => "; m and v are 0 before the first step, k is the number of the step",
        };
        let steps = if self.steps == 1 { "one step".to_owned() } else { format!("{} steps", self.steps) };
        let of_what = if self.biases { "all weights and biases" } else { "the weights alone" };
        let mut all = vec![format!("Then {steps} of {name} for {of_what}, with {}{start}:", constants.join(", "))];
        all.extend(formulas.iter().map(|&text| text.to_owned()));
        all
    }

    /// The settings that matter, as lines of TOML.
    pub(in super::super) fn toml(&self) -> String {
        let Self { lr, steps, biases, momentum, beta1, beta2, epsilon, .. } = self;
        let optimizer = match (self.optimizer, self.convention) {
            (Optimizer::Sgd, _) => "optimizer = \"sgd\"".to_owned(),
            (Optimizer::Momentum, Momentum::Pytorch) => {
                format!("optimizer = \"momentum\"\nconvention = \"pytorch\"\nmomentum = {momentum:?}")
            }
            (Optimizer::Momentum, Momentum::Classical) => {
                format!("optimizer = \"momentum\"\nconvention = \"classical\"\nmomentum = {momentum:?}")
            }
            (Optimizer::Adam, _) => {
                format!("optimizer = \"adam\"\nbeta1 = {beta1:?}\nbeta2 = {beta2:?}\nepsilon = {epsilon:?}")
            }
        };
        format!("{optimizer}\nlr = {lr:?}\nsteps = {steps}\nbiases = {biases}\n")
    }

    /// The constants with their names in answers.
    pub(in super::super) fn constants(&self) -> Vec<(&'static str, f64)> {
        let mut all = vec![("lr", self.lr)];
        match self.optimizer {
            Optimizer::Sgd => {}
            Optimizer::Momentum => all.push(("momentum", self.momentum)),
            Optimizer::Adam => all.extend([("beta1", self.beta1), ("beta2", self.beta2), ("epsilon", self.epsilon)]),
        }
        all
    }

    pub(super) fn define_constants(&self, chain: &mut Chain) {
        for (name, value) in self.constants() {
            let id = chain.given(name, if name == "lr" { Role::Rate } else { Role::Given }, value);
            for (ascii, greek) in [("lr", "η"), ("momentum", "μ"), ("beta1", "β1"), ("beta2", "β2"), ("epsilon", "ε")]
            {
                if name == ascii {
                    chain.alias(greek, id);
                }
            }
        }
    }

    /// Defines the new values of all parameters and puts them in place of the old ones.
    pub(super) fn step(&self, chain: &mut Chain, t: usize, parameters: &mut [Parameter]) {
        let before: Vec<Id> = parameters.iter().map(|parameter| parameter.value).collect();
        for parameter in parameters.iter_mut().filter(|parameter| self.biases || !parameter.is_bias) {
            let Some(&gradient) = chain.gradients.get(&parameter.value) else { continue };
            let new = self.updated(chain, t, parameter, gradient);
            chain.updated.push((parameter.value, new));
            chain.asked.push(new);
            parameter.value = new;
        }
        // The matrices of the next step have their elements in the same places.
        let now = |id: Id| before.iter().position(|&old| old == id).map_or(id, |i| parameters[i].value);
        for pairs in [&mut chain.transposed, &mut chain.flipped] {
            let next: Vec<(Id, Id)> =
                (pairs.iter()).filter(|(a, _)| before.contains(a)).map(|&(a, b)| (now(a), now(b))).collect();
            pairs.extend(next);
        }
    }

    fn updated(&self, chain: &mut Chain, t: usize, parameter: &Parameter, gradient: Id) -> Id {
        let (name, w) = (&parameter.name, of(parameter.value));
        let constant = |chain: &Chain, name: &str| of(chain.id(chain.steps(), name).expect("a constant of the update"));
        let old = |chain: &Chain, state: &str| {
            if t == 1 { None } else { chain.id(t - 1, &format!("{state}_{name}")).map(of) }
        };
        let new = |chain: &mut Chain, expr: Expr| {
            chain.define(&format!("{name}_new"), format!("{name} after the update"), Role::Update, expr)
        };
        let g = of(gradient);
        let lr = constant(chain, "lr");
        match self.optimizer {
            Optimizer::Sgd => new(chain, Expr::difference(w, product([lr, g]))),
            Optimizer::Momentum => {
                let kept = old(chain, "v").map(|v| product([constant(chain, "momentum"), v]));
                let pytorch = kept.clone().map_or(g.clone(), |kept| Expr::Sum(vec![kept, g.clone()]));
                let step = product([lr.clone(), g]);
                let classical = kept.map_or(Expr::negative(step.clone()), |kept| Expr::difference(kept, step));
                let is_pytorch = self.convention == Momentum::Pytorch;
                let (expr, other) = if is_pytorch { (pytorch, classical) } else { (classical, pytorch) };
                let v = chain.define(&format!("v_{name}"), format!("velocity of {name}"), Role::Update, expr);
                chain.mistaken(Kind::OtherMomentum, other);
                chain.asked.push(v);
                let expr =
                    if is_pytorch { Expr::difference(w, product([lr, of(v)])) } else { Expr::Sum(vec![w, of(v)]) };
                new(chain, expr)
            }
            Optimizer::Adam => {
                let mean = |chain: &mut Chain, state: &str, beta: &str, of_what: &str, x: Expr| {
                    let beta = constant(chain, beta);
                    let part = product([Expr::difference(Expr::Number(1.0), beta.clone()), x]);
                    let expr = match old(chain, state) {
                        Some(old) => Expr::Sum(vec![product([beta.clone(), old]), part]),
                        None => part,
                    };
                    let meaning = format!("running mean of {of_what} of {name}");
                    let id = chain.define(&format!("{state}_{name}"), meaning, Role::Update, expr);
                    chain.asked.push(id);
                    let power = product(std::array::from_fn::<_, 1, _>(|_| beta.clone()));
                    let power = (1..t).fold(power, |power, _| product([power, beta.clone()]));
                    let corrected = Expr::quotient(of(id), Expr::difference(Expr::Number(1.0), power));
                    let meaning = format!("{state}_{name} with the bias correction");
                    let hat = chain.define(&format!("{state}hat_{name}"), meaning, Role::Update, corrected);
                    chain.mistaken(Kind::NoBiasCorrection, of(id));
                    chain.asked.push(hat);
                    hat
                };
                let m = mean(chain, "m", "beta1", "the gradient", g.clone());
                let v = mean(chain, "v", "beta2", "the squared gradient", Expr::square(g));
                let root = Expr::call(Function::Sqrt, of(v));
                let below = Expr::Sum(vec![root, constant(chain, "epsilon")]);
                new(chain, Expr::difference(w, Expr::quotient(product([lr, of(m)]), below)))
            }
        }
    }
}
