//! Checking gradients against finite differences.
//!
//! A derivative that was derived by hand is right if it agrees with `(f(x + h) − f(x − h)) / 2h`, whose error is of the
//! order h² · f‴ plus rounding ε·|f|/h; in `f64` with h ≈ 6e-6 both are near 1e-10. Small functions are checked entry by entry of
//! their Jacobian, large ones along random directions.

use std::fmt;

use chainrule_tensor::{Binary, Key, Purpose, Tensor64, Unary};

use crate::var::Var64;

/// How a gradient is checked.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The function's name, for the report.
    pub name: String,
    /// The step h of the central difference, relative to max(1, |x|).
    pub step: f64,
    /// The largest error allowed, relative to the largest entry of the input's Jacobian.
    pub tolerance: f64,
    /// The largest number of Jacobian entries that are all checked; larger functions are checked along random directions.
    pub full_below: usize,
    /// The number of random directions.
    pub directions: u32,
    /// The seed of the directions.
    pub seed: u64,
    /// Whether the gradient of an input may be zero everywhere. A function that ignores an input is rarely meant, and a
    /// rule that returns zeros would pass otherwise.
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

/// Why a gradient is wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CheckError {
    /// The rule and the finite difference disagree.
    Mismatch {
        /// The function.
        name: String,
        /// Which input.
        input: usize,
        /// Where in the input.
        index: Vec<usize>,
        /// Where in the output, or `None` for a random mixture of all outputs.
        output: Option<Vec<usize>>,
        /// What the rule says.
        analytic: f64,
        /// What the central difference says.
        numeric: f64,
        /// Their distance, relative to the largest entry of the Jacobian.
        error: f64,
        /// The step of the central difference.
        step: f64,
    },
    /// The gradient of an input is zero everywhere.
    Zero {
        /// The function.
        name: String,
        /// Which input.
        input: usize,
    },
    /// The output is not a finite number somewhere.
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
                    output.as_ref().map_or("a random mixture of the outputs".into(), |o| format!("output {o:?}"));
                write!(
                    f,
                    "gradcheck: {name} has a wrong gradient\n  of {output} in input {input} at {index:?}\n  analytic  {analytic:.12e}\n  numeric   {numeric:.12e}\n  error     {error:.3e} relative to the largest entry, step {step:.1e}"
                )
            }
            Self::Zero { name, input } => write!(
                f,
                "gradcheck: the gradient of {name} in input {input} is zero everywhere\n  help: check at another point, or set allow_zero if it is meant"
            ),
            Self::NotFinite { name } => {
                write!(
                    f,
                    "gradcheck: {name} is not finite at the point of the check or beside it\n  help: check elsewhere"
                )
            }
        }
    }
}

impl std::error::Error for CheckError {}

/// Checks the gradient of a function in all its inputs, with the default options.
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

