//! A ledger of derivatives: beside each partial derivative by reverse mode stand the same by forward mode and by finite
//! differences. If they disagree, the ledger finds the operation whose rule is wrong.
//!
//! The three columns are as independent as they can be. The difference and its error estimate come from values of the
//! function alone ([`difference()`]). Reverse mode applies the rules' `backward`. Forward mode is independent of `backward`
//! only if each tangent on the way is; each row says so ([`Row::source`]).

mod compare;
mod difference;
mod element;
mod kink;
mod locate;
mod plant;
mod sample;
mod table;
mod trace;

use chainrule_autograd::{TangentSource, Var64, no_grad};
use chainrule_tensor::{Tensor64, ranges};

pub use compare::Verdict;
pub use difference::{Difference, difference};
pub use kink::Kink;
pub use locate::{Column, Guilty};
pub use plant::plant;

use crate::number::ravel;
use compare::verdict;
use element::Element;

/// The options of a ledger.
#[derive(Clone, Copy, Debug)]
pub struct LedgerOptions {
    /// The number of partial derivatives; all, if there are not more. Each parameter gets the same share, as far as it has
    /// elements.
    pub samples: usize,
    /// The seed of the sample.
    pub seed: u64,
    /// The largest difference of two columns, relative to the larger number; at least 0.
    pub tolerance: f64,
    /// The difference of two columns that is always accepted, since sums in `f64` are not exact; at least 0.
    pub floor: f64,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self { samples: 200, seed: 0, tolerance: 1e-6, floor: 1e-10 }
    }
}

/// One partial derivative, three times.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name of the parameter.
    pub parameter: String,
    /// The index of the element.
    pub index: Vec<usize>,
    /// By reverse mode.
    pub reverse: f64,
    /// By forward mode.
    pub forward: f64,
    /// Where the tangents come from, and so whether forward mode is independent of the rules that reverse mode used.
    pub source: TangentSource,
    /// By finite differences.
    pub difference: Difference,
    /// What the comparison says.
    pub verdict: Verdict,
    /// Where the function has the kink, if [`Verdict::Kink`] and found.
    pub kink: Option<Kink>,
}

/// Partial derivatives of a function by three methods.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The value of the function.
    pub loss: f64,
    /// The number of all partial derivatives.
    pub partials: usize,
    /// The partial derivatives of the sample.
    pub rows: Vec<Row>,
    /// The operation whose rule is wrong, if columns disagree and it was found.
    pub guilty: Option<Guilty>,
    /// The options.
    pub options: LedgerOptions,
}

/// Why there is no ledger of a function.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The value has several elements.
    #[error("ledger: the function has a value of shape {shape}\n  rule: it is a scalar, such as a loss")]
    NotScalar {
        /// Its shape.
        shape: String,
    },
    /// There is nothing to differentiate by.
    #[error("ledger: the function depends on no parameter, or all are frozen")]
    NoParameters,
    /// The value is infinite or NaN.
    #[error("ledger: the value of the function is {value}\n  help: start from other parameters or inputs")]
    NotFinite {
        /// The value.
        value: f64,
    },
    /// Two calls gave different values.
    #[error(
        "ledger: two calls of the function gave {first:e} and {second:e}\n  rule: it depends on the parameters alone; fix the keys of dropout and of augmentation"
    )]
    NotRepeatable {
        /// The value of the first call.
        first: f64,
        /// The value of the second call.
        second: f64,
    },
}

