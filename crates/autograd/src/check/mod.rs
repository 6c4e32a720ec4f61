//! Checking gradients against finite differences.
//!
//! A derivative is compared with the central difference `(f(x + h) − f(x − h)) / 2h`, whose truncation error is of the
//! order h² · f‴ and whose rounding error is ε·|f|/h; in `f64` with h ≈ 6e-6 both are near 1e-10. For small functions
//! all entries of the Jacobian are checked, for large ones directional derivatives along random directions.
//!
//! A difference proves a rule wrong only if the function has a derivative there that differences can show. So the function
//! is called twice at the point, its values beside the point must be finite, and before an entry is reported, the slopes to
//! its left and right are compared.

mod error;
mod kink;

use chainrule_tensor::{Binary, Key, Purpose, Shape, Tensor64, Unary, ranges};

pub use error::CheckError;
use kink::MOST_KINKS;

use crate::graph::Var64;

/// The options of a gradient check.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The name of the function, for messages. By default that of its result, if it is a single op.
    pub name: Option<String>,
    /// The step h of the central difference, relative to max(1, |x|); above 0.
    pub step: f64,
    /// The maximum error, relative to the largest entry of the input's Jacobian; at least 0.
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

impl CheckOptions {
    #[track_caller]
    fn check(&self) {
        ranges::check("gradcheck", "step", self.step, ranges::POSITIVE);
        ranges::check("gradcheck", "tolerance", self.tolerance, ranges::NOT_NEGATIVE);
    }
}

