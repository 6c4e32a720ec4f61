//! Local derivatives: one column of the Jacobian of an operation.

use chainrule_autograd::{Operation, VarOf};
use chainrule_tensor::{Float, TensorOf};

/// The numbers ∂yⱼ/∂xᵢ for one element i of a parent and all elements j of the output.
///
/// The rule's backward is linear in dy: dxᵢ = Σⱼ dyⱼ · ∂yⱼ/∂xᵢ, so the derivative of dxᵢ with respect to dy is the column. A
/// rule whose dx is not recorded as a function of dy is read one row at a time, with a one-hot dy.
pub(crate) fn column<T: Float>(op: &Operation<T>, parent: usize, element: usize) -> Vec<T> {
    let needs: Vec<bool> = (0..op.parents()).map(|i| i == parent).collect();
    let shape = op.output().shape();
    let gradient = |dy: &VarOf<T>| {
        op.rule().backward(op, dy, &needs).swap_remove(parent).expect("the walk has checked that there is one")
    };
    let dy = VarOf::parameter("dy", TensorOf::full_on(op.output().device(), shape, T::ONE));
    let dx = gradient(&dy);
    if depends_on(&dx, &dy) {
        let one_hot = TensorOf::from_fn(dx.shape(), |i| if i == element { T::ONE } else { T::ZERO }).to(dx.device());
        return (dx * VarOf::constant(one_hot)).sum().gradient(&dy).value().to_vec();
    }
    let row = |j| {
        let one_hot = TensorOf::from_fn(shape, |i| if i == j { T::ONE } else { T::ZERO }).to(op.output().device());
        chainrule_autograd::no_grad(|| gradient(&VarOf::constant(one_hot)).value().to_vec()[element])
    };
    (0..shape.numel()).map(row).collect()
}

fn depends_on<T: Float>(var: &VarOf<T>, on: &VarOf<T>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    let mut stack = vec![var.clone()];
    while let Some(var) = stack.pop() {
        if var.id() == on.id() {
            return true;
        }
        // What is older than dy was computed without it.
        if let Some(op) = var.operation().filter(|_| var.id() > on.id() && seen.insert(var.id())) {
            stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
        }
    }
    false
}
