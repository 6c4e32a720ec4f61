//! A variable and a number: `x + s`, `s − x`, `s·x`, `s/x`.

use chainrule_tensor::{Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

/// `x + s`.
pub(crate) fn shift<T: Float>(x: &VarOf<T>, s: f64) -> VarOf<T> {
    VarOf::record(x.value().unary(Unary::Add(s)), [x], Shift)
}

/// `s − x`.
pub(crate) fn subtract_from<T: Float>(s: f64, x: &VarOf<T>) -> VarOf<T> {
    VarOf::record(x.value().unary(Unary::SubFrom(s)), [x], SubtractFrom)
}

/// `s · x`.
pub(crate) fn scale<T: Float>(x: &VarOf<T>, s: f64) -> VarOf<T> {
    VarOf::record(x.value().unary(Unary::Mul(s)), [x], Scale(s))
}

/// `s / x`.
pub(crate) fn divide_into<T: Float>(s: f64, x: &VarOf<T>) -> VarOf<T> {
    VarOf::record(x.value().unary(Unary::DivInto(s)), [x], DivideInto(s))
}

impl<T: Float> VarOf<T> {
    /// `1/x`; `dx = −dy / x²`.
    #[must_use]
    pub fn reciprocal(&self) -> Self {
        divide_into(1.0, self)
    }
}

struct Shift;

impl<T: Float> Rule<T> for Shift {
    fn name(&self) -> &'static str {
        "add number"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy"
    }
    fn saved(&self) -> &'static str {
        "nothing"
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.clone())]
    }
}

struct SubtractFrom;

impl<T: Float> Rule<T> for SubtractFrom {
    fn name(&self) -> &'static str {
        "subtract from number"
    }
    fn derivative(&self) -> &'static str {
        "dx = −dy"
    }
    fn saved(&self) -> &'static str {
        "nothing"
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(-dy)]
    }
}

struct Scale(f64);

impl<T: Float> Rule<T> for Scale {
    fn name(&self) -> &'static str {
        "multiply by number"
    }
    fn derivative(&self) -> &'static str {
        "dx = s · dy"
    }
    fn saved(&self) -> &'static str {
        "s"
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(scale(dy, self.0))]
    }
}

struct DivideInto(f64);

impl<T: Float> Rule<T> for DivideInto {
    fn name(&self) -> &'static str {
        "divide number by"
    }
    fn derivative(&self) -> &'static str {
        "dx = −s · dy / x²"
    }
    fn saved(&self) -> &'static str {
        "x, s"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(scale(&(dy / op.parent(0).square()), -self.0))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", 2.0);
        let y = (3.0 * &x + 1.0) * (1.0 - &x) + 8.0 / &x - &x / 2.0; // (7)(−1) + 4 − 1
        assert_eq!(y.item(), -4.0);
        assert_eq!(y.backward()[&x].item(), -3.0 - 7.0 - 2.0 - 0.5);
    }
}
