//! Explains the gradients of a net: every number of the backward pass with its rule, as text and as a page.

use std::path::{Path, PathBuf};

use chainrule::tensor::Float;
use chainrule_explain::ledger::partial;
use chainrule_explain::{Document, Explanation, Extent, explain};
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::nets::{self, Net};

/// Explains any gradient of a net: its rule in symbols and numbers, and its terms up to the loss
///
/// Example: chainrule explain --net mnist --element conv1.weight[0,0,1,1] --html explanation.html
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The net
    #[arg(long, value_enum)]
    net: Net,
    /// The element of a gradient to explain, such as conv1.weight[0,0,1,1]
    #[arg(long, value_name = "NAME[I,J,…]")]
    element: Option<String>,
    /// Levels of the tree of terms
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20), requires = "element")]
    depth: u8,
    /// Terms listed for each element; the others are summed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..), requires = "element")]
    terms: u8,
    /// The detail to print [default: the layer of --element, otherwise scalar for nets of single numbers, net for others]
    #[arg(long, value_enum)]
    zoom: Option<Zoom>,
    /// Seed of the weights of mnist and resnet-block
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Also write a page for the browser, one file without any other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write what is printed to a Markdown file instead
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Zoom {
    /// Every operation with its numbers
    Scalar,
    /// The operations of one layer, with shapes and statistics
    Layer,
    /// Norms and extremes of all values and gradients
    Net,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.net {
        Net::TwoNeurons => report(&explain(&nets::two_neurons()()), arguments),
        Net::Mazur => report(&explain(&nets::mazur()()), arguments),
        Net::Xor => report(&explain(&nets::xor()()), arguments),
        Net::Mnist => report(&explain(&nets::mnist_in_detail(arguments.seed)), arguments),
        Net::ResnetBlock => report(&explain(&nets::resnet_block(arguments.seed)()), arguments),
    }
}

/// Writes the page of the net that `chainrule two-neurons` derives by hand.
pub fn two_neurons_page(path: &Path) -> Result<(), Failure> {
    write_page(&explain(&nets::two_neurons()()), Net::TwoNeurons, None, None, path)
}

fn report<T: Float>(explanation: &Explanation<T>, arguments: &Arguments) -> Result<(), Failure> {
    let element = arguments.element.as_deref().map(|text| explanation.find_element(text)).transpose()?;
    let mut document = Document::default();
    let scalars = explanation.variables().iter().all(|variable| variable.shape.is_empty());
    match (arguments.zoom, &element) {
        (Some(Zoom::Layer), None) => {
            return Err(Failure::Usage("--zoom layer: name an element of the layer with --element".into()));
        }
        (Some(Zoom::Layer) | None, Some((variable, _))) => document.append(explanation.layer(*variable)),
        (zoom, _) if zoom == Some(Zoom::Scalar) || zoom.is_none() && scalars => document.append(explanation.scalars()),
        _ => document.append(explanation.net()),
    }
    let mut difference = None;
    if let Some((variable, index)) = &element {
        let extent = Extent { depth: arguments.depth.into(), terms: arguments.terms.into() };
        document.append(explanation.tree_text(&explanation.element_at(*variable, index, extent)?));
        difference = by_differences(arguments, &explanation.variables()[*variable].name, index);
        if let Some(text) = &difference {
            document.append(Document::with_paragraph(format!("  {text}")));
        }
    }
    match &arguments.markdown {
        Some(path) => {
            let written = std::fs::write(path, document.to_markdown());
            written.map_err(|error| Failure::Run(format!("cannot write {}: {error}", path.display())))?;
        }
        None => anstream::print!("{}", document.to_colored_text()),
    }
    match &arguments.html {
        Some(path) => write_page(explanation, arguments.net, element, difference.as_deref(), path),
        None => Ok(()),
    }
}

/// The derivative with respect to an element of a parameter by differences of the loss, computed in f64. It uses no rule, so it
/// is a check on all of them. `None` for what is not a parameter of the net, such as an image.
fn by_differences(arguments: &Arguments, name: &str, index: &[usize]) -> Option<String> {
    let seed = arguments.seed;
    let found = match arguments.net {
        Net::TwoNeurons => partial(nets::two_neurons(), name, index),
        Net::Mazur => partial(nets::mazur(), name, index),
        Net::Xor => partial(nets::xor(), name, index),
        Net::Mnist => partial(nets::mnist(seed, 1), name, index),
        Net::ResnetBlock => partial(nets::resnet_block(seed), name, index),
    }?;
    let index = if index.is_empty() { String::new() } else { format!("{index:?}").replace(' ', "") };
    Some(format!(
        "By differences of the loss alone, in f64, the derivative with respect to {name}{index} is {:.7e} ± {:.0e}.",
        found.value, found.error
    ))
}

fn write_page<T: Float>(
    explanation: &Explanation<T>,
    net: Net,
    element: Option<(usize, Vec<usize>)>,
    difference: Option<&str>,
    path: &Path,
) -> Result<(), Failure> {
    let (title, text) = match net {
        Net::TwoNeurons => (
            "Two linear neurons and a sigmoid",
            "h1 = i1·w1 + i2·w2, h2 = i1·w3 + i2·w4, o = σ(h1·w5 + h2·w6), E = ½(t − o)². How does the error E change with each weight?",
        ),
        Net::Mazur => (
            "Two hidden neurons, two outputs",
            "h = σ(w·i + b1), o = σ(w·h + b2), E = ½ Σ (t − o)². A weight of the first layer changes both outputs: the gradients of its two paths add up.",
        ),
        Net::Xor => (
            "A 2-2-1 net on exclusive or",
            "Four inputs at once: a = x·w1ᵀ + b1, h = relu(a), o = σ(h·w2ᵀ + b2), E = ½ Σ (t − o)².",
        ),
        Net::Mnist => (
            "A small CNN on one digit",
            "Two convolutions, each with relu and max pooling, and two linear layers; untrained. L is the cross-entropy of the digit's label.",
        ),
        Net::ResnetBlock => (
            "A residual block",
            "Two convolutions with batch normalization, and x added to their result. So x has two uses, and two gradients that add up.",
        ),
    };
    let text = [Some(text), difference].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut page = explanation.page(title).text(text);
    if let Some((variable, index)) = element {
        page = page.element(variable, &index)?;
    }
    page.save_html(path)?;
    println!("wrote {}", path.display());
    Ok(())
}
