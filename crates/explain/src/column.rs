//! Local derivatives: one column of the Jacobian of an operation, which is its tangent for a one-hot input.

use chainrule_autograd::{Operation, VarOf, no_grad};
use chainrule_tensor::{Float, TensorOf};

/// The numbers ∂yⱼ/∂xᵢ for one element i of an input and all elements j of the output.
pub(crate) fn column<T: Float>(op: &Operation<T>, input: usize, element: usize) -> Vec<T> {
    let one_hot = filled(op.parent(input), |k| f64::from(u8::from(k == element)));
    no_grad(|| along(op, input, one_hot)).value().to_vec()
}

/// For each element j of the output the element of another input that ∂yⱼ/∂xᵢ is: `(input, element)`, such as an element of
/// the weight for a convolution's x. `None` where the local derivative is not one element of one other input.
///
/// In a product, the second derivative with respect to xᵢ and along a direction that numbers the elements of the other input
/// is the number of that element. A second numbering and the value confirm it.
pub(crate) fn sources<T: Float>(
    op: &Operation<T>,
    input: usize,
    element: usize,
    column: &[T],
) -> Vec<Option<(usize, usize)>> {
    let x = op.parent(input);
    let one_hot = filled(x, |k| f64::from(u8::from(k == element)));
    let mut found = vec![None; column.len()];
    for other in (0..op.parents()).filter(|&other| other != input) {
        let values = op.parent(other).value().to_vec();
        // Up to this count, elements can be numbered in f32.
        if values.len() >= 1 << 23 {
            continue;
        }
        let numbered = |number: &dyn Fn(usize) -> usize| {
            let numbers = filled(op.parent(other), |k| number(k) as f64);
            // Recorded, so that it can be differentiated with respect to x.
            let product = along(op, other, numbers);
            no_grad(|| product.tangent(&[(x, &one_hot)])).value.value().to_vec()
        };
        let (up, down) = (numbered(&|k| k + 1), numbered(&|k| values.len() - k));
        for (j, slot) in found.iter_mut().enumerate() {
            let (up, down) = (up[j].to_f64(), down[j].to_f64());
            let is_number = up >= 1.0 && up.fract() == 0.0 && up + down == (values.len() + 1) as f64;
            if is_number && values.get(up as usize - 1) == Some(&column[j]) {
                *slot = slot.or(Some((other, up as usize - 1)));
            }
        }
    }
    found
}

/// The tangent of an operation along a tangent of one input.
fn along<T: Float>(op: &Operation<T>, input: usize, tangent: VarOf<T>) -> VarOf<T> {
    let mut tangents = vec![None; op.parents()];
    tangents[input] = Some(tangent);
    op.tangent(&tangents).value
}

/// A constant like a variable.
fn filled<T: Float>(like: &VarOf<T>, value: impl Fn(usize) -> f64) -> VarOf<T> {
    VarOf::constant(TensorOf::from_fn(like.shape(), |k| T::from_f64(value(k))).to(like.device()))
}
