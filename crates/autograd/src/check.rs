//! Checking gradients against finite differences.
//!
//! A derivative is compared with the central difference `(f(x + h) − f(x − h)) / 2h`, whose truncation error is of the
//! order h² · f‴ and whose rounding error is ε·|f|/h; in `f64` with h ≈ 6e-6 both are near 1e-10. For small functions
//! all entries of the Jacobian are checked, for large ones directional derivatives along random directions.

use chainrule_tensor::{Binary, Key, Purpose, Shape, Tensor64, Unary};
use thiserror::Error;

use crate::graph::Var64;

/// The options of a gradient check.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The name of the function, for messages. By default that of its result, if it is a single op.
    pub name: Option<String>,
    /// The step h of the central difference, relative to max(1, |x|).
    pub step: f64,
    /// The maximum error, relative to the largest entry of the input's Jacobian.
    pub tolerance: f64,
    /// The maximum number of Jacobian entries that are all checked. Larger functions are checked along random directions.
    pub full_below: usize,
    /// The number of random directions.
    pub directions: u32,
    /// The seed of the directions.
    pub seed: u64,
    /// Whether the gradient with respect to an input may be zero everywhere. By default that is an error: usually the
    /// function ignores the input by mistake, or a rule returns zeros.
    pub allow_zero: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            name: None,
            step: f64::EPSILON.cbrt(),
            tolerance: 1e-6,
            full_below: 4096,
            directions: 8,
            seed: 0,
            allow_zero: false,
        }
    }
}

/// The reason why a gradient check failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The rule and the finite difference disagree.
    #[error(
        "gradcheck: {name} has a wrong gradient\n  of {} with respect to input {input} at {index:?}\n  analytic  {analytic:.12e}\n  numeric   {numeric:.12e}\n  error     {error:.3e} relative to the largest entry, step {step:.1e}",
        output.as_ref().map_or("a random combination of the outputs".into(), |index| format!("output {index:?}"))
    )]
    Mismatch {
        /// The function.
        name: String,
        /// The index of the input.
        input: usize,
        /// The position in the input.
        index: Vec<usize>,
        /// The position in the output, or `None` for a random linear combination of all outputs.
        output: Option<Vec<usize>>,
        /// The derivative by the rule.
        analytic: f64,
        /// The central difference.
        numeric: f64,
        /// Their difference, relative to the largest entry of the Jacobian.
        error: f64,
        /// The step of the central difference.
        step: f64,
    },
    /// The gradient with respect to an input is zero everywhere.
    #[error(
        "gradcheck: the gradient of {name} with respect to input {input} is zero everywhere\n  help: check at another point, or set allow_zero if this is intended"
    )]
    Zero {
        /// The function.
        name: String,
        /// The index of the input.
        input: usize,
    },
    /// An element of the output is infinite or NaN.
    #[error("gradcheck: {name} is not finite at or near the checked point\n  help: check at another point")]
    NotFinite {
        /// The function.
        name: String,
    },
}

