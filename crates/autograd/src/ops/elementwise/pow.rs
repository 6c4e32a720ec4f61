//! Powers and roots.

use chainrule_tensor::{Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = xᵖ`; `dx = dy · p·xᵖ⁻¹`, and 0 for p = 0. NaN for x < 0 unless p is an integer.
    #[must_use]
    pub fn pow(&self, p: f64) -> Self {
        Self::record(self.value().unary(Unary::Pow(p)), [self], Pow(p))
    }

    /// `y = x²`; `dx = 2x · dy`.
    #[must_use]
    pub fn square(&self) -> Self {
        Self::record(self.value().unary(Unary::Square), [self], Square)
    }

    /// `y = √x`; `dx = dy / 2y`. Infinite at 0, NaN below.
    #[must_use]
    pub fn sqrt(&self) -> Self {
        Self::record(self.value().unary(Unary::Sqrt), [self], Sqrt)
    }
}

struct Pow(f64);

impl<T: Float> Rule<T> for Pow {
    fn name(&self) -> &'static str {
        "pow"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · p·xᵖ⁻¹"
    }
    fn saved(&self) -> &'static str {
        "x, p"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let slope = match self.0 {
            0.0 => return vec![Some(0.0 * dy)],
            1.0 => return vec![Some(dy.clone())],
            p => p * op.parent(0).pow(p - 1.0),
        };
        vec![Some(dy * slope)]
    }
}

struct Square;

impl<T: Float> Rule<T> for Square {
    fn name(&self) -> &'static str {
        "square"
    }
    fn derivative(&self) -> &'static str {
        "dx = 2x · dy"
    }
    fn saved(&self) -> &'static str {
        "x"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(2.0 * (op.parent(0) * dy))]
    }
}

struct Sqrt;

impl<T: Float> Rule<T> for Sqrt {
    fn name(&self) -> &'static str {
        "sqrt"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy / 2y"
    }
    fn saved(&self) -> &'static str {
        "y"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy / (2.0 * op.output()))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", 4.0);
        assert_eq!(x.pow(3.0).backward()[&x].item(), 48.0);
        assert_eq!(x.pow(-1.0).backward()[&x].item(), -1.0 / 16.0);
        assert_eq!(x.pow(0.0).backward()[&x].item(), 0.0);
        assert_eq!(x.square().backward()[&x].item(), 8.0);
        assert_eq!(x.sqrt().backward()[&x].item(), 0.25);
    }
}
