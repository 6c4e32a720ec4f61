//! A variable and a number: `x + s`, `s − x`, `s·x`, `x/s`, `s/x`.

use chainrule_tensor::{Float, Unary};

use super::function::{Forward, Function, function};
use crate::attribute::Attribute;
use crate::graph::{Operation, Tangent, VarOf};

function! {
    pub(crate) fn add_number(s "s") as "add number" = "x + s", Unary::Add(s), tangent (|x, t| t.clone());
    slope() = "1", |dy| dy.clone();
}

function! {
    pub(crate) fn subtract_from_number(s "s") as "subtract from number" = "s − x", Unary::SubFrom(s), tangent (|x, t| -t);
    slope() = "(−1)", |dy| -dy;
}

function! {
    pub(crate) fn multiply_by_number(s "s") as "multiply by number" = "s·x", Unary::Mul(s), tangent (|x, t| s * t);
    slope() = "s", |dy| dy.multiply_by_number(s);
}

function! {
    pub(crate) fn divide_by_number(s "s") as "divide by number" = "x/s", Unary::Div(s), tangent (|x, t| t / s);
    slope() = "1/s", |dy| dy.divide_by_number(s);
}

function! {
    pub(crate) fn divide_number(s "s") as "divide number by" = "s/x", Unary::DivInto(s);
    slope(x) = "(−s/x²)", |dy| -s * (dy / x.square());
}

impl<T: Float> VarOf<T> {
    /// `y = 1/x`; `dx = −dy / x²`.
    #[must_use]
    #[track_caller]
    pub fn reciprocal(&self) -> Self {
        self.divide_number(1.0)
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
