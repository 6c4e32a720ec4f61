//! Local derivatives: one column of the Jacobian of an operation, which is its tangent for a one-hot input.

use chainrule_autograd::{Operation, VarOf, no_grad};
use chainrule_tensor::{Float, TensorOf};

/// The numbers ∂yⱼ/∂xᵢ for one element i of an input and all elements j of the output.
pub(crate) fn column<T: Float>(op: &Operation<T>, input: usize, element: usize) -> Vec<T> {
    no_grad(|| op.tangent(&one_hot(op, input, element))).value.value().to_vec()
}

/// Tangents of the inputs: 1 at one element of one of them.
fn one_hot<T: Float>(op: &Operation<T>, input: usize, element: usize) -> Vec<Option<VarOf<T>>> {
    let x = op.parent(input);
    let one_hot = TensorOf::from_fn(x.shape(), |k| if k == element { T::ONE } else { T::ZERO }).to(x.device());
    let mut tangents = vec![None; op.parents()];
    tangents[input] = Some(VarOf::constant(one_hot));
    tangents
}

/// For each element j of the output the element of another input that ∂yⱼ/∂xᵢ is: `(input, element)`, such as an element of
/// the weight for a convolution's x. `None` where the local derivative is not one element of one other input.
///
/// The column is differentiated with respect to the other input, along a direction that numbers its elements: where the
/// column is one element, the result is that element's number. A second numbering and the value confirm it. A constant is
/// not on the graph; there, an element is found by its value if no other has the same. `mentions` tells whether the rule of
/// the gradient of x mentions an input.
pub(crate) fn sources<T: Float>(
    op: &Operation<T>,
    input: usize,
    element: usize,
    column: &[T],
    mentions: impl Fn(usize) -> bool,
) -> Vec<Option<(usize, usize)>> {
    let mut found = vec![None; column.len()];
    let others: Vec<usize> = (0..op.parents()).filter(|&other| other != input && mentions(other)).collect();
    if others.is_empty() {
        return found;
    }
    let recorded = op.tangent(&one_hot(op, input, element)).value;
    for other in others {
        let of = op.parent(other);
        let values = of.value().to_vec();
        let mut number: Box<dyn Fn(usize) -> Option<usize>> = Box::new(|j| {
            let mut equal = (0..values.len()).filter(|&k| values[k] == column[j]);
            equal.next().filter(|_| equal.next().is_none())
        });
        // Up to this count, elements can be numbered in f32.
        if of.requires_grad() && values.len() < 1 << 23 {
            let numbered = |number: &dyn Fn(usize) -> usize| {
                let numbers = TensorOf::from_fn(of.shape(), |k| T::from_f64(number(k) as f64)).to(of.device());
                no_grad(|| recorded.tangent(&[(of, &VarOf::constant(numbers))])).value.value().to_vec()
            };
            let (up, down) = (numbered(&|k| k + 1), numbered(&|k| values.len() - k));
            let values = &values;
            number = Box::new(move |j| {
                let (up, down) = (up[j].to_f64(), down[j].to_f64());
                let is_number = up >= 1.0 && up.fract() == 0.0 && up + down == (values.len() + 1) as f64;
                is_number.then(|| up as usize - 1).filter(|&k| values.get(k) == Some(&column[j]))
            });
        }
        for (j, slot) in found.iter_mut().enumerate().filter(|(j, _)| column[*j] != T::ZERO) {
            *slot = slot.or_else(|| number(j).map(|k| (other, k)));
        }
    }
    found
}
