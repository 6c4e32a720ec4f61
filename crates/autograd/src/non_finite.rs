//! Where a computation stops being finite: the first operation whose value, or whose gradient, is infinite or NaN.

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use chainrule_tensor::{Float, Scalar, Shape, TensorOf};

use crate::gradients::GradientsOf;
use crate::graph::{Operation, VarOf};
use crate::hooks::map_records;
use crate::observer::Observer;

/// The elements of a tensor in a few numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    /// The shape.
    pub shape: Shape,
    /// The smallest and the largest finite element, if there is one.
    pub range: Option<(f64, f64)>,
    /// The number of infinite elements.
    pub infinite: usize,
    /// The number of elements that are NaN.
    pub nan: usize,
}

impl Extent {
    /// The extent of `x`; synchronizes with a GPU.
    pub fn of<T: Float>(x: &TensorOf<T>) -> Self {
        let mut extent = Self { shape: x.shape(), range: None, infinite: 0, nan: 0 };
        for element in x.to_vec().into_iter().map(Scalar::to_f64) {
            if element.is_finite() {
                let (min, max) = extent.range.unwrap_or((element, element));
                extent.range = Some((min.min(element), max.max(element)));
            } else if element.is_nan() {
                extent.nan += 1;
            } else {
                extent.infinite += 1;
            }
        }
        extent
    }

    /// Whether no element is infinite or NaN.
    pub fn is_finite(&self) -> bool {
        self.infinite + self.nan == 0
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shape)?;
        let mut separator = ": ";
        if let Some((min, max)) = self.range {
            write!(f, ": from {min:.3e} to {max:.3e}")?;
            separator = ", ";
        }
        for (count, what) in
            [(self.infinite, "infinite"), (self.nan, "NaN")].into_iter().filter(|(count, _)| *count > 0)
        {
            write!(f, "{separator}{count} {what}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// The pass in which a value that is not finite appeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Forward: the output of an operation.
    Forward,
    /// Backward: the gradient of an input of an operation.
    Backward,
    /// Backward: the sum of the gradients of a variable that has several uses, each of which is finite.
    Sum,
}

/// The first operation whose result is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// The name of the operation; that of the variable's own operation for a sum of gradients.
    pub op: String,
    /// The path of its layer, if its parameters tell.
    pub layer: Option<String>,
    /// The line that called the op in the forward pass; `None` for the sum of the gradients of a parameter.
    pub place: Option<&'static Location<'static>>,
    /// The pass.
    pub pass: Pass,
    /// The name of the variable whose value or gradient is not finite.
    pub variable: String,
    /// That value or gradient.
    pub result: Extent,
    /// What it was computed from, by name: the inputs and, in the backward pass, `dy`, the gradient of the output; nothing for
    /// a sum.
    pub inputs: Vec<(String, Extent)>,
}

impl NonFinite {
    fn new<T: Float>(op: &Operation<'_, T>, pass: Pass, variable: &VarOf<T>, result: Extent) -> Self {
        let inputs = (0..op.parents()).map(|i| (op.parent(i).name(), Extent::of(&op.parent(i).value()))).collect();
        let (name, layer, place) = (op.rule().name().into(), op.layer(), Some(op.place()));
        Self { op: name, layer, place, pass, variable: variable.name(), result, inputs }
    }

    /// The sum of the gradients of a variable.
    fn sum<T: Float>(variable: &VarOf<T>, result: Extent) -> Self {
        let op = variable.operation();
        Self {
            op: op.as_ref().map_or("parameter", |op| op.rule().name()).into(),
            layer: op.and_then(|op| op.layer()),
            place: op.map(|op| op.place()),
            pass: Pass::Sum,
            variable: variable.name(),
            result,
            inputs: Vec::new(),
        }
    }
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, pass, variable, result, .. } = self;
        let layer = self.layer.as_ref().map_or(String::new(), |layer| format!(" of {layer}"));
        match pass {
            Pass::Forward => write!(f, "{op}{layer}: output {result}")?,
            Pass::Backward => write!(f, "{op}{layer}, backward: gradient of {variable} {result}")?,
            Pass::Sum => write!(f, "sum of the gradients of {variable}{layer} {result}")?,
        }
        if let Some(place) = self.place {
            write!(f, "\n  called in {place}")?;
        }
        self.inputs.iter().try_for_each(|(name, extent)| write!(f, "\n  {name} {extent}"))
    }
}

/// A forward and a backward pass, and where they stopped being finite.
#[derive(Debug)]
pub struct Trace<T: Float> {
    /// The scalar that the forward pass returned.
    pub loss: VarOf<T>,
    /// The gradients of the parameters.
    pub gradients: GradientsOf<T>,
    /// The first operation whose result is not finite; `None` if all are finite.
    pub non_finite: Option<NonFinite>,
}

