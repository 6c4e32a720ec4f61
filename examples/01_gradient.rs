//! Lesson 1: a gradient in ten lines.
//!
//!     cargo run --example 01_gradient
//!
//! One neuron multiplies its input by a weight and applies a sigmoid; the loss measures how far the result is from 1. How
//! does the loss change with the weight? By the chain rule the answer is a product with one factor for each operation.

use chainrule::prelude::*;

fn main() {
    let x = Var64::constant(3.0);
    let w = Var64::parameter("w", 0.5); // gradients are computed for parameters
    let y = (&w * &x).sigmoid(); // computed immediately, and recorded: y knows its operands
    let loss = 0.5 * (1.0 - &y).square();
    let gradients = loss.backward(); // walks from the loss back to w, applying the chain rule
    println!("y = {y}, loss = {loss}");
    println!("dloss/dw by autograd   {}", gradients[&w]);

    // The same by hand: dloss/dy · dy/d(wx) · d(wx)/dw.
    let y = y.item();
    println!("dloss/dw by chain rule {}", -(1.0 - y) * (y * (1.0 - y)) * 3.0);

    // The gradient is negative, so a larger w means a smaller loss. Training repeats this step.
    let step = 0.1;
    let w = w.item() - step * gradients[&w].item();
    let y = 1.0 / (1.0 + (-w * 3.0).exp());
    println!("after one step: w = {w}, loss = {}", 0.5 * (1.0 - y) * (1.0 - y));
}
