//! Derivatives of functions of variables: products with the Jacobian and the Hessian, and both as a whole. Names and
//! arguments are those of `torch.autograd.functional`.
//!
//! The function is called with new variables in place of the inputs, so inputs may be constants, and two may be the same
//! variable. Variables that the function captures are constants in it. It is called with recording on. All results are
//! recorded and can be differentiated again with respect to inputs and captured variables, unless recording is off.

use chainrule_tensor::{Float, Shape};

use crate::forward::tangents;
use crate::graph::VarOf;
use crate::recording::{is_recording, with_recording};
use crate::tangent::{one_hot, zeros};
use crate::walk::ones;

/// The value y of `f` at the inputs, and the product `J·v` of its Jacobian with a vector, of y's shape: the derivative of y
/// along v, which has one variable for each input, with its shape. Forward mode: one pass for any number of inputs.
///
/// ```
/// use chainrule_autograd::{Var64, jvp};
/// let (a, b) = (Var64::constant([1.0, 2.0]), Var64::constant([3.0, 4.0]));
/// let v = [Var64::constant([1.0, 0.0]), Var64::constant([0.0, 1.0])];
/// let (y, dy) = jvp(|x| &x[0] * &x[1], &[a, b], &v);
/// assert_eq!(y.value().to_vec(), [3.0, 8.0]);
/// assert_eq!(dy.value().to_vec(), [3.0, 2.0]);
/// ```
///
/// # Panics
/// If v does not have the shapes of the inputs.
#[track_caller]
pub fn jvp<T: Float>(
    f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>,
    inputs: &[VarOf<T>],
    v: &[VarOf<T>],
) -> (VarOf<T>, VarOf<T>) {
    let (x, y) = evaluate(f, inputs);
    let tangent = tangents(&[&y], &along("jvp", &x, v)).remove(0);
    (as_recorded(y), tangent.value)
}

/// The value y of `f` at the inputs, and the products `vᵀ·J` of a v of y's shape with the Jacobian: the gradient of
/// `⟨v, y⟩`, one variable for each input, with its shape. Reverse mode: one pass for any number of inputs.
///
/// ```
/// use chainrule_autograd::{Var64, vjp};
/// let (a, b) = (Var64::constant([1.0, 2.0]), Var64::constant([3.0, 4.0]));
/// let (y, dx) = vjp(|x| &x[0] * &x[1], &[a, b], &Var64::constant([1.0, 10.0]));
/// assert_eq!(y.value().to_vec(), [3.0, 8.0]);
/// assert_eq!(dx[0].value().to_vec(), [3.0, 40.0]);
/// assert_eq!(dx[1].value().to_vec(), [1.0, 20.0]);
/// ```
///
/// # Panics
/// If v does not have the shape of y.
#[track_caller]
pub fn vjp<T: Float>(
    f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>,
    inputs: &[VarOf<T>],
    v: &VarOf<T>,
) -> (VarOf<T>, Vec<VarOf<T>>) {
    let (x, y) = evaluate(f, inputs);
    assert!(
        v.shape() == y.shape(),
        "vjp: v has shape {}\n  rule: it has the shape of the output, {}",
        v.shape(),
        y.shape()
    );
    let gradients = gradients_or_zeros(&y, v, &x);
    (as_recorded(y), gradients)
}

/// The value of a scalar `f` at the inputs, and the products of its Hessian with v: one variable for each input, with its
/// shape, as v. Forward mode over reverse mode: about four times the cost of `f`, whatever the number of inputs.
///
/// ```
/// use chainrule_autograd::{Var64, hvp};
/// let x = Var64::constant([1.0, 2.0]);
/// let (y, hv) = hvp(|x| x[0].pow(3.0).sum(), &[x], &[Var64::constant([1.0, 1.0])]);
/// assert_eq!(y.item(), 9.0);
/// assert_eq!(hv[0].value().to_vec(), [6.0, 12.0]); // the Hessian is the diagonal matrix of 6x
/// ```
///
/// # Panics
/// If the value is not a scalar, or v does not have the shapes of the inputs.
#[track_caller]
pub fn hvp<T: Float>(
    f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>,
    inputs: &[VarOf<T>],
    v: &[VarOf<T>],
) -> (VarOf<T>, Vec<VarOf<T>>) {
    let (x, y) = evaluate(f, inputs);
    let gradients = gradients_of_scalar("hvp", &y, &x);
    let gradients: Vec<&VarOf<T>> = gradients.iter().collect();
    let products = tangents(&gradients, &along("hvp", &x, v)).into_iter().map(|tangent| tangent.value).collect();
    (as_recorded(y), products)
}

/// The Jacobian of `f` with respect to each input, of shape (shape of the output, shape of the input), from one forward
/// pass for each element of the inputs: for small inputs.
///
/// ```
/// use chainrule_autograd::{Var64, jacobian};
/// let x = Var64::constant([2.0, 3.0]);
/// let j = jacobian(|x| x[0].square(), &[x]).remove(0);
/// assert_eq!(*j.value(), [[4.0, 0.0], [0.0, 6.0]].into());
/// ```
///
/// # Panics
/// If a Jacobian would have too many axes.
#[track_caller]
#[must_use]
pub fn jacobian<T: Float>(f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>, inputs: &[VarOf<T>]) -> Vec<VarOf<T>> {
    let (x, y) = evaluate(f, inputs);
    columns(&[y], &x).remove(0)
}