/// Anomaly mode for a step (`torch.autograd.detect_anomaly`): runs a forward pass and its backward pass and looks at the result
/// of every operation, in the order of their computation. Values that are not finite are found at the operation that made them,
/// before they spread, with the line that called it.
///
/// Only recorded operations are seen: not those on constants alone.
///
/// ```
/// use chainrule_autograd::Var64;
/// use chainrule_autograd::non_finite::{Pass, trace};
/// let x = Var64::parameter("x", [0.0, 4.0]);
/// // The square root is finite at 0, but its slope is not.
/// let found = trace(|| x.sqrt().sum()).non_finite.unwrap();
/// assert_eq!((&*found.op, found.pass), ("sqrt", Pass::Backward));
/// assert_eq!(found.inputs[0].1.range, Some((0.0, 4.0)));
/// ```
///
/// # Panics
/// As [`VarOf::backward`].
#[track_caller]
pub fn trace<T: Float>(forward: impl FnOnce() -> VarOf<T>) -> Trace<T> {
    let found = Rc::new(RefCell::new(None));
    let seen = found.clone();
    let look = move |var: VarOf<T>| {
        let mut seen = seen.borrow_mut();
        if let (None, Some(op)) = (&*seen, var.operation()) {
            let result = Extent::of(&var.value());
            *seen = (!result.is_finite()).then(|| NonFinite::new(&op, Pass::Forward, &var, result));
        }
        drop(seen);
        var
    };
    let loss = map_records(look, forward);
    let mut finder = Finder(found.take());
    let gradients = loss.backward_observed(&[], &mut finder);
    Trace { loss, gradients, non_finite: finder.0 }
}

/// Finds the first gradient that is not finite.
struct Finder(Option<NonFinite>);

impl<T: Float> Observer<T> for Finder {
    fn node_done(&mut self, op: &Operation<T>, dy: &VarOf<T>, gradients: &[Option<VarOf<T>>]) {
        self.arrived(op.output(), dy);
        for (i, gradient) in gradients.iter().enumerate() {
            let (None, Some(gradient)) = (&self.0, gradient) else { continue };
            let result = Extent::of(&gradient.value());
            if !result.is_finite() {
                let mut found = NonFinite::new(op, Pass::Backward, op.parent(i), result);
                found.inputs.push(("dy".into(), Extent::of(&dy.value())));
                self.0 = Some(found);
            }
        }
    }

    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        self.arrived(parameter, gradient);
    }
}

impl Finder {
    /// The gradient of a variable is complete. What its uses contributed was finite, if nothing was found before.
    fn arrived<T: Float>(&mut self, variable: &VarOf<T>, gradient: &VarOf<T>) {
        if self.0.is_none() {
            let result = Extent::of(&gradient.value());
            self.0 = (!result.is_finite()).then(|| NonFinite::sum(variable, result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Var;

    /// What was found, with the place as "this line" if it is that line of this file.
    fn text(trace: &Trace<f32>, line: u32) -> String {
        let found = trace.non_finite.as_ref().unwrap();
        let place = found.place.unwrap();
        assert_eq!((place.file(), place.line()), (file!(), line));
        found.to_string().replace(&place.to_string(), "this line")
    }

    #[test]
    fn the_first_operation_that_is_not_finite_is_named_with_its_inputs() {
        let w = Var::parameter("fc.weight", [[3e38], [-3e38]]);
        let x = Var::constant([[10.0]]);
        // Later operations are not finite either: relu, and a product that is NaN.
        let (trace, line) = (trace(|| (x.linear(&w, None).relu() * 0.0).sum()), line!());
        assert!(trace.loss.item().is_nan());
        assert_eq!(
            text(&trace, line),
            "linear of fc: output (1, 2): 2 infinite\n  \
             called in this line\n  \
             constant (1, 1): from 1.000e1 to 1.000e1\n  \
             fc.weight (2, 1): from -3.000e38 to 3.000e38"
        );
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_found_where_it_appears() {
        let x = Var::parameter("x", [0.0, 1.0]);
        let (trace, line) = (trace(|| (&x * 2.0).sqrt().sum()), line!());
        assert_eq!(
            text(&trace, line),
            "sqrt, backward: gradient of multiply by number (2,): from 3.536e-1 to 3.536e-1, 1 infinite\n  \
             called in this line\n  \
             multiply by number (2,): from 0.000e0 to 2.000e0\n  \
             dy (2,): from 1.000e0 to 1.000e0"
        );
    }

    #[test]
    fn an_input_that_is_not_finite_shows_in_the_first_operation() {
        let x = Var::constant([f32::NAN, 1.0]);
        let w = Var::parameter("w", [1.0, 1.0]);
        let found = trace(|| (&x * &w).sum()).non_finite.unwrap();
        assert_eq!((found.inputs[0].1.nan, found.inputs[1].1.is_finite()), (1, true));
    }

    #[test]
    fn a_sum_of_finite_gradients_that_overflows_is_found() {
        let x = Var::parameter("x", [0.0]);
        let found = trace(|| (&x * 2e38 + &x * 2e38).sum()).non_finite.unwrap();
        assert_eq!(found.to_string(), "sum of the gradients of x (1,): 1 infinite");
        let y = Var::parameter("y", [0.0]);
        let tanh = || {
            let h = y.tanh().named("h");
            (&h * 2e38 + &h * 2e38).sum()
        };
        let found = trace(tanh).non_finite.unwrap().to_string();
        assert!(found.starts_with("sum of the gradients of h (1,): 1 infinite\n  called in "), "{found}");
    }

    #[test]
    fn a_finite_pass_has_its_gradients_and_nothing_else() {
        let x = Var::parameter("x", [1.0, 2.0]);
        let trace = trace(|| x.square().sum());
        assert_eq!((trace.loss.item(), trace.non_finite), (5.0, None));
        assert_eq!(trace.gradients[&x].to_vec(), [2.0, 4.0]);
    }
}
