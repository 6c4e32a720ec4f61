//! The GPU opcodes of the functions, which `kernels/cuda/opcodes.cuh` declares for the kernels.

use std::fmt::Write;
use std::fs;

use crate::parameters::elementwise::{Binary, Compare, Unary};

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels/cuda/opcodes.cuh");
/// If this environment variable is set, the header is written instead of compared.
const WRITE: &str = "CHAINRULE_WRITE_OPCODES";

fn header() -> String {
    let compare =
        [Compare::Equal, Compare::NotEqual, Compare::Less, Compare::LessEqual, Compare::Greater, Compare::GreaterEqual]
            .map(|op| format!("{op:?}"));
    let compare = compare.each_ref().map(String::as_str);
    let mut text = format!(
        "// The numbers of elementwise functions, made from crates/tensor/src/parameters/elementwise by\n\
         // {WRITE}=1 cargo test -p chainrule-tensor opcodes\n#pragma once\n"
    );
    for (kind, names) in [("Unary", Unary::NAMES), ("Binary", Binary::NAMES), ("Compare", &compare)] {
        write!(text, "\nenum class {kind} : int {{\n").expect("writing to a string does not fail");
        for name in names {
            writeln!(text, "  {name},").expect("writing to a string does not fail");
        }
        text.push_str("};\n");
    }
    text
}

#[test]
fn the_kernels_header_has_todays_opcodes() {
    let text = header();
    if std::env::var_os(WRITE).is_some() {
        fs::write(HEADER, &text).expect("the header can be written");
    }
    let there = fs::read_to_string(HEADER).unwrap_or_default();
    assert!(
        there == text,
        "kernels/cuda/opcodes.cuh is stale\n  help: {WRITE}=1 cargo test -p chainrule-tensor opcodes, then scripts/build_ptx.sh"
    );
}

#[test]
fn an_opcode_is_the_place_of_its_name() {
    for op in Unary::EXAMPLES {
        let name = format!("{op:?}");
        assert_eq!(Unary::NAMES[op.code().0 as usize], name.split('(').next().expect("a name"));
    }
    let gradients = Unary::EXAMPLES.iter().filter_map(|op| op.backward());
    for op in Binary::ARITHMETIC.iter().copied().chain(gradients.map(|(op, _)| op)) {
        let name = format!("{op:?}");
        assert_eq!(Binary::NAMES[op.code().0 as usize], name.split('(').next().expect("a name"));
    }
    assert_eq!(Unary::Clamp(-0.5, 0.75).code().1, [-0.5, 0.75]);
    assert_eq!(Unary::Pow(3.0).code(), Unary::Cube.code());
    assert_eq!(Binary::SwishBackward(1.3).code().1, [1.3, 0.0]);
}