/// Checks the gradient of a function with respect to all inputs, with the default options.
///
/// ```
/// use chainrule_autograd::gradcheck;
/// gradcheck(|x| x[0].matmul(&x[1]).tanh(), &[[[0.1, 0.2]].into(), [[0.3], [-0.4]].into()]).unwrap();
/// ```
///
/// # Errors
/// [`CheckError`], if the gradient is wrong or zero everywhere, or if differences cannot tell.
pub fn gradcheck(f: impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Result<(), CheckError> {
    gradcheck_with(f, inputs, &CheckOptions::default())
}

/// Checks the gradient of a function with respect to all inputs.
///
/// # Errors
/// [`CheckError`], if the gradient is wrong or zero everywhere, or if differences cannot tell.
///
/// # Panics
/// If the step is not above 0 or the tolerance is negative, or one is infinite or NaN.
#[track_caller]
pub fn gradcheck_with(
    f: impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    options: &CheckOptions,
) -> Result<(), CheckError> {
    options.check();
    let y = f(&variables(inputs));
    let (name, y) = (name(options, &y), &*y.value());
    if let Some((output, value)) = not_finite(y) {
        return Err(CheckError::NotFinite { name, output, value });
    }
    let again = f(&variables(inputs));
    if let Some((output, [first, second])) = different(y, &again.value()) {
        return Err(CheckError::NotRepeatable { name, output, first, second });
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
/// [`CheckError`], if the second gradient is wrong or zero everywhere, or if differences cannot tell.
pub fn gradgradcheck(f: impl Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Result<(), CheckError> {
    gradgradcheck_with(f, inputs, &CheckOptions { tolerance: 1e-5, ..CheckOptions::default() })
}

/// Checks the gradient of the gradient: `∇ₓ ⟨v, f(x)⟩` as a function of x and a random v.
///
/// # Errors
/// [`CheckError`], if the second gradient is wrong or zero everywhere, or if differences cannot tell.
///
/// # Panics
/// If the step is not above 0 or the tolerance is negative, or one is infinite or NaN.
#[track_caller]
pub fn gradgradcheck_with(
    f: impl Fn(&[Var64]) -> Var64,
    inputs: &[Tensor64],
    options: &CheckOptions,
) -> Result<(), CheckError> {
    options.check();
    let y = f(&variables(inputs));
    let v = Tensor64::random_normal(key(options, u32::MAX), y.shape());
    let n = inputs.len();
    let again = f(&variables(inputs));
    if let Some((output, [first, second])) = different(&y.value(), &again.value()) {
        return Err(CheckError::NotRepeatable { name: name(options, &y), output, first, second });
    }
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

    /// `f(x + h·u)`.
    fn moved(&self, u: &Tensor64, h: f64) -> Tensor64 {
        let mut moved = self.inputs.to_vec();
        moved[self.input] = self.x.binary(Binary::Add, &u.unary(Unary::Mul(h)));
        (self.f)(&variables(&moved)).value().clone()
    }

    /// `(f(x + h·u) − f(x − h·u)) / 2h`, elementwise. An error names element `index` of x, or none if u is not one axis.
    fn central(&self, u: &Tensor64, h: f64, index: Option<usize>) -> Result<Tensor64, CheckError> {
        let mut sides = [h, -h].map(|h| (h, self.moved(u, h)));
        for (moved, y) in &sides {
            if let Some((output, value)) = not_finite(y) {
                return Err(CheckError::NotFiniteBeside {
                    name: self.name.into(),
                    input: self.input,
                    index: index.map(|i| unravel(i, &self.x.shape())),
                    moved: *moved,
                    output,
                    value,
                });
            }
        }
        let [(_, right), (_, left)] = &mut sides;
        Ok(right.binary(Binary::Sub, left).unary(Unary::Div(2.0 * h)))
    }

    /// The derivatives with respect to element i of x, by [`central`](Self::central).
    fn column(&self, i: usize) -> Result<Tensor64, CheckError> {
        self.central(&one_hot(self.x.shape(), i), self.step(i), Some(i))
    }

    /// The step h for element i of x.
    fn step(&self, i: usize) -> f64 {
        self.options.step * self.x.to_vec()[i].abs().max(1.0)
    }

    /// Compares all entries of the Jacobian and reports the one with the largest error.
    fn whole_jacobian(&self) -> Result<(), CheckError> {
        let columns: Vec<Vec<f64>> =
            (0..self.x.numel()).map(|i| Ok(self.column(i)?.to_vec())).collect::<Result<_, CheckError>>()?;
        let mut entries = Vec::new();
        for j in 0..self.y.numel() {
            let row = self.analytic(&one_hot(self.y.shape(), j)).to_vec();
            entries.extend(row.into_iter().enumerate().map(|(x, analytic)| {
                let numeric = columns[x][j];
                Entry { output: Some(j), x, analytic, numeric }
            }));
        }
        let zero = |e: &Entry| e.analytic == 0.0 && e.numeric.abs() <= f64::EPSILON.sqrt();
        let of_output = |j: usize| one_hot(self.y.shape(), j);
        if !entries.is_empty() && entries.iter().all(zero) {
            // Of |x| at 0 both are 0.
            let kink = |e: &Entry| self.kink_of(e, &of_output(e.output.unwrap_or_default()));
            return entries.iter().take(MOST_KINKS).find_map(kink).map_or_else(|| self.zero(), Err);
        }
        self.worst(&entries, self.options.tolerance, of_output).map_or(Ok(()), Err)
    }

    /// Compares directional derivatives of random combinations of all outputs. If they disagree, reports the entry with
    /// the largest error, among up to 256 evenly spaced ones.
    fn random_directions(&self) -> Result<(), CheckError> {
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
            let numeric = dot(&self.central(&u, self.options.step, None)?, &c);
            // The component of a random u along the gradient is about 1, so |exact| is about the norm of the gradient.
            if relative(exact, numeric, scale.max(numeric.abs())) > self.options.tolerance {
                let every = self.x.numel().div_ceil(256);
                let gradient = gradient.to_vec();
                let entry =
                    |x: usize| Ok(Entry { output: None, x, analytic: gradient[x], numeric: dot(&self.column(x)?, &c) });
                let entries: Vec<Entry> =
                    (0..self.x.numel()).step_by(every).map(entry).collect::<Result<_, CheckError>>()?;
                if let Some([left, right]) = self.kink(&u, self.options.step, &c, exact) {
                    let clear = self.worst(&entries, self.options.tolerance, |_| c.clone());
                    return Err(clear.unwrap_or_else(|| CheckError::Kink {
                        name: self.name.into(),
                        input: self.input,
                        index: None,
                        output: None,
                        analytic: exact,
                        left,
                        right,
                        step: self.options.step,
                    }));
                }
                return Err(self
                    .worst(&entries, f64::NEG_INFINITY, |_| c.clone())
                    .expect("a checked input has elements"));
            }
        }
        if all_zero && self.options.directions > 0 { self.zero() } else { Ok(()) }
    }

    /// The entry with the largest error, if it is above a limit: of those that are no kink, if there are any. `combination`
    /// gives the factors of the outputs in an entry.
    fn worst(&self, entries: &[Entry], limit: f64, combination: impl Fn(usize) -> Tensor64) -> Option<CheckError> {
        let largest = entries.iter().flat_map(|e| [e.analytic, e.numeric]).fold(0.0f64, |m, v| m.max(v.abs()));
        let error = |e: &Entry| relative(e.analytic, e.numeric, largest);
        let mut wrong: Vec<&Entry> = entries.iter().filter(|e| error(e) > limit).collect();
        wrong.sort_by(|a, b| error(b).total_cmp(&error(a)));
        let kink = |e: &Entry| self.kink_of(e, &combination(e.output.unwrap_or_default()));
        let worst = *wrong.first()?;
        let certain = wrong.iter().copied().take(MOST_KINKS).find(|e| kink(e).is_none());
        let Some(e) = certain else { return kink(worst) };
        Some(CheckError::Mismatch {
            name: self.name.into(),
            input: self.input,
            index: unravel(e.x, &self.x.shape()),
            output: e.output.map(|j| unravel(j, &self.y.shape())),
            analytic: e.analytic,
            numeric: e.numeric,
            error: error(e),
            step: self.step(e.x),
        })
    }

    fn zero(&self) -> Result<(), CheckError> {
        if self.options.allow_zero {
            return Ok(());
        }
        Err(CheckError::Zero { name: self.name.into(), input: self.input })
    }
}

fn dot(a: &Tensor64, b: &Tensor64) -> f64 {
    a.binary(Binary::Mul, b).sum(&[], false).item()
}

/// The first element that is infinite or NaN, and its index.
fn not_finite(y: &Tensor64) -> Option<(Vec<usize>, f64)> {
    let (i, value) = y.to_vec().into_iter().enumerate().find(|(_, v)| !v.is_finite())?;
    Some((unravel(i, &y.shape()), value))
}

/// The first element in which two results of one function differ, and both values.
fn different(a: &Tensor64, b: &Tensor64) -> Option<(Vec<usize>, [f64; 2])> {
    let pairs = a.to_vec().into_iter().zip(b.to_vec());
    let (i, (a_i, b_i)) = pairs.enumerate().find(|(_, (a, b))| a.to_bits() != b.to_bits())?;
    Some((unravel(i, &a.shape()), [a_i, b_i]))
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
