//! Breaks a law of backpropagation and shows what happens.

use std::path::PathBuf;

use chainrule_explain::Document;
use chainrule_explain::laws::{Law, break_law, tiny_cnn, two_neurons};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// Breaks a law of backpropagation: which gradients go wrong first, what the loss does, and how to find the mistake
///
/// Example: chainrule break accumulate
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The law
    #[arg(value_parser = law())]
    law: Law,
    /// The net [default: both]
    #[arg(long, value_enum)]
    net: Option<Net>,
    /// Steps of gradient descent
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    steps: u16,
    /// Write a page for the browser, one file without any other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Net {
    /// The two linear neurons and the sigmoid of `chainrule two-neurons`
    TwoNeurons,
    /// A small CNN with a residual connection
    Cnn,
}

fn law() -> impl TypedValueParser<Value = Law> {
    PossibleValuesParser::new(Law::ALL.map(Law::name))
        .map(|name| Law::ALL.into_iter().find(|law| law.name() == name).expect("it is one of the names"))
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { law, net, steps, html } = arguments;
    let [kept, broken] = law.statement();
    let mut document = Document::with_paragraph(format!("The law: {kept}\nBroken: {broken}"));
    for (kind, net_of) in [(Net::TwoNeurons, two_neurons as fn() -> _), (Net::Cnn, tiny_cnn)] {
        if net.is_none_or(|net| net == kind) {
            document.append(break_law(*law, &net_of(), (*steps).into()).report());
        }
    }
    anstream::print!("{}", document.to_colored_text());
    let Some(path) = html else { return Ok(()) };
    let title = format!("What if a law of backpropagation is broken: {}", law.name());
    std::fs::write(path, document.to_html(&title))
        .map_err(|error| Failure::Run(format!("cannot write {}: {error}", path.display())))?;
    println!("\nwrote {}", path.display());
    Ok(())
}
