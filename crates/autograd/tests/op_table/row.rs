//! The rows of the table, and functions that several checks use.

use chainrule_autograd::{Var, Var64, VarOf};
use chainrule_tensor::{Float, Tensor64, TensorOf};

/// An op with its inputs.
pub struct Row {
    /// The op, with its options.
    pub name: &'static str,
    /// The op on `f64`.
    pub f64: fn(&[Var64]) -> Var64,
    /// The same on `f32`.
    pub f32: fn(&[Var]) -> Var,
    /// The shapes of its inputs.
    pub shapes: Vec<Vec<usize>>,
    /// The range of the input elements: evenly spaced, all distinct, none at a kink.
    pub range: (f64, f64),
    /// The forward pass as plain loops; returns the elements in row-major order.
    pub reference: fn(&[Tensor64]) -> Vec<f64>,
}

/// Evenly spaced elements in a scattered order, all distinct, as maxima and sorting require.
pub fn spread<T: Float>(shape: &[usize], (low, high): (f64, f64), salt: usize) -> TensorOf<T> {
    let n: usize = shape.iter().product();
    // A step that is coprime to n visits each position once.
    let step = (n * 5 / 8 + 1 + salt..2 * n + 2 + salt)
        .find(|&s| (1..=n).filter(|d| n.is_multiple_of(*d) && s.is_multiple_of(*d)).count() <= 1);
    let place = |i: usize| (i * step.unwrap_or(1) + salt) % n.max(1);
    // Rounded to f32, so that both types start from the same numbers.
    let value = |i: usize| f64::from((low + (high - low) * (place(i) as f64 + 0.37) / n as f64) as f32);
    TensorOf::from_fn(shape, |i| T::from_f64(value(i)))
}

impl Row {
    /// The values of the inputs.
    pub fn inputs<T: Float>(&self) -> Vec<TensorOf<T>> {
        self.shapes.iter().enumerate().map(|(k, shape)| spread(shape, self.range, 3 * k)).collect()
    }
}

/// Parameters with these values.
pub fn parameters<T: Float>(inputs: &[TensorOf<T>]) -> Vec<VarOf<T>> {
    inputs.iter().enumerate().map(|(i, x)| VarOf::parameter(format!("input {i}"), x)).collect()
}

/// A nonlinearity after the op, so that rules that ignore dy fail.
pub fn bent<T: Float>(y: &VarOf<T>) -> VarOf<T> {
    (0.3 * y).tanh() + 0.1 * y
}

/// The value of f and all gradients of `Σ bent(f(x)) · c`, where the elements of c differ.
pub fn value_and_gradients<T: Float>(f: fn(&[VarOf<T>]) -> VarOf<T>, inputs: &[TensorOf<T>]) -> Vec<TensorOf<T>> {
    let x = parameters(inputs);
    let y = f(&x);
    let c = VarOf::constant(spread::<T>(&y.shape(), (0.5, 1.5), 7).to(y.device()));
    let gradients = (bent(&y) * c).sum().backward();
    std::iter::once(y.value().clone()).chain(x.iter().map(|x| gradients[x].clone())).collect()
}

/// Checks that two lists of numbers agree, relative to the largest number.
pub fn near(name: &str, what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{name}: {what}: different numbers of elements");
    let scale = b.iter().filter(|v| v.is_finite()).fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (&x, &y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance * scale || x == y, "{name}: {what}: element {i} is {x}, not {y}");
    }
}
