//! Functions that round, whose slope is 0 wherever they have one, and the remainder of a division.

use chainrule_tensor::{Binary, Float, Unary};

use super::function::{Forward, Function, function};
use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, VarOf};
use crate::tangent::zeros;

function! {
    /// The largest integer ≤ x. f′ is 0 also at the steps, as in `PyTorch`.
    pub fn floor() = "⌊x⌋", Unary::Floor;
    slope() = "0", |dy| zeros(dy);
}

function! {
    /// The smallest integer ≥ x. f′ is 0 also at the steps, as in `PyTorch`.
    pub fn ceil() = "⌈x⌉", Unary::Ceil;
    slope() = "0", |dy| zeros(dy);
}

function! {
    /// The nearest integer; of two the even one, as in `PyTorch` and `NumPy`. f′ is 0 also at the steps.
    pub fn round() = "round(x)", Unary::Round;
    slope() = "0", |dy| zeros(dy);
}

function! {
    /// The integer part. f′ is 0 also at the steps, as in `PyTorch`.
    pub fn trunc() = "trunc(x)", Unary::Trunc;
    slope() = "0", |dy| zeros(dy);
}

function! {
    /// −1, 0 or 1. f′ is 0 also at 0, as in `PyTorch`.
    pub fn sign() = "sign(x)", Unary::Sign;
    slope() = "0", |dy| zeros(dy);
}

impl<T: Float> VarOf<T> {
    /// `y = a − b·⌊a/b⌋`, where a is this variable: the remainder with the sign of b, as `%` in Python and `torch.remainder`;
    /// `da = dy`, `db = −dy · ⌊a/b⌋`. NaN for b = 0.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn remainder(&self, b: &Self) -> Self {
        Self::record(self.value().binary(Binary::Remainder, &b.value()), [self, b], Remainder)
    }
}

struct Remainder;

impl<T: Float> Rule<T> for Remainder {
    describe! {
        name: "remainder",
        formula: "y = a − b·⌊a/b⌋",
        derivative: "da = dy, db = −dy · ⌊a/b⌋",
        saved: "a, b, y",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (a, b, y) = (op.parent(0), op.parent(1), op.output());
        // Of ⌊a/b⌋ itself the quotient may round up: ⌊1/0.1⌋ is 9, and 1/0.1 rounds to 10.
        let quotient = || ((a - y) / b).round();
        vec![needs[0].then(|| dy.sum_to(a.shape())), needs[1].then(|| (-(dy * quotient())).sum_to(b.shape()))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn rounding_by_hand() {
        let x = Var64::parameter("x", [-1.5, -0.5, 0.5, 2.5]);
        for (y, expected) in [
            (x.floor(), [-2.0, -1.0, 0.0, 2.0]),
            (x.ceil(), [-1.0, 0.0, 1.0, 3.0]),
            (x.round(), [-2.0, 0.0, 0.0, 2.0]),
            (x.trunc(), [-1.0, 0.0, 0.0, 2.0]),
            (x.sign(), [-1.0, -1.0, 1.0, 1.0]),
        ] {
            assert_eq!(y.value().to_vec(), expected);
            assert_eq!(y.sum().backward()[&x].to_vec(), [0.0; 4]);
        }
    }

    #[test]
    fn remainder_by_hand() {
        let (a, b) = (Var64::parameter("a", [5.0, -5.0, 6.0, 1.0]), Var64::parameter("b", [3.0, 3.0, -4.0, 0.1]));
        let y = a.remainder(&b);
        assert_eq!(y.value().to_vec(), [2.0, 1.0, -2.0, 1.0 % 0.1]);
        let g = y.sum().backward();
        assert_eq!(g[&a].to_vec(), [1.0; 4]);
        assert_eq!(g[&b].to_vec(), [-1.0, 2.0, 2.0, -9.0]);
    }
}
