//! Gradients by composition of other ops, for the rules of fused backward ops.

use chainrule_tensor::Float;

use crate::operation::Operation;
use crate::recording::with_recording;
use crate::var::VarOf;

/// The gradients of an operation's parents, computed by differentiating `f`, a composition of other ops with the same
/// value.
///
/// `f` is applied to new variables in place of the parents, so the results are partial derivatives even if one parent
/// depends on another. They are recorded and can be differentiated again.
#[track_caller]
pub(crate) fn composed_gradients<T: Float>(
    op: &Operation<T>,
    dy: &VarOf<T>,
    needs: &[bool],
    f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>,
) -> Vec<Option<VarOf<T>>> {
    with_recording(true, || {
        let stand_ins: Vec<VarOf<T>> = (0..needs.len()).map(|i| 1.0 * op.parent(i)).collect();
        let y = (f(&stand_ins) * dy).sum();
        let wanted: Vec<&VarOf<T>> = stand_ins.iter().zip(needs).filter(|&(_, &need)| need).map(|(x, _)| x).collect();
        let mut found = y.gradients(&wanted).into_iter();
        needs.iter().map(|&need| need.then(|| found.next().expect("one for each wanted"))).collect()
    })
}
