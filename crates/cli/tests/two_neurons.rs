//! The derivations of `chainrule two-neurons`, compared with exact and with published values.

#[path = "../src/commands/two_neurons/derivation.rs"]
mod derivation;

use approx::assert_abs_diff_eq;
use derivation::{Step, mazur, two_neurons};

fn near(value: f64, exact: f64) {
    assert_abs_diff_eq!(value, exact, epsilon = 1e-12);
}

/// Equal to a printed number within half a unit of its last digit (`slack` times that, where the paper rounded on the way).
fn printed(value: f64, digits: &str, slack: f64) {
    let decimals = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let half_unit = 0.5 * 10f64.powi(-(decimals as i32));
    let on_paper: f64 = digits.parse().expect("a number");
    assert_abs_diff_eq!(value, on_paper, epsilon = half_unit * slack + 1e-12);
}

/// Checks that the product of the factors, autograd and the central difference agree.
fn agrees_with_itself(step: &Step) {
    for d in &step.derivatives {
        assert!(
            d.factors.iter().all(|factor| factor.name.contains(['∂', 'δ'])),
            "∂E/∂{}: a factor has no name",
            d.weight
        );
        assert_abs_diff_eq!(d.by_hand(), d.autograd, epsilon = 1e-15);
        assert_abs_diff_eq!(d.numeric, d.autograd, epsilon = 1e-9);
    }
}

#[test]
fn two_neurons_as_on_paper() {
    let first = two_neurons::step(&two_neurons::START);
    agrees_with_itself(&first);
    assert_eq!((first.value("h1"), first.value("h2")), (4.0, 4.0));
    near(first.value("o"), 0.982_013_790_037_908_5);
    printed(first.value("o"), "0.982", 1.0);
    let factor = |weight: &str, i: usize| first.of(weight).factors[i].value;
    near(factor("w1", 0), -0.017_986_209_962_091_5);
    printed(factor("w1", 0), "-0.018", 1.0);
    near(factor("w1", 1), 0.017_662_706_213_291_1);
    // On paper this is 0.982 · 0.018, from rounded numbers.
    assert_abs_diff_eq!(factor("w1", 1), 0.017_676, epsilon = 2e-5);
    for (weight, exact, updated, on_paper) in [
        ("w1", -0.000_476_527_713_676_489_2, 0.500_047_652_771_367_6, "0.500048"),
        ("w2", -0.000_794_212_856_127_481_9, 0.500_079_421_285_612_8, "0.50008"),
        ("w3", -0.000_476_527_713_676_489_2, 0.500_047_652_771_367_6, "0.500048"),
        ("w4", -0.000_794_212_856_127_481_9, 0.500_079_421_285_612_8, "0.50008"),
        ("w5", -0.001_270_740_569_803_971_2, 0.500_127_074_056_980_4, "0.50013"),
        ("w6", -0.001_270_740_569_803_971_2, 0.500_127_074_056_980_4, "0.50013"),
    ] {
        near(first.of(weight).autograd, exact);
        near(first.of(weight).updated, updated);
        printed(first.of(weight).updated, on_paper, 1.0);
    }
    printed(first.of("w2").autograd, "-0.0008", 1.0);
    assert_abs_diff_eq!(first.of("w5").autograd, -0.001_272, epsilon = 2e-6);

    let weights = std::array::from_fn(|i| first.derivatives[i].updated);
    let second = two_neurons::step(&weights);
    agrees_with_itself(&second);
    near(second.value("h1"), 4.000_540_064_742_167);
    near(second.value("h2"), 4.000_540_064_742_167);
    near(second.value("o_in"), 4.001_556_794_454_446);
    near(second.value("(1 − o)²"), 0.000_322_516_104_717_492_5);
    near(second.of("w5").updated, 0.500_253_780_811_726_1);
    // h1 on paper comes from updated weights rounded to 0.500048 and 0.50008, which moves its last digits.
    assert_abs_diff_eq!(second.value("h1"), 4.000_544, epsilon = 5e-6);
    printed(second.value("o_in"), "4.0016", 1.0);
    assert_abs_diff_eq!(second.value("(1 − o)²"), 0.000_322, epsilon = 1e-6);
    printed(second.of("w5").updated, "0.50026", 2.0);
}

#[test]
fn mazurs_net() {
    let step = mazur::step(&mazur::START);
    agrees_with_itself(&step);
    near(step.value("E = ½ Σ (t − o)²"), 0.298_371_108_760_002_7);
    near(step.of("w1").autograd, 0.000_438_567_734_474_346_5);
    near(step.of("w5").autograd, 0.082_167_040_564_230_77);
    near(step.of("b1").autograd, 0.018_725_609_394_704_128);
    near(step.of("b2").autograd, 0.100_400_325_112_000_71);
    let (weights_alone, all) = mazur::error_after(&step);
    near(weights_alone, 0.291_027_773_693_599_33);
    near(all, 0.285_750_886_699_296_5);
}
