//! The natural logarithm.

use chainrule_tensor::{Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = ln x`; `dx = dy / x`. −∞ at 0, NaN below.
    #[must_use]
    pub fn log(&self) -> Self {
        Self::record(self.value().unary(Unary::Log), [self], Log)
    }
}

struct Log;

impl<T: Float> Rule<T> for Log {
    fn name(&self) -> &'static str {
        "log"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy / x"
    }
    fn saved(&self) -> &'static str {
        "x"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy / op.parent(0))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", 4.0);
        assert_eq!(x.log().backward()[&x].item(), 0.25);
    }
}
