//! Prints two published derivations factor by factor, next to autograd and central differences.

mod derivation;

use std::path::PathBuf;

use clap::Args;
use derivation::{Step, mazur, two_neurons};

use crate::failure::Failure;

/// Prints two published derivations factor by factor, next to autograd and central differences
#[derive(Args)]
pub struct Arguments {
    /// Write a page for the browser instead, which shows the first derivation step by step
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn print_step(step: &Step, lr: f64, published: &[(&str, &str)]) {
    let on_paper = |name: &str| published.iter().find(|(n, _)| *n == name).map_or("", |(_, digits)| digits);
    println!("  {:<18} {:>22}   on paper", "forward", "value");
    for (name, value) in &step.forward {
        println!("  {name:<18} {value:>22.16}   {}", on_paper(name));
    }
    println!("\n  chain rule, each factor with its number:");
    for d in &step.derivatives {
        println!("  ∂E/∂{}", d.weight);
        for (i, factor) in d.factors.iter().enumerate() {
            println!("    {} {:<22} {:>22.16}", if i == 0 { ' ' } else { '·' }, factor.name, factor.value);
        }
    }
    println!(
        "\n  {:<8} {:>23} {:>23} {:>23}   on paper   {:<20} on paper",
        "", "product of factors", "autograd", "central difference", "w − lr·∂E/∂w"
    );
    for d in &step.derivatives {
        println!(
            "  ∂E/∂{:<4} {:>23.16e} {:>23.16e} {:>23.16e}   {:<10} {:<20.16} {}",
            d.weight,
            d.by_hand(),
            d.autograd,
            d.numeric,
            on_paper(&format!("∂E/∂{}", d.weight)),
            d.updated,
            on_paper(d.weight)
        );
    }
    println!("  lr = {lr}\n");
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(path) = &arguments.html {
        return super::explain::two_neurons_page(path);
    }
    print();
    Ok(())
}

fn print() {
    println!("Two linear neurons and a sigmoid: i = (3, 5), t = 1, all weights 0.5");
    println!("h1 = i1·w1 + i2·w2, h2 = i1·w3 + i2·w4, o_in = h1·w5 + h2·w6, o = σ(o_in), E = ½(1 − o)²\n");
    println!("step 1");
    let first = two_neurons::step(&two_neurons::START);
    let published = [
        ("h1", "4"),
        ("h2", "4"),
        ("o", "0.982"),
        ("∂E/∂w2", "−0.0008"),
        ("∂E/∂w4", "−0.0008"),
        ("∂E/∂w5", "−0.001272"),
        ("∂E/∂w6", "−0.001272"),
        ("w1", "0.500048"),
        ("w2", "0.50008"),
        ("w3", "0.500048"),
        ("w4", "0.50008"),
        ("w5", "0.50013"),
        ("w6", "0.50013"),
    ];
    print_step(&first, two_neurons::LR, &published);
    println!("step 2, from the updated weights");
    let weights = std::array::from_fn(|i| first.derivatives[i].updated);
    let second = two_neurons::step(&weights);
    let published = [
        ("h1", "4.000544"),
        ("h2", "4.000544"),
        ("o_in", "4.0016"),
        ("(1 − o)²", "0.000322"),
        ("w5", "0.50026"),
        ("w6", "0.50026"),
    ];
    print_step(&second, two_neurons::LR, &published);
    println!("The error falls from {:.10} to {:.10}.", first.value("(1 − o)²"), second.value("(1 − o)²"));
    println!(
        "(On paper one update was written as w · lr · ∂E/∂w, a product where the minus belongs: w − lr · ∂E/∂w.)\n"
    );

    println!("A 2-2-2 net of sigmoids (Mazur): i = (.05, .10), t = (.01, .99), E = ½ Σ (t − o)²\n");
    let step = mazur::step(&mazur::START);
    let published = [
        ("E = ½ Σ (t − o)²", "0.298371109"),
        ("o1", "0.75136507"),
        ("o2", "0.772928465"),
        ("∂E/∂w1", "0.000438568"),
        ("∂E/∂w5", "0.082167041"),
        ("w1", "0.149780716"),
        ("w5", "0.35891648"),
    ];
    print_step(&step, mazur::LR, &published);
    let (weights_alone, all) = mazur::error_after(&step);
    println!(
        "E after the update of the weights {weights_alone:.12} (on paper 0.291027924), of weights and biases {all:.12}"
    );
}
