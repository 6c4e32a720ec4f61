//! Lesson 3: a custom op, and a check that its derivative is right.
//!
//!     cargo run --example 03_own_op
//!
//! An op has a value, y = f(x), and a rule that turns the gradient of y into the gradient of x. The ops of the library are
//! defined in the same way.

use chainrule::prelude::*;

/// The rule of y = x³. Its fields would hold what the backward pass needs; x itself is always available, as a parent.
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
    // Given dy, the gradient of the loss with respect to y, returns the gradient for each operand. It is computed with
    // `Var`s and can be differentiated again, so second derivatives need no extra code.
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(3.0 * op.parent(0).square() * dy)]
    }
}

/// The op: computes the value, and records it with its operands and its rule.
fn cube<T: Float>(x: &VarOf<T>) -> VarOf<T> {
    VarOf::record(x.value().unary(Unary::Pow(3.0)), [x], Cube)
}

/// The same op with a mistake in its rule: the factor 3 is missing.
struct WrongCube;

impl<T: Float> Rule<T> for WrongCube {
    fn name(&self) -> &'static str {
        "cube"
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

    // A net with a wrong rule often still trains, only worse, so rules are checked on their own: gradcheck compares the rule
    // with finite differences of the value, gradgradcheck does the same for the derivative of the rule.
    let point = [x.value().clone()];
    gradcheck(|x| cube(&x[0]), &point).expect("the rule is right");
    gradgradcheck(|x| cube(&x[0]), &point).expect("and so is the derivative of the rule");
    println!("\ngradcheck and gradgradcheck of cube: passed");

    let wrong = |x: &[Var64]| VarOf::record(x[0].value().unary(Unary::Pow(3.0)), [&x[0]], WrongCube);
    println!("\nwithout the factor 3:\n{}", gradcheck(wrong, &point).expect_err("a wrong rule is found"));
}
