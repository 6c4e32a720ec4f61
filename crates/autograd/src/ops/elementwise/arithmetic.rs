//! Sum, difference, product and quotient of two variables, elementwise with broadcasting.

use chainrule_tensor::{Binary, Float};

use crate::graph::{Operation, Rule, Tangent, VarOf};

/// `a + b`.
#[track_caller]
pub(crate) fn add<T: Float>(a: &VarOf<T>, b: &VarOf<T>) -> VarOf<T> {
    VarOf::record(a.value().binary(Binary::Add, &b.value()), [a, b], Add)
}

/// `a − b`.
#[track_caller]
pub(crate) fn sub<T: Float>(a: &VarOf<T>, b: &VarOf<T>) -> VarOf<T> {
    VarOf::record(a.value().binary(Binary::Sub, &b.value()), [a, b], Sub)
}

/// `a · b`.
#[track_caller]
pub(crate) fn mul<T: Float>(a: &VarOf<T>, b: &VarOf<T>) -> VarOf<T> {
    VarOf::record(a.value().binary(Binary::Mul, &b.value()), [a, b], Mul)
}

/// `a / b`.
#[track_caller]
pub(crate) fn div<T: Float>(a: &VarOf<T>, b: &VarOf<T>) -> VarOf<T> {
    VarOf::record(a.value().binary(Binary::Div, &b.value()), [a, b], Div)
}

/// A rule of two parents: gradients are given without regard to broadcasting, and are summed over broadcast axes here.
/// The parts of the tangent are functions of the tangent t of one parent.
macro_rules! rule {
    ($rule:ident, $name:literal, $formula:literal, $derivative:literal, $saved:literal, |$a:ident, $b:ident, $dy:ident| $da:expr, $db:expr; |$y:ident, $t:ident| $from_a:expr, $from_b:expr) => {
        struct $rule;

        impl<T: Float> Rule<T> for $rule {
            fn name(&self) -> &'static str {
                $name
            }
            fn formula(&self) -> &'static str {
                $formula
            }
            fn derivative(&self) -> &'static str {
                $derivative
            }
            fn saved(&self) -> &'static str {
                $saved
            }
            fn backward(&self, op: &Operation<T>, $dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
                let ($a, $b) = (op.parent(0), op.parent(1));
                vec![needs[0].then(|| $da.sum_to($a.shape())), needs[1].then(|| $db.sum_to($b.shape()))]
            }
            fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
                let ($a, $b, $y) = (op.parent(0), op.parent(1), op.output());
                let _ = ($a, $b, $y);
                Some(Tangent::sum(
                    op.output().shape(),
                    [dx[0].as_ref().map(|$t| $from_a), dx[1].as_ref().map(|$t| $from_b)],
                ))
            }
        }
    };
}

rule!(Add, "add", "y = a + b", "da = dy, db = dy", "nothing",
    |a, b, dy| dy, dy; |y, t| t.clone(), t.clone());
rule!(Sub, "sub", "y = a − b", "da = dy, db = −dy", "nothing",
    |a, b, dy| dy, (-dy); |y, t| t.clone(), -t);
rule!(Mul, "mul", "y = a · b", "da = dy · b, db = dy · a", "a, b",
    |a, b, dy| (dy * b), (dy * a); |y, t| t * b, a * t);
rule!(Div, "div", "y = a / b", "da = dy / b, db = −dy · a / b²", "a, b",
    |a, b, dy| (dy / b), (-(dy * a) / b.square()); |y, t| t / b, -(y * t) / b);

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (a, b) = (Var64::parameter("a", 6.0), Var64::parameter("b", 2.0));
        let y = (&a + &b) * (&a - &b) / &b; // (a² − b²)/b = 16
        let g = y.backward();
        assert_eq!(y.item(), 16.0);
        assert_eq!(g[&a].item(), 6.0); // 2a/b
        assert_eq!(g[&b].item(), -10.0); // −a²/b² − 1
    }
}
