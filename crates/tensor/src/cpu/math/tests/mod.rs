//! Tests of the elementary functions and the table that drives them.

mod accuracy;
mod bits;
mod limits;

use super::Elementary;

/// A function of one argument at both types, with its greatest allowed errors in ulp.
struct Row {
    name: &'static str,
    single: fn(f32) -> f32,
    double: fn(f64) -> f64,
    single_limit: f64,
    double_limit: f64,
    /// The positive bit patterns only, up to this one, where the domain is shorter than the line.
    bits_end: u64,
}

const LINE: u64 = 1 << 32;
const ONE_TURN: u64 = 0x3f80_0000;

macro_rules! row {
    ($name:literal, $x:ident => $value:expr, $single_limit:literal, $double_limit:literal, $bits_end:expr) => {
        Row {
            name: $name,
            single: |$x: f32| $value,
            double: |$x: f64| $value,
            single_limit: $single_limit,
            double_limit: $double_limit,
            bits_end: $bits_end,
        }
    };
}

const ROWS: [Row; 20] = [
    row!("exp", x => Elementary::exp(x), 2.0, 2.0, LINE),
    row!("exp_m1", x => Elementary::exp_m1(x), 3.0, 4.0, LINE),
    row!("ln", x => Elementary::ln(x), 2.0, 2.0, LINE),
    row!("ln_1p", x => Elementary::ln_1p(x), 3.0, 4.0, LINE),
    row!("tanh", x => Elementary::tanh(x), 2.0, 4.0, LINE),
    row!("sigmoid", x => Elementary::sigmoid(x), 2.0, 4.0, LINE),
    row!("softplus", x => Elementary::softplus(x), 3.0, 4.0, LINE),
    row!("erf", x => Elementary::erf(x), 3.0, 4.0, LINE),
    row!("sin", x => Elementary::sin(x), 2.0, 2.0, LINE),
    row!("cos", x => Elementary::cos(x), 2.0, 2.0, LINE),
    row!("tan", x => Elementary::tan(x), 3.0, 3.0, LINE),
    row!("asin", x => Elementary::asin(x), 4.0, 4.0, LINE),
    row!("acos", x => Elementary::acos(x), 4.0, 4.0, LINE),
    row!("atan", x => Elementary::atan(x), 4.0, 4.0, LINE),
    row!("sinh", x => Elementary::sinh(x), 4.0, 4.0, LINE),
    row!("cosh", x => Elementary::cosh(x), 4.0, 4.0, LINE),
    row!("log2", x => Elementary::log2(x), 3.0, 3.0, LINE),
    row!("log10", x => Elementary::log10(x), 3.0, 3.0, LINE),
    row!("sin_turns", u => Elementary::sin_cos_turns(u).0, 3.0, 4.0, ONE_TURN),
    row!("cos_turns", u => Elementary::sin_cos_turns(u).1, 3.0, 4.0, ONE_TURN),
];
