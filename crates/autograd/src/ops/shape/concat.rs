//! Concatenation.

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, VarOf};
use crate::internal::value::Value;

impl<T: Float> VarOf<T> {
    /// Concatenates variables along an axis; the gradient of each is its part of dy.
    ///
    /// # Panics
    /// If there are no variables, or two shapes differ along another axis.
    #[track_caller]
    pub fn concat(parts: &[&Self], axis: isize) -> Self {
        let values: Vec<Value<T>> = parts.iter().map(|part| part.value()).collect();
        let y = TensorOf::concat(&values.iter().map(|value| &**value).collect::<Vec<_>>(), axis);
        Self::record(y, parts.iter().copied(), Concat(axis))
    }
}

struct Concat(isize);

impl<T: Float> Rule<T> for Concat {
    describe! {
        name: "concat",
        formula: "y = concat(x₁, x₂, …)",
        derivative: "dxᵢ = partᵢ(dy)",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axis", self.0)]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let mut start = 0;
        let part = |(i, &need): (usize, &bool)| {
            let shape = op.parent(i).shape();
            let axis = if self.0 < 0 { self.0 + shape.rank() as isize } else { self.0 };
            let range = start..start + shape[axis as usize];
            start = range.end;
            need.then(|| dy.narrow(self.0, range))
        };
        needs.iter().enumerate().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (a, b) = (Var64::parameter("a", [1.0]), Var64::parameter("b", [2.0, 3.0]));
        let y = Var64::concat(&[&a, &b, &a], 0);
        assert_eq!(y.value().to_vec(), [1.0, 2.0, 3.0, 1.0]);
        let g = (y * Var64::constant([1.0, 10.0, 100.0, 1000.0])).sum().backward();
        assert_eq!((g[&a].to_vec(), g[&b].to_vec()), (vec![1001.0], vec![10.0, 100.0]));
    }
}
