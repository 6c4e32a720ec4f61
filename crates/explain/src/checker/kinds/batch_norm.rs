//! Batch normalization of a few numbers, in training mode.

use super::super::chain::{Chain, Role};
use super::super::expression::{Expr, Function, Id};
use super::super::kind::Kind;
use super::{Given, Loss, Numbers, Parameter, Update, indexed, of, product};

/// `y = γ·(x − µ)/√(var + ε) + β` over the numbers of a batch, with the loss on y. Ioffe, Szegedy: Batch normalization
/// (2015).
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// How many numbers there are.
    #[serde(default = "four")]
    pub count: usize,
    /// The ε under the root.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
}

fn four() -> usize {
    4
}

fn epsilon() -> f64 {
    1e-5
}

impl BatchNorm {
    pub(in super::super) fn check(&self) -> Result<(), String> {
        if !(2..=8).contains(&self.count) {
            return Err(format!("count = {}: expected 2 to 8 numbers", self.count));
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(format!("epsilon = {}: expected a number that is not negative", self.epsilon));
        }
        Ok(())
    }

    /// The problem in sentences.
    pub(in super::super) fn description(&self) -> Vec<String> {
        vec![
            format!("Batch normalization of {} numbers, in training mode, with ε = {}.", self.count, self.epsilon),
            format!("mu and var are the mean and the variance of x over n = {}, std = √(var + ε).", self.count),
            "xhatₖ = (xₖ − mu)/std, yₖ = gamma · xhatₖ + beta".into(),
        ]
    }

    pub(in super::super) fn chain(&self, loss: Loss, update: Option<&Update>, numbers: Numbers) -> Chain {
        let mut chain = Chain::new();
        let n = self.count;
        let x: Vec<Id> = (0..n)
            .map(|k| {
                let name = indexed("x", k, n);
                chain.given(&name, Role::Given, numbers(&name, Given::Input))
            })
            .collect();
        // β has the role of a bias, so that leaving it out of a sum is named. It is updated even where biases are not.
        let gamma = chain.given("gamma", Role::Weight, numbers("gamma", Given::Scale));
        let beta = chain.given("beta", Role::Bias, numbers("beta", Given::Bias));
        let mut all = [("gamma", gamma), ("beta", beta)].map(|(name, value)| Parameter {
            name: name.to_owned(),
            value,
            is_bias: false,
        });
        let epsilon = chain.given("eps", Role::Given, self.epsilon);
        let targets = loss.targets(&mut chain, numbers, n);
        if let Some(update) = update {
            update.define_constants(&mut chain);
        }
        for step in 1..=update.map_or(1, |update| update.steps) {
            if step > 1 {
                chain.next_step();
            }
            for (parameter, greek) in all.iter().zip(["γ", "β"]) {
                chain.alias(&parameter.name, parameter.value);
                chain.alias(greek, parameter.value);
            }
            chain.alias("ε", epsilon);
            pass(&mut chain, loss, &x, &all, epsilon, &targets);
            if let Some(update) = update {
                update.step(&mut chain, step, &mut all);
            }
        }
        chain
    }
}

fn pass(chain: &mut Chain, loss: Loss, x: &[Id], all: &[Parameter; 2], epsilon: Id, targets: &[Id]) {
    let n = x.len();
    let count = || Expr::Number(n as f64);
    let [gamma, beta] = all;
    let ask = |chain: &mut Chain, name: &str, meaning: String, role: Role, expr: Expr| {
        let id = chain.define(name, meaning, role, expr);
        chain.asked.push(id);
        id
    };
    let gradient = |chain: &mut Chain, name: &str, expr: Expr| {
        let meaning = format!("derivative of E with respect to {name}");
        ask(chain, &format!("dE_d{name}"), meaning, Role::Gradient, expr)
    };

    let sum = Expr::Sum(x.iter().map(|&x| of(x)).collect());
    let mu = ask(chain, "mu", "mean of the batch".into(), Role::Forward, Expr::quotient(sum, count()));
    let centered = |x: Id| Expr::difference(of(x), of(mu));
    let squares = || Expr::Sum(x.iter().map(|&x| Expr::square(centered(x))).collect());
    let meaning = format!("variance of the batch, over n = {n}");
    let var = ask(chain, "var", meaning, Role::Forward, Expr::quotient(squares(), count()));
    chain.mistaken(Kind::UnbiasedVariance, Expr::quotient(squares(), Expr::Number(n as f64 - 1.0)));
    let root = Expr::call(Function::Sqrt, Expr::Sum(vec![of(var), of(epsilon)]));
    let std = ask(chain, "std", "square root of var + ε".into(), Role::Forward, root);
    let xhat: Vec<Id> = (0..n)
        .map(|k| {
            let meaning = format!("{} normalized", chain.quantities[x[k]].name);
            ask(chain, &indexed("xhat", k, n), meaning, Role::Forward, Expr::quotient(centered(x[k]), of(std)))
        })
        .collect();
    let y: Vec<Id> = (0..n)
        .map(|k| {
            let expr = Expr::Sum(vec![product([of(gamma.value), of(xhat[k])]), of(beta.value)]);
            ask(chain, &indexed("y", k, n), format!("output {}", k + 1), Role::Forward, expr)
        })
        .collect();
    loss.define(chain, targets, &y);

    let dy = loss.derivatives(chain, targets, &y);
    let each = |term: &dyn Fn(usize) -> Expr| Expr::Paths((0..n).map(term).collect());
    gamma.gradient(chain, each(&|k| product([of(dy[k]), of(xhat[k])])));
    beta.gradient(chain, each(&|k| of(dy[k])));
    let dxhat: Vec<Id> =
        (0..n).map(|k| gradient(chain, &indexed("xhat", k, n), product([of(dy[k]), of(gamma.value)]))).collect();
    let cube = || product([of(std), of(std), of(std)]);
    let through_var = |k: usize| product([of(dxhat[k]), centered(x[k]), Expr::quotient(Expr::Number(-0.5), cube())]);
    let dvar = gradient(chain, "var", each(&through_var));
    // var contributes nothing: Σ (x − µ) = 0.
    let dmu = gradient(chain, "mu", each(&|k| Expr::negative(Expr::quotient(of(dxhat[k]), of(std)))));
    for k in 0..n {
        let name = chain.quantities[x[k]].name.clone();
        let through_var = product([of(dvar), Expr::quotient(product([Expr::Number(2.0), centered(x[k])]), count())]);
        let own = Expr::quotient(of(dxhat[k]), of(std));
        gradient(chain, &name, Expr::Paths(vec![own, through_var, Expr::quotient(of(dmu), count())]));
    }
}
