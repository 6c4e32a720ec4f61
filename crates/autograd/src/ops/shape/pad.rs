//! Padding with a constant.

use chainrule_tensor::Float;

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, VarOf};

impl<T: Float> VarOf<T> {
    /// Pads with `value`, `widths[axis]` = (before, after); dx is dy without the padding.
    ///
    /// # Panics
    /// If there is not one pair for each axis.
    #[track_caller]
    #[must_use]
    pub fn pad(&self, widths: &[(usize, usize)], value: f64) -> Self {
        Self::record(self.value().pad(widths, T::from_f64(value)), [self], Pad { widths: widths.to_vec(), value })
    }
}

struct Pad {
    widths: Vec<(usize, usize)>,
    value: f64,
}

impl<T: Float> Rule<T> for Pad {
    describe! {
        name: "pad",
        formula: "y = pad(x, before, after, value)",
        derivative: "dx[…,i,…] = dy[…, i + before, …]",
        saved: "before, after",
    }
    fn attributes(&self) -> Vec<Attribute> {
        let side = |side: fn(&(usize, usize)) -> usize| self.widths.iter().map(side).collect::<Vec<_>>();
        let (before, after) = (side(|&(before, _)| before), side(|&(_, after)| after));
        vec![
            Attribute::new("before", &before[..]),
            Attribute::new("after", &after[..]),
            Attribute::new("value", self.value),
        ]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let shape = op.parent(0).shape();
        let cut = |dx: VarOf<T>, (axis, &(before, _)): (usize, &(usize, usize))| {
            dx.narrow(axis as isize, before..before + shape[axis])
        };
        vec![Some(self.widths.iter().enumerate().fold(dy.clone(), cut))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 2.0]]);
        let y = x.pad(&[(1, 0), (0, 1)], 9.0);
        assert_eq!(y.value().to_vec(), [9.0, 9.0, 9.0, 1.0, 2.0, 9.0]);
        assert_eq!((&y * &y).sum().backward()[&x].to_vec(), [2.0, 4.0]);
    }
}
