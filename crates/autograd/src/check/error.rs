//! Why a gradient check failed.

use thiserror::Error;

/// The reason why a gradient check failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The rule and the finite difference disagree, and the function has no kink there.
    #[error(
        "gradcheck: {name} has a wrong gradient\n  of {} with respect to input {input} at {index:?}\n  analytic  {analytic:.12e}\n  numeric   {numeric:.12e}\n  error     {error:.3e} relative to the largest entry, step {step:.1e}",
        output_text(output.as_deref())
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
    /// The rule and the finite difference disagree, but the slopes to the left and to the right differ, and the derivative by
    /// the rule is one of them or between them.
    #[error(
        "gradcheck: {name} may have a kink at or near the point\n  of {} with respect to {}\n  analytic        {analytic:.12e}\n  slope, left     {left:.12e}\n  slope, right    {right:.12e}\n  help: there is no single derivative at a kink; check at a point that is farther from it than the step {step:.1e}",
        output_text(output.as_deref()),
        input_text(*input, index.as_deref())
    )]
    Kink {
        /// The function.
        name: String,
        /// The index of the input.
        input: usize,
        /// The position in the input, or `None` for a random direction.
        index: Option<Vec<usize>>,
        /// The position in the output, or `None` for a random linear combination of all outputs.
        output: Option<Vec<usize>>,
        /// The derivative by the rule.
        analytic: f64,
        /// The difference quotient to the left.
        left: f64,
        /// The difference quotient to the right.
        right: f64,
        /// The step of the difference quotients.
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
    /// An element of the output is infinite or NaN at the point itself.
    #[error(
        "gradcheck: {name} is not finite at the point\n  output {output:?} is {value}\n  help: check at another point"
    )]
    NotFinite {
        /// The function.
        name: String,
        /// The position in the output.
        output: Vec<usize>,
        /// Its value.
        value: f64,
    },
    /// An element of the output is infinite or NaN one step beside the point, as of a logarithm whose argument becomes negative.
    #[error(
        "gradcheck: {name} is not finite beside the point\n  output {output:?} is {value} where {} is moved by {moved:.1e}\n  help: check at a point that is farther from the end of the domain, or with a smaller step",
        input_text(*input, index.as_deref())
    )]
    NotFiniteBeside {
        /// The function.
        name: String,
        /// The index of the input.
        input: usize,
        /// The position in the input, or `None` for a random direction.
        index: Option<Vec<usize>>,
        /// How far the input was moved.
        moved: f64,
        /// The position in the output.
        output: Vec<usize>,
        /// Its value.
        value: f64,
    },
    /// Two calls with the same inputs gave different outputs.
    #[error(
        "gradcheck: {name} differs between calls\n  output {output:?} is {first:e}, then {second:e}, of the same inputs\n  help: the result must depend on the inputs alone; fix the keys of dropout and of augmentation"
    )]
    NotRepeatable {
        /// The function.
        name: String,
        /// The position in the output.
        output: Vec<usize>,
        /// Its value in the first call.
        first: f64,
        /// Its value in the second call.
        second: f64,
    },
}

fn output_text(index: Option<&[usize]>) -> String {
    index.map_or_else(|| "a random combination of the outputs".into(), |index| format!("output {index:?}"))
}

fn input_text(input: usize, index: Option<&[usize]>) -> String {
    index.map_or_else(|| format!("a random direction in input {input}"), |index| format!("input {input} at {index:?}"))
}