/// Checks the gradient of a function in all its inputs.
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
    for input in 0..inputs.len() {
        if entries <= options.full_below {
            whole_jacobian(&f, inputs, input, &y, options)?;
        } else {
            random_directions(&f, inputs, input, &y, options)?;
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

/// Checks the gradient of the gradient: `∇ₓ ⟨v, f(x)⟩` as a function of x and v, v being random.
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

/// The function's value. Inputs are parameters, because a function may itself take gradients.
fn evaluate(f: &impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Tensor64 {
    f(&variables(inputs)).value().clone()
}

fn variables(inputs: &[Tensor64]) -> Vec<Var64> {
    inputs.iter().enumerate().map(|(i, x)| Var64::parameter(format!("input {i}"), x)).collect()
}

/// The gradient of `⟨c, f⟩` in one input, by the rules. Zeros if f does not depend on it.
fn analytic(f: &impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64], input: usize, c: &Tensor64) -> Tensor64 {
    let x = variables(inputs);
    let y = f(&x);
    let zeros = || Tensor64::zeros(inputs[input].shape());
    if !y.requires_grad() {
        return zeros();
    }
    let gradients = (y * Var64::constant(c)).sum().backward();
    gradients.get(&x[input]).cloned().unwrap_or_else(zeros)
}

/// `(f(x + h·u) − f(x − h·u)) / 2h`, elementwise.
fn central(
    f: &impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    input: usize,
    direction: &Tensor64,
    h: f64,
) -> Tensor64 {
    let at = |h: f64| {
        let mut moved = inputs.to_vec();
        moved[input] = inputs[input].binary(Binary::Add, &direction.unary(Unary::Mul(h)));
        evaluate(f, &moved)
    };
    at(h).binary(Binary::Sub, &at(-h)).unary(Unary::Mul(0.5 / h))
}

fn one_hot(shape: chainrule_tensor::Shape, i: usize) -> Tensor64 {
    Tensor64::from_fn(shape, |k| if k == i { 1.0 } else { 0.0 })
}

fn step(options: &CheckOptions, x: f64) -> f64 {
    options.step * x.abs().max(1.0)
}

/// The multi-index of element `i` of a shape, counted in row-major order.
fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (slot, &len) in index.iter_mut().zip(shape).rev() {
        *slot = i % len;
        i /= len;
    }
    index
}

/// Compares every entry of the Jacobian of one input, and reports the worst.
fn whole_jacobian(
    f: &impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    input: usize,
    y: &Tensor64,
    options: &CheckOptions,
) -> Result<(), CheckError> {
    let x = &inputs[input];
    let rows: Vec<Vec<f64>> =
        (0..y.numel()).map(|j| analytic(f, inputs, input, &one_hot(y.shape(), j)).to_vec()).collect();
    let values = x.to_vec();
    let columns: Vec<Vec<f64>> = (0..x.numel())
        .map(|i| central(f, inputs, input, &one_hot(x.shape(), i), step(options, values[i])).to_vec())
        .collect();
    let largest = rows.iter().flatten().chain(columns.iter().flatten()).fold(0.0f64, |m, v| m.max(v.abs()));
    if rows.iter().flatten().all(|&v| v == 0.0) && largest <= f64::EPSILON.sqrt() && x.numel() * y.numel() > 0 {
        return zero(options, input);
    }
    let mut worst: Option<(f64, usize, usize, f64, f64)> = None;
    for (j, row) in rows.iter().enumerate() {
        for (i, (&analytic, column)) in row.iter().zip(&columns).enumerate() {
            let numeric = column[j];
            let error = relative(analytic, numeric, largest);
            if error > options.tolerance && worst.is_none_or(|(most, ..)| error > most) {
                worst = Some((error, i, j, analytic, numeric));
            }
        }
    }
    let Some((error, i, j, analytic, numeric)) = worst else { return Ok(()) };
    Err(CheckError::Mismatch {
        name: options.name.clone(),
        input,
        index: unravel(i, &x.shape()),
        output: Some(unravel(j, &y.shape())),
        analytic,
        numeric,
        error,
        step: step(options, values[i]),
    })
}

/// Compares directional derivatives of random mixtures of all outputs; where they disagree, looks for the entry.
fn random_directions(
    f: &impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    input: usize,
    y: &Tensor64,
    options: &CheckOptions,
) -> Result<(), CheckError> {
    let x = &inputs[input];
    let dot = |a: &Tensor64, b: &Tensor64| a.binary(Binary::Mul, b).sum(&[], false).item();
    let norm = |a: &Tensor64| dot(a, a).sqrt();
    let mut all_zero = true;
    for direction in 0..options.directions {
        let u = Tensor64::random_normal(key(options, 2 * direction).for_sample(input as u32), x.shape());
        let c = Tensor64::random_normal(key(options, 2 * direction + 1).for_sample(input as u32), y.shape());
        let gradient = analytic(f, inputs, input, &c);
        let scale = norm(&gradient);
        all_zero &= scale == 0.0;
        let exact = dot(&gradient, &u);
        let numeric = dot(&central(f, inputs, input, &u, options.step), &c);
        // A random u has about one part in √n of its length along the gradient: |exact| is about the gradient's norm.
        if relative(exact, numeric, scale.max(numeric.abs())) <= options.tolerance {
            continue;
        }
        return Err(worst_entry(f, inputs, input, &c, &gradient, options));
    }
    if all_zero && options.directions > 0 { zero(options, input) } else { Ok(()) }
}

/// The entry of the gradient of `⟨c, f⟩` that is furthest off, among up to 256 of them evenly spread.
fn worst_entry(
    f: &impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    input: usize,
    c: &Tensor64,
    gradient: &Tensor64,
    options: &CheckOptions,
) -> CheckError {
    let x = &inputs[input];
    let (values, exact) = (x.to_vec(), gradient.to_vec());
    let stride = x.numel().div_ceil(256);
    let entries: Vec<(usize, f64)> = (0..x.numel())
        .step_by(stride)
        .map(|i| {
            let along = central(f, inputs, input, &one_hot(x.shape(), i), step(options, values[i]));
            (i, along.binary(Binary::Mul, c).sum(&[], false).item())
        })
        .collect();
    let largest = exact.iter().copied().chain(entries.iter().map(|e| e.1)).fold(0.0f64, |m, v| m.max(v.abs()));
    let error = |&(i, numeric): &(usize, f64)| relative(exact[i], numeric, largest);
    let worst = entries.iter().max_by(|a, b| error(a).total_cmp(&error(b))).expect("a checked input has elements");
    CheckError::Mismatch {
        name: options.name.clone(),
        input,
        index: unravel(worst.0, &x.shape()),
        output: None,
        analytic: exact[worst.0],
        numeric: worst.1,
        error: error(worst),
        step: step(options, values[worst.0]),
    }
}

fn zero(options: &CheckOptions, input: usize) -> Result<(), CheckError> {
    if options.allow_zero { Ok(()) } else { Err(CheckError::Zero { name: options.name.clone(), input }) }
}

/// The distance of two numbers relative to a scale; a scale below 1e-3 counts as 1e-3, where rounding in f would dominate.
/// Infinite if one is NaN, so that NaN agrees with nothing.
fn relative(a: f64, b: f64, scale: f64) -> f64 {
    let distance = (a - b).abs() / scale.max(1e-3);
    if distance.is_nan() { f64::INFINITY } else { distance }
}
