//! An op of one's own: its value, its derivative rule and the check that both belong together.
//!
//! `cargo run --release --example custom_op`

use chainrule::prelude::*;

/// y = x³; dx = 3x² · dy.
struct Cube;

impl<T: Float> Rule<T> for Cube {
    fn name(&self) -> &'static str {
        "cube"
    }
    fn formula(&self) -> &'static str {
        "y = x³"
    }
    fn derivative(&self) -> &'static str {
        "dx = 3x² · dy"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(3.0 * op.parent(0).square() * dy)]
    }
}

fn cube<T: Float>(x: &VarOf<T>) -> VarOf<T> {
    VarOf::record(x.value().unary(Unary::Pow(3.0)), [x], Cube)
}

/// The same with a slip in its rule, as it happens on paper: the factor 3 is lost.
struct WrongCube;

impl<T: Float> Rule<T> for WrongCube {
    fn name(&self) -> &'static str {
        "wrong cube"
    }
    fn formula(&self) -> &'static str {
        "y = x³"
    }
    fn derivative(&self) -> &'static str {
        "dx = x² · dy"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(op.parent(0).square() * dy)]
    }
}

fn main() {
    let x = Var64::parameter("x", [0.5, -1.0, 2.0]);
    let y = cube(&x);
    println!("x        = {x}");
    println!("y = x³   = {y}");
    println!("dx = 3x² = {}", y.sum().backward()[&x]);
    println!("6x       = {}", y.sum().gradient(&x).sum().gradient(&x));

    let point = [x.value().clone()];
    gradcheck(|x| cube(&x[0]), &point).expect("the rule is right");
    gradgradcheck(|x| cube(&x[0]), &point).expect("and so is the derivative of the rule");
    println!("\ngradcheck and gradgradcheck of cube: passed");

    let wrong = |x: &[Var64]| VarOf::record(x[0].value().unary(Unary::Pow(3.0)), [&x[0]], WrongCube);
    println!("\nwith the 3 forgotten:\n{}", gradcheck(wrong, &point).expect_err("a wrong rule is found"));
}