/// Checks the gradient of a function with respect to all inputs, with the default options.
///
/// ```
/// use chainrule_autograd::gradcheck;
/// gradcheck(|x| x[0].matmul(&x[1]).tanh(), &[[[0.1, 0.2]].into(), [[0.3], [-0.4]].into()]).unwrap();
/// ```
///
/// # Errors
/// [`CheckError`], with the worst entry, if the gradient is wrong, zero everywhere or not finite.
pub fn gradcheck(f: impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Result<(), CheckError> {
    gradcheck_with(f, inputs, &CheckOptions::default())
}

/// Checks the gradient of a function with respect to all inputs.
///
/// # Errors
/// [`CheckError`], with the worst entry, if the gradient is wrong, zero everywhere or not finite.
pub fn gradcheck_with(
    f: impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    options: &CheckOptions,
) -> Result<(), CheckError> {
    let y = f(&variables(inputs));
    let (name, y) = (name(options, &y), &*y.value());
    if !y.to_vec().iter().all(|v| v.is_finite()) {
        return Err(CheckError::NotFinite { name });
    }
    let entries = y.numel() * inputs.iter().map(Tensor64::numel).max().unwrap_or(0);
    for (input, x) in inputs.iter().enumerate() {
        let check = Check { f: &f, name: &name, inputs, input, x, y, options };
        if entries <= options.full_below {
            check.whole_jacobian()?;
        } else {
            check.random_directions()?;
        }
    }
    Ok(())
}

/// Checks the gradient of the gradient, with the default options: `∇ₓ ⟨v, f(x)⟩` as a function of x and v.
///
/// # Errors
/// [`CheckError`], with the worst entry, if the second gradient is wrong, zero everywhere or not finite.
pub fn gradgradcheck(f: impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Result<(), CheckError> {
    gradgradcheck_with(f, inputs, &CheckOptions { tolerance: 1e-5, ..CheckOptions::default() })
}

/// Checks the gradient of the gradient: `∇ₓ ⟨v, f(x)⟩` as a function of x and a random v.
///
/// # Errors
/// [`CheckError`], with the worst entry, if the second gradient is wrong, zero everywhere or not finite.
pub fn gradgradcheck_with(
    f: impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    options: &CheckOptions,
) -> Result<(), CheckError> {
    let y = f(&variables(inputs));
    let v = Tensor64::random_normal(key(options, u32::MAX), y.shape());
    let n = inputs.len();
    let gradient = |point: &[Var64]| {
        let (x, v) = (&point[..n], &point[n]);
        let parts = (f(x) * v).sum().gradients(&x.iter().collect::<Vec<_>>());
        let flat: Vec<Var64> = parts.iter().map(|g| g.reshape(g.shape().numel())).collect();
        Var64::concat(&flat.iter().collect::<Vec<_>>(), 0)
    };
    let point: Vec<Tensor64> = inputs.iter().cloned().chain([v]).collect();
    let name = format!("the gradient of {}", name(options, &y));
    gradcheck_with(gradient, &point, &CheckOptions { name: Some(name), ..options.clone() })
}

fn key(options: &CheckOptions, step: u32) -> Key {
    Key::new(options.seed, Purpose::CHECK).at_step(step)
}

/// The name of the function that computed y from parameters.
fn name(options: &CheckOptions, y: &Var64) -> String {
    let single = y.operation().is_some_and(|op| (0..op.parents()).all(|i| op.parent(i).operation().is_none()));
    let of_y = || if single { y.name() } else { "the function".into() };
    options.name.clone().unwrap_or_else(of_y)
}

/// Inputs are parameters, because the function may take gradients itself.
fn variables(inputs: &[Tensor64]) -> Vec<Var64> {
    inputs.iter().enumerate().map(|(i, x)| Var64::parameter(format!("input {i}"), x)).collect()
}

/// The check of one input.
struct Check<'a, F> {
    f: &'a F,
    name: &'a str,
    inputs: &'a [Tensor64],
    /// The index of the input.
    input: usize,
    x: &'a Tensor64,
    y: &'a Tensor64,
    options: &'a CheckOptions,
}

/// One derivative by both methods: of an element of the output, or of a combination of all, with respect to one of x.
struct Entry {
    output: Option<usize>,
    x: usize,
    analytic: f64,
    numeric: f64,
}

impl<F: Fn(&[Var64]) -> Var64> Check<'_, F> {
    /// The gradient of `⟨c, f⟩` with respect to x by the rules; zeros if f does not depend on x.
    fn analytic(&self, c: &Tensor64) -> Tensor64 {
        let x = variables(self.inputs);
        let y = (self.f)(&x);
        let zeros = || Tensor64::zeros(self.x.shape());
        if !y.requires_grad() {
            return zeros();
        }
        let gradients = (y * Var64::constant(c)).sum().backward();
        gradients.get(&x[self.input]).cloned().unwrap_or_else(zeros)
    }

    /// `(f(x + h·u) − f(x − h·u)) / 2h`, elementwise.
    fn central(&self, u: &Tensor64, h: f64) -> Tensor64 {
        let at = |h: f64| {
            let mut moved = self.inputs.to_vec();
            moved[self.input] = self.x.binary(Binary::Add, &u.unary(Unary::Mul(h)));
            (self.f)(&variables(&moved)).value().clone()
        };
        at(h).binary(Binary::Sub, &at(-h)).unary(Unary::Mul(0.5 / h))
    }

    /// The derivatives with respect to element i of x, by [`central`](Self::central).
    fn column(&self, i: usize) -> Tensor64 {
        self.central(&one_hot(self.x.shape(), i), self.step(i))
    }

    /// The step h for element i of x.
    fn step(&self, i: usize) -> f64 {
        self.options.step * self.x.to_vec()[i].abs().max(1.0)
    }

    /// Compares all entries of the Jacobian and reports the one with the largest error.
    fn whole_jacobian(&self) -> Result<(), CheckError> {
        let columns: Vec<Vec<f64>> = (0..self.x.numel()).map(|i| self.column(i).to_vec()).collect();
        let mut entries = Vec::new();
        for j in 0..self.y.numel() {
            let row = self.analytic(&one_hot(self.y.shape(), j)).to_vec();
            entries.extend(row.into_iter().enumerate().map(|(x, analytic)| {
                let numeric = columns[x][j];
                Entry { output: Some(j), x, analytic, numeric }
            }));
        }
        let zero = |e: &Entry| e.analytic == 0.0 && e.numeric.abs() <= f64::EPSILON.sqrt();
        if !entries.is_empty() && entries.iter().all(zero) {
            return self.zero();
        }
        self.worst(&entries, self.options.tolerance).map_or(Ok(()), Err)
    }

    /// Compares directional derivatives of random combinations of all outputs. If they disagree, reports the entry with
    /// the largest error, among up to 256 evenly spaced ones.
    fn random_directions(&self) -> Result<(), CheckError> {
        let dot = |a: &Tensor64, b: &Tensor64| a.binary(Binary::Mul, b).sum(&[], false).item();
        let normal = |step, like: &Tensor64| {
            Tensor64::random_normal(key(self.options, step).for_sample(self.input as u32), like.shape())
        };
        let mut all_zero = true;
        for direction in 0..self.options.directions {
            let (u, c) = (normal(2 * direction, self.x), normal(2 * direction + 1, self.y));
            let gradient = self.analytic(&c);
            let scale = dot(&gradient, &gradient).sqrt();
            all_zero &= scale == 0.0;
            let exact = dot(&gradient, &u);
            let numeric = dot(&self.central(&u, self.options.step), &c);
            // The component of a random u along the gradient is about 1, so |exact| is about the norm of the gradient.
            if relative(exact, numeric, scale.max(numeric.abs())) > self.options.tolerance {
                let every = self.x.numel().div_ceil(256);
                let entry =
                    |x| Entry { output: None, x, analytic: gradient.to_vec()[x], numeric: dot(&self.column(x), &c) };
                let entries: Vec<Entry> = (0..self.x.numel()).step_by(every).map(entry).collect();
                return Err(self.worst(&entries, f64::NEG_INFINITY).expect("a checked input has elements"));
            }
        }
        if all_zero && self.options.directions > 0 { self.zero() } else { Ok(()) }
    }

    /// The entry with the largest error, if it is above a limit.
    fn worst(&self, entries: &[Entry], limit: f64) -> Option<CheckError> {
        let largest = entries.iter().flat_map(|e| [e.analytic, e.numeric]).fold(0.0f64, |m, v| m.max(v.abs()));
        let error = |e: &Entry| relative(e.analytic, e.numeric, largest);
        let worst = entries.iter().reduce(|a, b| if error(b) > error(a) { b } else { a })?;
        (error(worst) > limit).then(|| CheckError::Mismatch {
            name: self.name.into(),
            input: self.input,
            index: unravel(worst.x, &self.x.shape()),
            output: worst.output.map(|j| unravel(j, &self.y.shape())),
            analytic: worst.analytic,
            numeric: worst.numeric,
            error: error(worst),
            step: self.step(worst.x),
        })
    }

    fn zero(&self) -> Result<(), CheckError> {
        if self.options.allow_zero {
            return Ok(());
        }
        Err(CheckError::Zero { name: self.name.into(), input: self.input })
    }
}

fn one_hot(shape: Shape, i: usize) -> Tensor64 {
    Tensor64::from_fn(shape, |k| if k == i { 1.0 } else { 0.0 })
}

/// The multi-index of element `i` in row-major order.
fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (slot, &len) in index.iter_mut().zip(shape).rev() {
        *slot = i % len;
        i /= len;
    }
    index
}

/// The difference of two numbers relative to a scale. The scale is at least 1e-3, because rounding in f dominates below.
/// Infinite if one number is NaN, so that NaN never passes.
fn relative(a: f64, b: f64, scale: f64) -> f64 {
    let distance = (a - b).abs() / scale.max(1e-3);
    if distance.is_nan() { f64::INFINITY } else { distance }
}
