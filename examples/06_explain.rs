//! Lesson 6: where a gradient comes from, in a net of your own.
//!
//!     cargo run --example 06_explain
//!     cargo run --example 06_explain page.html       # also writes a page to step through
//!
//! An element of a gradient is a sum over the elements j of what is computed from it: dL/dx = Σ dyⱼ · ∂yⱼ/∂x. Each dyⱼ is
//! such a sum again, and so on up to the loss, whose gradient is 1.

use chainrule::prelude::*;
use chainrule_explain::{Extent, explain};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Three samples, two inputs each; names appear in the explanation.
    let x = Var64::constant([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]]).named("x");
    let t = Var64::constant([[1.0], [0.0], [0.5]]).named("t");
    let w1 = Var64::parameter("w1", [[0.3, -0.6], [0.8, 0.1]]);
    let w2 = Var64::parameter("w2", [[1.2, -0.7]]);

    let h = x.linear(&w1, None).named("a").tanh().named("h");
    let o = h.linear(&w2, None).named("o");
    let loss = o.mse_loss(&t, Reduction::Mean).named("L");

    let explanation = explain(&loss);
    println!("{}", explanation.net().to_text());

    // ∂L/∂w1[1,0], with its terms and those of each of them, three levels deep.
    let element = explanation.element(&w1, &[1, 0], Extent { depth: 3, terms: 4 })?;
    println!("{}", explanation.tree_text(&element).to_text());

    // The same as data: each term is a product, and the terms add up to the gradient.
    for term in &element.terms {
        println!("{} · {} = {}", term.dy, term.local, term.product);
    }
    println!("sum {}, gradient {}", element.sum(), loss.backward()[&w1].at(&[1, 0]));

    if let Some(path) = std::env::args().nth(1) {
        explanation.save_html(&path)?;
        println!("wrote {path}");
    }
    Ok(())
}