/// Compares derivatives of a scalar function with respect to its parameters.
///
/// The function is called many times, with one element of a parameter changed by a small number. Afterwards all parameters
/// have their values again. They must be on the CPU.
///
/// ```
/// use chainrule_autograd::Var64;
/// use chainrule_explain::ledger::{LedgerOptions, ledger};
/// let w = Var64::parameter("w", [0.5, -1.5]);
/// let ledger = ledger(|| w.tanh().square().sum(), &LedgerOptions::default()).unwrap();
/// assert!(ledger.passed());
/// println!("{ledger}");
/// ```
///
/// # Errors
/// [`LedgerError`], if the value is not a finite scalar that depends on parameters alone.
///
/// # Panics
/// If the tolerance or the floor is negative, infinite or NaN.
#[track_caller]
pub fn ledger(f: impl Fn() -> Var64, options: &LedgerOptions) -> Result<Ledger, LedgerError> {
    ranges::check("ledger", "tolerance", options.tolerance, ranges::NOT_NEGATIVE);
    ranges::check("ledger", "floor", options.floor, ranges::NOT_NEGATIVE);
    let f: &dyn Fn() -> Var64 = &f;
    let loss = f();
    if loss.shape().numel() != 1 {
        return Err(LedgerError::NotScalar { shape: loss.shape().to_string() });
    }
    if !loss.requires_grad() {
        return Err(LedgerError::NoParameters);
    }
    let (value, again) = (loss.item(), no_grad(f).item());
    if !value.is_finite() {
        return Err(LedgerError::NotFinite { value });
    }
    if value.to_bits() != again.to_bits() {
        return Err(LedgerError::NotRepeatable { first: value, second: again });
    }
    let gradients = loss.backward();
    let parameters: Vec<&Var64> = gradients.iter().map(|(parameter, _)| parameter).collect();
    let sizes: Vec<usize> = parameters.iter().map(|parameter| parameter.shape().numel()).collect();
    let elements: Vec<Element> = sample::sample(&sizes, options.samples, options.seed)
        .into_iter()
        .map(|(parameter, place)| Element::new(parameters[parameter], place))
        .collect();
    // Before any parameter is changed: after that the graph cannot be walked.
    let tangent = |element: &Element| {
        let one_hot = Tensor64::from_fn(element.parameter.shape(), |i| if i == element.place { 1.0 } else { 0.0 });
        let tangent = no_grad(|| loss.tangent(&[(element.parameter, &Var64::constant(one_hot))]));
        (tangent.value.item(), tangent.source)
    };
    let analytic: Vec<(f64, f64, TangentSource)> = elements
        .iter()
        .map(|element| {
            let (forward, source) = tangent(element);
            (gradients[element.parameter].at(&element.index()), forward, source)
        })
        .collect();
    drop(loss);
    let rows: Vec<Row> =
        elements.iter().zip(analytic).map(|(element, columns)| row(f, element, columns, options)).collect();
    let wrong = rows.iter().zip(&elements).find(|(row, _)| row.verdict.is_wrong());
    let guilty = wrong.and_then(|(row, element)| locate::locate(f, element, row, options));
    Ok(Ledger { loss: value, partials: sizes.iter().sum(), rows, guilty, options: *options })
}

/// One partial derivative of a function by differences of its values alone: with respect to the element at `index` of the
/// parameter with this name. `None` if the function depends on no such element.
///
/// ```
/// use chainrule_autograd::Var64;
/// use chainrule_explain::ledger::partial;
/// let w = Var64::parameter("w", [0.5, -1.5]);
/// let by_differences = partial(|| w.square().sum(), "w", &[1]).unwrap();
/// assert!((by_differences.value + 3.0).abs() < 1e-9);
/// ```
///
/// # Panics
/// If the value of the function is not a scalar, or it depends on no parameter.
#[track_caller]
pub fn partial(f: impl Fn() -> Var64, parameter: &str, index: &[usize]) -> Option<Difference> {
    let f: &dyn Fn() -> Var64 = &f;
    let gradients = f().backward();
    let (parameter, _) = gradients.iter().find(|(var, _)| var.name() == parameter)?;
    let element = Element::new(parameter, ravel(index, &parameter.shape())?);
    let value = |t: f64| element.moved(t, || no_grad(f).item());
    Some(difference(value, element.scale(), 0.01 * LedgerOptions::default().tolerance))
}

fn row(
    f: &dyn Fn() -> Var64,
    element: &Element,
    (reverse, forward, source): (f64, f64, TangentSource),
    options: &LedgerOptions,
) -> Row {
    let value = |t: f64| element.moved(t, || no_grad(f).item());
    let difference = difference(value, element.scale(), 0.01 * options.tolerance);
    let verdict = verdict(reverse, forward, &difference, options);
    let kink = if verdict == Verdict::Kink { kink::find(f, element, difference.step) } else { None };
    Row {
        parameter: element.parameter.name(),
        index: element.index(),
        reverse,
        forward,
        source,
        difference,
        verdict,
        kink,
    }
}

impl Ledger {
    /// Whether no column is wrong. Partial derivatives that differences cannot tell do not count.
    pub fn passed(&self) -> bool {
        !self.rows.iter().any(|row| row.verdict.is_wrong())
    }

    /// The number of rows with a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}
