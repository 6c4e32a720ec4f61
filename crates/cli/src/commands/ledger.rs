//! The ledger of a net's derivatives: reverse mode, forward mode and finite differences.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use chainrule::autograd::{Var64, map_records};
use chainrule::nn::unfused;
use chainrule_explain::ledger::{Column, Ledger, LedgerOptions, Row, Verdict, ledger, plant};
use clap::Args;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::nets::{self, Net};

/// Compares derivatives by reverse mode, forward mode and finite differences, and finds the op with a wrong rule
///
/// Computes in f64. The exit code is 1 if a column is wrong. Example: chainrule ledger --net mnist --samples 200
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The net
    #[arg(long, value_enum)]
    net: Net,
    /// Partial derivatives to compare, spread over all parameters
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Seed of the sample, and of the weights of mnist and resnet-block
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Digits of mnist
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch_size: u16,
    /// Run every layer as an op of its own
    #[arg(long)]
    unfused: bool,
    /// Multiply the gradients of this op's rule by 1.01, to see the ledger find it
    #[arg(long, value_name = "OP")]
    plant: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let seed = arguments.seed;
    match arguments.net {
        Net::TwoNeurons => report(arguments, nets::two_neurons()),
        Net::Mazur => report(arguments, nets::mazur()),
        Net::Xor => report(arguments, nets::xor()),
        Net::Mnist => report(arguments, nets::mnist(seed, arguments.batch_size.into())),
        Net::ResnetBlock => report(arguments, nets::resnet_block(seed)),
    }
}

fn report(arguments: &Arguments, net: impl Fn() -> Var64) -> Result<(), Failure> {
    let f = || if arguments.unfused { unfused(&net) } else { net() };
    let options =
        LedgerOptions { samples: arguments.samples as usize, seed: arguments.seed, ..LedgerOptions::default() };
    let ledger = match &arguments.plant {
        None => ledger(f, &options)?,
        Some(op) => {
            let ops = ops(f);
            if !ops.contains(op) {
                let ops: Vec<String> = ops.into_iter().collect();
                return Err(Failure::Usage(format!("--plant {op}: the net has the ops {}", ops.join(", "))));
            }
            ledger(|| plant(op, |_, dx| 1.01 * dx, f), &options)?
        }
    };
    if arguments.json {
        println!("{:#}", to_json(&ledger));
    } else {
        print!("{ledger}");
    }
    match &ledger.guilty {
        None if ledger.passed() => Ok(()),
        None => Err(Failure::Run("a column is wrong, and the rule was not found".into())),
        Some(guilty) => Err(Failure::Run(format!("the rule of '{}' is wrong", guilty.rule))),
    }
}

/// The names of the ops that a function records.
fn ops(f: impl Fn() -> Var64) -> BTreeSet<String> {
    let names = Rc::new(RefCell::new(BTreeSet::new()));
    let log = Rc::clone(&names);
    let note = move |var: Var64| {
        log.borrow_mut().extend(var.operation().map(|op| op.rule().name().to_owned()));
        var
    };
    map_records(note, f);
    names.take()
}

fn to_json(ledger: &Ledger) -> Value {
    let guilty = ledger.guilty.as_ref().map(|guilty| {
        json!({
            "op": guilty.rule,
            "operation": guilty.operation,
            "rule": match guilty.column { Column::Reverse => "backward", Column::Forward => "tangent" },
            "derivative": guilty.derivative,
            "inputs": guilty.inputs,
            "at": guilty.at,
            "by_rule": guilty.by_rule,
            "by_differences": guilty.by_differences,
        })
    });
    json!({
        "loss": ledger.loss,
        "partials": ledger.partials,
        "tolerance": ledger.options.tolerance,
        "floor": ledger.options.floor,
        "passed": ledger.passed(),
        "rows": ledger.rows.iter().map(row_to_json).collect::<Vec<_>>(),
        "guilty": guilty,
    })
}

fn row_to_json(row: &Row) -> Value {
    json!({
        "parameter": row.parameter,
        "index": row.index,
        "reverse": row.reverse,
        "forward": row.forward,
        "forward_source": row.source.to_string(),
        "forward_is_independent": row.source.is_independent(),
        "difference": row.difference.value,
        "error": row.difference.error,
        "step": row.difference.step,
        "verdict": match row.verdict {
            Verdict::Agree => "agree",
            Verdict::Kink => "kink",
            Verdict::Unresolved => "unresolved",
            Verdict::Edge => "edge",
            Verdict::ReverseWrong => "reverse is wrong",
            Verdict::ForwardWrong => "forward is wrong",
        },
        "kink": row.kink.as_ref().map(|kink| json!({ "op": kink.rule, "index": kink.index })),
    })
}
