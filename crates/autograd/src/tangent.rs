//! The tangent of an operation: its Jacobian times the tangents of its inputs.
//!
//! A rule may give its own tangent ([`Rule::tangent`](crate::Rule::tangent)); otherwise it is derived from the rule's
//! `backward`, which is linear in dy: `⟨backward(dy), dx⟩ = ⟨dy, J·dx⟩`, and the derivative of that number with respect
//! to dy is `J·dx`. [`TangentSource`] tells which.

use chainrule_tensor::{Float, Key, Purpose, Shape, TensorOf};

use crate::graph::{Operation, Tangent, TangentSource, VarOf};
use crate::paths::depends_on;
use crate::recording::{no_grad, with_recording};
use crate::walk::check;

impl<T: Float> Tangent<T> {
    /// A tangent that is computed without the derivative in the rule's `backward`.
    pub fn forward(value: VarOf<T>) -> Self {
        Self { value, source: TangentSource::Forward }
    }

    /// A tangent by the local derivative that the rule's `backward` uses too.
    pub fn slope(value: VarOf<T>) -> Self {
        Self { value, source: TangentSource::Slope }
    }

    /// The product rule for an op whose first two inputs enter a product: the parts `a′·b` and `a·b′`, where they have
    /// tangents a′ and b′.
    pub fn product(
        op: &Operation<T>,
        dx: &[Option<VarOf<T>>],
        product: impl Fn(&VarOf<T>, &VarOf<T>) -> VarOf<T>,
    ) -> [Option<VarOf<T>>; 2] {
        [dx[0].as_ref().map(|da| product(da, op.parent(1))), dx[1].as_ref().map(|db| product(op.parent(0), db))]
    }

    /// The sum of the parts that are given, broadcast to a shape: one part for each input with a tangent, computed without
    /// the derivative in the rule's `backward`.
    ///
    /// # Panics
    /// If no part is given, or one does not broadcast to the shape.
    #[track_caller]
    pub fn sum(shape: Shape, parts: impl IntoIterator<Item = Option<VarOf<T>>>) -> Self {
        let sum = parts.into_iter().flatten().reduce(|sum, part| sum + part).expect("at least one input has a tangent");
        Self::forward(if sum.shape() == shape { sum } else { sum.broadcast_to(shape) })
    }
}

impl<T: Float> Operation<'_, T> {
    /// The tangent of the output: the Jacobian times the tangents `dx` of the inputs, of which `None` is zero. With a
    /// one-hot tangent it is a column of the Jacobian.
    ///
    /// ```
    /// use chainrule_autograd::{TangentSource, Var64};
    /// let x = Var64::parameter("x", [2.0, 3.0]);
    /// let y = (&x * Var64::constant([10.0, 100.0])).named("y");
    /// let tangent = y.operation().unwrap().tangent(&[Some(Var64::constant([0.0, 1.0])), None]);
    /// assert_eq!((tangent.value.value().to_vec(), tangent.source), (vec![0.0, 100.0], TangentSource::Forward));
    /// ```
    ///
    /// # Panics
    /// If `dx` has not one entry for each input, with its shape, or if an input is a parameter that was changed since.
    #[track_caller]
    pub fn tangent(&self, dx: &[Option<VarOf<T>>]) -> Tangent<T> {
        let (name, y) = (self.rule().name(), self.output().shape());
        assert!(dx.len() == self.parents(), "tangent: {} tangents for {} inputs of '{name}'", dx.len(), self.parents());
        for (i, dx) in dx.iter().enumerate() {
            let parent = self.parent(i).shape();
            let Some(shape) = dx.as_ref().map(VarOf::shape) else { continue };
            assert!(shape == parent, "tangent: a tangent of shape {shape} for input {i} of '{name}' of shape {parent}");
        }
        if dx.iter().all(Option::is_none) {
            return Tangent::forward(zeros(self.output()));
        }
        let tangent = self.rule().tangent(self, dx).unwrap_or_else(|| derived(self, dx));
        let shape = tangent.value.shape();
        assert!(
            shape == y,
            "tangent: the rule of '{name}' returned a tangent of shape {shape} for an output of shape {y}"
        );
        tangent
    }
}

/// Zeros like a variable.
pub(crate) fn zeros<T: Float>(like: &VarOf<T>) -> VarOf<T> {
    VarOf::constant(TensorOf::full_on(like.device(), like.shape(), T::ZERO))
}

/// 1 at element `i` in row-major order, elsewhere 0, in the shape of a variable.
pub(crate) fn one_hot<T: Float>(like: &VarOf<T>, i: usize) -> VarOf<T> {
    let one_hot = TensorOf::from_fn(like.shape(), |k| if k == i { T::ONE } else { T::ZERO });
    VarOf::constant(one_hot.to(like.device()))
}

/// The tangent by the rule's `backward`.
fn derived<T: Float>(op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Tangent<T> {
    let y = op.output();
    let pairing = |dy: &VarOf<T>| pairing(op, dy, dx);
    let dy = random(y, 0);
    let (number, terms) = with_recording(true, || pairing(&dy));
    let value = if depends_on(&number, &dy) { number.gradient(&dy) } else { zeros(y) };
    // A part of the gradients that is not recorded on dy is missing from `value`. Then ⟨dy, value⟩ is not the number;
    // two random dy miss it only if that part is zero.
    let other = random(y, 1);
    let again = no_grad(|| pairing(&other));
    let complete = [(&dy, &number, terms), (&other, &again.0, again.1)].into_iter().all(|(dy, number, terms)| {
        let missing = no_grad(|| (number - (dy * &value).sum()).item().abs().to_f64());
        // NaN comes from the values, not from a missing part.
        missing.is_nan() || missing <= T::EPSILON.to_f64().sqrt() * terms
    });
    if complete {
        return Tangent { value, source: TangentSource::Backward };
    }
    let elements: Vec<VarOf<T>> = (0..y.shape().numel()).map(|j| pairing(&one_hot(y, j)).0.reshape(1)).collect();
    let value = VarOf::concat(&elements.iter().collect::<Vec<_>>(), 0).reshape(y.shape());
    Tangent { value, source: TangentSource::OneHot }
}

/// A parameter of the output's shape with random normal elements.
fn random<T: Float>(y: &VarOf<T>, step: u32) -> VarOf<T> {
    let key = Key::new(0, Purpose::CHECK).at_step(step);
    VarOf::parameter("dy", TensorOf::random_normal_on(y.device(), key, y.shape()))
}

/// The number `⟨backward(dy), dx⟩`, and the sum of the absolute values of its terms.
fn pairing<T: Float>(op: &Operation<T>, dy: &VarOf<T>, dx: &[Option<VarOf<T>>]) -> (VarOf<T>, f64) {
    let needs: Vec<bool> = dx.iter().map(Option::is_some).collect();
    let gradients = op.rule().backward(op, dy, &needs);
    check(op, &gradients, &needs);
    let mut number = VarOf::constant(TensorOf::full_on(dy.device(), Shape::scalar(), T::ZERO));
    let mut terms = 0.0;
    for (gradient, dx) in gradients.iter().zip(dx) {
        if let (Some(gradient), Some(dx)) = (gradient, dx) {
            let products = gradient * dx;
            terms += no_grad(|| products.abs().sum().item().to_f64());
            number = number + products.sum();
        }
    }
    (number, terms)
}
