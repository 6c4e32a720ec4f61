//! Checking gradients against finite differences.
//!
//! A derivative is compared with the central difference `(f(x + h) − f(x − h)) / 2h`, whose truncation error is of the
//! order h² · f‴ and whose rounding error is ε·|f|/h; in `f64` with h ≈ 6e-6 both are near 1e-10. For small functions
//! all entries of the Jacobian are checked, for large ones directional derivatives along random directions.

use std::fmt;

use chainrule_tensor::{Binary, Key, Purpose, Tensor64, Unary};

use crate::graph::Var64;

/// The options of a gradient check.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The name of the function, for messages.
    pub name: String,
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
            name: "the function".into(),
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
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CheckError {
    /// The rule and the finite difference disagree.
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
    Zero {
        /// The function.
        name: String,
        /// The index of the input.
        input: usize,
    },
    /// An element of the output is infinite or NaN.
    NotFinite {
        /// The function.
        name: String,
    },
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { name, input, index, output, analytic, numeric, error, step } => {
                let output =
                    output.as_ref().map_or("a random combination of the outputs".into(), |o| format!("output {o:?}"));
                write!(
                    f,
                    "gradcheck: {name} has a wrong gradient\n  of {output} with respect to input {input} at {index:?}\n  analytic  {analytic:.12e}\n  numeric   {numeric:.12e}\n  error     {error:.3e} relative to the largest entry, step {step:.1e}"
                )
            }
            Self::Zero { name, input } => write!(
                f,
                "gradcheck: the gradient of {name} with respect to input {input} is zero everywhere\n  help: check at another point, or set allow_zero if this is intended"
            ),
            Self::NotFinite { name } => {
                write!(
                    f,
                    "gradcheck: {name} is not finite at or near the checked point\n  help: check at another point"
                )
            }
        }
    }
}

impl std::error::Error for CheckError {}

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
    let y = evaluate(&f, inputs);
    if !y.to_vec().iter().all(|v| v.is_finite()) {
        return Err(CheckError::NotFinite { name: options.name.clone() });
    }
    let entries = y.numel() * inputs.iter().map(Tensor64::numel).max().unwrap_or(0);
    for (input, x) in inputs.iter().enumerate() {
        let check = Check { f: &f, inputs, input, x, y: &y, options };
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
    let y = evaluate(&f, inputs);
    let v = Tensor64::random_normal(key(options, u32::MAX), y.shape());
    let n = inputs.len();
    let gradient = |point: &[Var64]| {
        let (x, v) = (&point[..n], &point[n]);
        let parts = (f(x) * v).sum().gradients(&x.iter().collect::<Vec<_>>());
        let flat: Vec<Var64> = parts.iter().map(|g| g.reshape(g.shape().numel())).collect();
        Var64::concat(&flat.iter().collect::<Vec<_>>(), 0)
    };
    let point: Vec<Tensor64> = inputs.iter().cloned().chain([v]).collect();
    let name = format!("the gradient of {}", options.name);
    gradcheck_with(gradient, &point, &CheckOptions { name, ..options.clone() })
}

fn key(options: &CheckOptions, step: u32) -> Key {
    Key::new(options.seed, Purpose::CHECK).at_step(step)
}

/// The value of the function. Inputs are parameters, because the function may take gradients itself.
fn evaluate(f: &impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Tensor64 {
    f(&variables(inputs)).value().clone()
}

fn variables(inputs: &[Tensor64]) -> Vec<Var64> {
    inputs.iter().enumerate().map(|(i, x)| Var64::parameter(format!("input {i}"), x)).collect()
}

/// The check of one input.
struct Check<'a, F> {
    f: &'a F,
    inputs: &'a [Tensor64],
    /// The index of the input.
    input: usize,
    x: &'a Tensor64,
    y: &'a Tensor64,
    options: &'a CheckOptions,
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
            evaluate(self.f, &moved)
        };
        at(h).binary(Binary::Sub, &at(-h)).unary(Unary::Mul(0.5 / h))
    }

    /// The step h for an element of x with this value.
    fn step(&self, value: f64) -> f64 {
        self.options.step * value.abs().max(1.0)
    }

    /// Compares all entries of the Jacobian and reports the one with the largest error.
    fn whole_jacobian(&self) -> Result<(), CheckError> {
        let (x, y) = (self.x, self.y);
        let rows: Vec<Vec<f64>> = (0..y.numel()).map(|j| self.analytic(&one_hot(y.shape(), j)).to_vec()).collect();
        let column = |(i, value)| self.central(&one_hot(x.shape(), i), self.step(value)).to_vec();
        let columns: Vec<Vec<f64>> = x.to_vec().into_iter().enumerate().map(column).collect();
        let largest = rows.iter().flatten().chain(columns.iter().flatten()).fold(0.0f64, |m, v| m.max(v.abs()));
        if rows.iter().flatten().all(|&v| v == 0.0) && largest <= f64::EPSILON.sqrt() && x.numel() * y.numel() > 0 {
            return self.zero();
        }
        let mut worst = None;
        let mut most = self.options.tolerance;
        for (j, row) in rows.iter().enumerate() {
            for (i, (&analytic, column)) in row.iter().zip(&columns).enumerate() {
                let error = relative(analytic, column[j], largest);
                if error > most {
                    most = error;
                    worst = Some((i, j, analytic, column[j]));
                }
            }
        }
        let Some((i, j, analytic, numeric)) = worst else { return Ok(()) };
        Err(self.mismatch(i, Some(unravel(j, &y.shape())), analytic, numeric, most))
    }

    /// Compares directional derivatives of random combinations of all outputs. If they disagree, finds the entry with the
    /// largest error.
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
                return Err(self.worst_entry(&c, &gradient));
            }
        }
        if all_zero && self.options.directions > 0 { self.zero() } else { Ok(()) }
    }

    /// The entry of the gradient of `⟨c, f⟩` with the largest error, among up to 256 evenly spaced ones.
    fn worst_entry(&self, c: &Tensor64, gradient: &Tensor64) -> CheckError {
        let x = self.x;
        let (values, exact) = (x.to_vec(), gradient.to_vec());
        let along = |i: usize| {
            let y = self.central(&one_hot(x.shape(), i), self.step(values[i]));
            (i, y.binary(Binary::Mul, c).sum(&[], false).item())
        };
        let entries: Vec<(usize, f64)> = (0..x.numel()).step_by(x.numel().div_ceil(256)).map(along).collect();
        let largest = exact.iter().copied().chain(entries.iter().map(|e| e.1)).fold(0.0f64, |m, v| m.max(v.abs()));
        let error = |&(i, numeric): &(usize, f64)| relative(exact[i], numeric, largest);
        let worst = entries.iter().max_by(|a, b| error(a).total_cmp(&error(b))).expect("a checked input has elements");
        self.mismatch(worst.0, None, exact[worst.0], worst.1, error(worst))
    }

    fn mismatch(&self, i: usize, output: Option<Vec<usize>>, analytic: f64, numeric: f64, error: f64) -> CheckError {
        CheckError::Mismatch {
            name: self.options.name.clone(),
            input: self.input,
            index: unravel(i, &self.x.shape()),
            output,
            analytic,
            numeric,
            error,
            step: self.step(self.x.to_vec()[i]),
        }
    }

    fn zero(&self) -> Result<(), CheckError> {
        if self.options.allow_zero {
            return Ok(());
        }
        Err(CheckError::Zero { name: self.options.name.clone(), input: self.input })
    }
}

fn one_hot(shape: chainrule_tensor::Shape, i: usize) -> Tensor64 {
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
