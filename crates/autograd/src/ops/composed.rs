//! The rule of a gradient that a fused kernel computed.

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::forward::tangents;
use crate::graph::{Operation, Rule, Tangent, TangentSource, VarOf};
use crate::ops::Text;
use crate::recording::with_recording;

/// Records `value`, a function of `parents` that a fused kernel computed. Its own gradients are those of `f`, a composition
/// of other ops with the same value.
pub(super) fn record_composed<T: Float, const N: usize>(
    value: TensorOf<T>,
    parents: [&VarOf<T>; N],
    text: &'static Text,
    attributes: impl Fn() -> Vec<Attribute> + Send + Sync + 'static,
    f: impl Fn([&VarOf<T>; N]) -> VarOf<T> + Send + Sync + 'static,
) -> VarOf<T> {
    VarOf::record(value, parents, Composed { text, attributes, f })
}

struct Composed<A, F, const N: usize> {
    text: &'static Text,
    attributes: A,
    f: F,
}

impl<T, A, F, const N: usize> Rule<T> for Composed<A, F, N>
where
    T: Float,
    A: Fn() -> Vec<Attribute> + Send + Sync + 'static,
    F: Fn([&VarOf<T>; N]) -> VarOf<T> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.text.name
    }
    fn formula(&self) -> &'static str {
        self.text.formula
    }
    fn derivative(&self) -> &'static str {
        self.text.derivative
    }
    fn attributes(&self) -> Vec<Attribute> {
        (self.attributes)()
    }
    fn saved(&self) -> &'static str {
        self.text.saved
    }
    /// `f` is applied to new variables in place of the parents, so the results are partial derivatives even if one parent
    /// depends on another. They are recorded and can be differentiated again.
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        with_recording(true, || {
            let stand_ins: [VarOf<T>; N] = std::array::from_fn(|i| 1.0 * op.parent(i));
            let y = ((self.f)(stand_ins.each_ref()) * dz).sum();
            let wanted: Vec<&VarOf<T>> =
                stand_ins.iter().zip(needs).filter(|&(_, &need)| need).map(|(x, _)| x).collect();
            let mut found = y.gradients(&wanted).into_iter();
            needs.iter().map(|&need| need.then(|| found.next().expect("one for each wanted"))).collect()
        })
    }
    /// The tangent of `f`, as `backward` is its gradient: an error in `f` is in both.
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let (stand_ins, y) = with_recording(true, || {
            // A constant with a name can have a tangent, but what is computed from it is not recorded.
            let stand_in = |x: &VarOf<T>| if x.requires_grad() { 1.0 * x } else { VarOf::parameter("x", &*x.value()) };
            let stand_ins: [VarOf<T>; N] = std::array::from_fn(|i| stand_in(op.parent(i)));
            let y = (self.f)(stand_ins.each_ref());
            (stand_ins, y)
        });
        let seeds: Vec<(&VarOf<T>, &VarOf<T>)> =
            stand_ins.iter().zip(dx).filter_map(|(x, dx)| Some((x, dx.as_ref()?))).collect();
        let Tangent { value, source } = tangents(&[&y], &seeds).remove(0);
        Some(Tangent { value, source: source.max(TangentSource::Backward) })
    }
}
