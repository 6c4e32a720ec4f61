//! Lesson 2: a derivation by hand, checked.
//!
//!     cargo run --example 02_two_neurons
//!
//! Two linear neurons feed a sigmoid: h1 = i1·w1 + i2·w2, h2 = i1·w3 + i2·w4, o = σ(h1·w5 + h2·w6), with the error
//! E = ½(1 − o)². Each of the six derivatives is computed three times: as a product of factors, the way one writes it on
//! paper; by autograd; and as a central difference, which uses no derivative at all. If they disagree, one is wrong.
//! `chainrule two-neurons` prints every factor, and a second step, next to the published numbers.

use chainrule::prelude::*;

const INPUTS: [f64; 2] = [3.0, 5.0];

/// E in plain arithmetic, for the central difference.
fn error(w: &[f64; 6]) -> f64 {
    let [i1, i2] = INPUTS;
    let (h1, h2) = (i1 * w[0] + i2 * w[1], i1 * w[2] + i2 * w[3]);
    let o = 1.0 / (1.0 + (-(h1 * w[4] + h2 * w[5])).exp());
    0.5 * (1.0 - o) * (1.0 - o)
}

fn main() {
    let start = [0.5; 6];
    let [i1, i2] = INPUTS;

    // The same net with `Var`s, which record their operands.
    let w: [Var64; 6] = std::array::from_fn(|i| Var64::parameter(format!("w{}", i + 1), start[i]));
    let h1 = i1 * &w[0] + i2 * &w[1];
    let h2 = i1 * &w[2] + i2 * &w[3];
    let o = (&h1 * &w[4] + &h2 * &w[5]).sigmoid();
    let e = 0.5 * (1.0 - &o).square();
    println!("h1 = {h1}, h2 = {h2}, o = {o}, E = {e}\n");

    // By hand: every path from E to a weight begins with the same two factors, ∂E/∂o and ∂o/∂o_in.
    let (h1, h2, o) = (h1.item(), h2.item(), o.item());
    let delta = -(1.0 - o) * (o * (1.0 - o));
    // The remaining factors belong to the path: through w5 to h1 and its weights, through w6 to h2.
    let by_hand = [
        delta * start[4] * i1, // ∂E/∂w1 = δ · ∂o_in/∂h1 · ∂h1/∂w1
        delta * start[4] * i2,
        delta * start[5] * i1,
        delta * start[5] * i2,
        delta * h1, // ∂E/∂w5 = δ · ∂o_in/∂w5
        delta * h2,
    ];

    let gradients = e.backward();
    println!("        {:>22} {:>22} {:>22}", "by hand", "autograd", "central difference");
    for i in 0..6 {
        let autograd = gradients[&w[i]].item();
        // (E(w + h) − E(w − h)) / 2h. A smaller h is closer to the limit, but cancels more digits of E: the cube root of
        // the machine epsilon balances the two errors.
        let h = f64::EPSILON.cbrt();
        let moved = |by: f64| {
            let mut w = start;
            w[i] += by;
            error(&w)
        };
        let numeric = (moved(h) - moved(-h)) / (2.0 * h);
        println!("∂E/∂w{}  {:>22.15e} {autograd:>22.15e} {numeric:>22.15e}", i + 1, by_hand[i]);
        assert!((by_hand[i] - autograd).abs() < 1e-15 && (numeric - autograd).abs() < 1e-9);
    }
}