/// The Hessian of a scalar `f`: entry `[i][j]`, of shape (shape of input i, shape of input j), has the derivatives of the
/// gradient with respect to input i by input j. Forward mode over reverse mode, one forward pass for each element of the
/// inputs: for small inputs.
///
/// ```
/// use chainrule_autograd::{Var64, hessian};
/// let (a, b) = (Var64::constant(2.0), Var64::constant(5.0));
/// let h = hessian(|x| x[0].square() * &x[1], &[a, b]); // a²·b
/// assert_eq!([h[0][0].item(), h[0][1].item(), h[1][0].item(), h[1][1].item()], [10.0, 4.0, 4.0, 0.0]);
/// ```
///
/// # Panics
/// If the value is not a scalar, or an entry would have too many axes.
#[track_caller]
#[must_use]
pub fn hessian<T: Float>(f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>, inputs: &[VarOf<T>]) -> Vec<Vec<VarOf<T>>> {
    let (x, y) = evaluate(f, inputs);
    columns(&gradients_of_scalar("hessian", &y, &x), &x)
}

/// New variables with the values of the inputs, and the function at them. They depend on inputs that require a gradient,
/// so results can be differentiated with respect to the inputs.
#[track_caller]
fn evaluate<T: Float>(f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>, inputs: &[VarOf<T>]) -> (Vec<VarOf<T>>, VarOf<T>) {
    let fresh = |(i, x): (usize, &VarOf<T>)| {
        if is_recording() && x.requires_grad() {
            x.reshape(x.shape())
        } else {
            VarOf::parameter(format!("input {i}"), x.value().clone())
        }
    };
    let x: Vec<VarOf<T>> = inputs.iter().enumerate().map(fresh).collect();
    let y = with_recording(true, || f(&x));
    (x, y)
}

/// The value of the function, as a constant if recording is off.
fn as_recorded<T: Float>(y: VarOf<T>) -> VarOf<T> {
    if is_recording() { y } else { y.detach() }
}

/// Variables and their tangents in pairs.
#[track_caller]
fn along<'a, T: Float>(name: &str, x: &'a [VarOf<T>], v: &'a [VarOf<T>]) -> Vec<(&'a VarOf<T>, &'a VarOf<T>)> {
    assert!(v.len() == x.len(), "{name}: v has {} entries for {} inputs", v.len(), x.len());
    for (i, (x, v)) in x.iter().zip(v).enumerate() {
        let (x, v) = (x.shape(), v.shape());
        assert!(x == v, "{name}: v[{i}] has shape {v}\n  rule: it has the shape of the input, {x}");
    }
    x.iter().zip(v).collect()
}

/// The gradients of the scalar y, recorded even if recording is off.
#[track_caller]
fn gradients_of_scalar<T: Float>(name: &str, y: &VarOf<T>, x: &[VarOf<T>]) -> Vec<VarOf<T>> {
    let shape = y.shape();
    assert!(shape.numel() == 1, "{name}: the function has an output of shape {shape}\n  rule: it is a scalar");
    with_recording(true, || gradients_or_zeros(y, &ones(y), x))
}

/// The gradients of ⟨dy, y⟩, zeros where y does not depend on a variable.
#[track_caller]
fn gradients_or_zeros<T: Float>(y: &VarOf<T>, dy: &VarOf<T>, x: &[VarOf<T>]) -> Vec<VarOf<T>> {
    let found = y.gradients_if_any(dy, &x.iter().collect::<Vec<_>>());
    found.into_iter().zip(x).map(|(gradient, x)| gradient.unwrap_or_else(|| zeros(x))).collect()
}

/// The Jacobian of each of some outputs with respect to each input.
#[track_caller]
fn columns<T: Float>(outputs: &[VarOf<T>], x: &[VarOf<T>]) -> Vec<Vec<VarOf<T>>> {
    let roots: Vec<&VarOf<T>> = outputs.iter().collect();
    // By output, then input: the columns, each of shape (elements of the output, 1).
    let mut all: Vec<Vec<Vec<VarOf<T>>>> = outputs.iter().map(|_| x.iter().map(|_| Vec::new()).collect()).collect();
    for (i, input) in x.iter().enumerate() {
        for k in 0..input.shape().numel() {
            for (o, tangent) in tangents(&roots, &[(input, &one_hot(input, k))]).into_iter().enumerate() {
                let rows = tangent.value.shape().numel();
                all[o][i].push(tangent.value.reshape([rows, 1]));
            }
        }
    }
    let joined = |columns: &Vec<VarOf<T>>, y: &VarOf<T>, x: &VarOf<T>| {
        let shape = Shape::new(&[&y.shape()[..], &x.shape()[..]].concat());
        if columns.is_empty() {
            return VarOf::constant(chainrule_tensor::TensorOf::full_on(y.device(), shape, T::ZERO));
        }
        VarOf::concat(&columns.iter().collect::<Vec<_>>(), 1).reshape(shape)
    };
    let of_output = |(by_input, y): (&Vec<Vec<VarOf<T>>>, &VarOf<T>)| {
        by_input.iter().zip(x).map(|(columns, x)| joined(columns, y, x)).collect()
    };
    all.iter().zip(outputs).map(of_output).collect()
}
