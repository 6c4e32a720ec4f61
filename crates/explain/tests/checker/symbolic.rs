//! Formulas as answers.

use chainrule_explain::checker::{MistakeKind as Kind, Verdict};

use crate::by_hand::nets;
use crate::{grade, named};

#[track_caller]
fn verdicts(sheet: &str, answers: &[(&str, &str)]) -> Vec<(Verdict, Vec<Kind>)> {
    let lines = answers.iter().map(|(name, formula)| format!("{name} = \"{formula}\"\n")).collect::<Vec<_>>().concat();
    grade(&format!("{sheet}{lines}")).lines.iter().map(|line| (line.verdict.clone(), named(line))).collect()
}

#[test]
fn right_formulas_are_accepted_in_any_form() {
    for net in nets() {
        let slope = if net.tanh { "(1 - h1^2)" } else { "h1*(1-h1)" };
        let paths: Vec<String> =
            (0..net.outputs()).map(|k| format!("(o{0}-t{0})*o{0}*(1-o{0})*w{1}", k + 1, 5 + 2 * k)).collect();
        let whole = format!("({})*{slope}*i1", paths.join(" + "));
        let rate = format!("w5 - {}*dE_dw5", net.lr);
        for (name, formula) in [
            ("dE_do1", "-(t1 - o1)"),
            ("dE_do1", "o1 − t1"),
            ("do1_dnet_o1", "o1 - o1²"),
            ("dE_dw5", "-(t1-o1)*o1*(1-o1)*h1"),
            ("dE_dw5", "delta_o1 · h1"),
            ("dE_dw1", whole.as_str()),
            ("net_h1", "i1*w1 + i2·w2 + b1"),
            ("w5_new", "w5 - lr*dE_dw5"),
            // A number of the sheet for its name.
            ("w5_new", rate.as_str()),
        ] {
            assert_eq!(verdicts(&net.sheet(), &[(name, formula)])[0].0, Verdict::Right, "{name} = {formula}");
        }
    }
}

#[test]
fn mistakes_in_formulas_are_named() {
    for net in nets() {
        let slope = if net.tanh { "(1 - h1^2)" } else { "h1*(1-h1)" };
        let again = if net.tanh { "(1 - tanh(h1)^2)" } else { "σ(h1)*(1-σ(h1))" };
        let pre = if net.tanh { "(1 - net_h1^2)" } else { "net_h1*(1-net_h1)" };
        let updated =
            (0..net.outputs()).map(|k| format!("delta_o{}*w{}_new", k + 1, 5 + 2 * k)).collect::<Vec<_>>().join("+");
        for (name, formula, kind) in [
            ("dE_do1", "t1 - o1".to_owned(), Kind::Sign),
            ("dE_do1", "2*(o1 - t1)".to_owned(), Kind::Twice),
            ("dE_do1", "(o1 - t1)/2".to_owned(), Kind::Half),
            ("dE_dw5", "(o1-t1)*h1".to_owned(), Kind::SlopeForgotten),
            ("dE_dw5", "(t1-o1)*o1*(1-o1)*h1".to_owned(), Kind::Sign),
            ("dE_dw5", "(o1-t1)*o1*(1-o1)*net_h1".to_owned(), Kind::PreActivation),
            ("dE_dw1", format!("dE_dh1*{again}*i1"), Kind::SlopeAtOutput),
            ("dE_dw1", format!("dE_dh1*{pre}*i1"), Kind::PreActivation),
            ("dE_dw1", "dE_dh1*i1".to_owned(), Kind::SlopeForgotten),
            ("dE_dw1", format!("dE_dh1*{slope}"), Kind::FactorForgotten),
            ("dE_dw2", "delta_h2*i1".to_owned(), Kind::Transposed),
            ("dE_dh1", updated, Kind::UpdatedTooEarly),
            ("net_h1", "w1*i1 + w2*i2".to_owned(), Kind::BiasForgotten),
            ("net_h1", "w1*i1 + w3*i2 + b1".to_owned(), Kind::Transposed),
            ("w5_new", "w5 - dE_dw5".to_owned(), Kind::RateForgotten),
            ("w5_new", "w5 + lr*dE_dw5".to_owned(), Kind::Sign),
            ("w5_new", "w5 * lr*dE_dw5".to_owned(), Kind::ProductForSum),
            ("delta_o1", "dE_do1 + do1_dnet_o1".to_owned(), Kind::SumForProduct),
        ] {
            let graded = verdicts(&net.sheet(), &[(name, &formula)]);
            assert!(graded[0].1.contains(&kind), "{name} = {formula}: {graded:?}");
        }
        // One of the paths only.
        let one = verdicts(&net.sheet(), &[("dE_dh1", "delta_o1*w5")]);
        let kind = if net.outputs() == 2 { Kind::PathDropped } else { Kind::OnePathOnly };
        assert!(one[0].1.contains(&kind), "{one:?}");
    }
}

#[test]
fn what_follows_from_a_wrong_formula_passes() {
    let [net, _] = nets();
    let graded = verdicts(
        &net.sheet(),
        &[("dE_do1", "t1 - o1"), ("dE_dw5", "(t1-o1)*o1*(1-o1)*h1"), ("dE_dw6", "(o1-t1)*o1*(1-o1)*h2")],
    );
    assert!(graded[0].1.contains(&Kind::Sign));
    // The next one repeats the slip, the last one corrects it.
    assert_eq!((&graded[1].0, &graded[2].0), (&Verdict::Follows, &Verdict::Right));
    let unknown = verdicts(&net.sheet(), &[("dE_dw5", "o1*o1*h2*exp(t1)")]);
    assert_eq!(unknown[0].0, Verdict::Wrong(Vec::new()));
}

/// A number after a wrong formula is compared with what the formula gives.
#[test]
fn numbers_follow_from_formulas() {
    let [net, _] = nets();
    let right = net.derivation(crate::by_hand::Slip::Sign);
    let value = |name: &str| right.iter().find(|(known, _)| known == name).expect("a value").1;
    let text = format!("{:.5}", value("dE_dw5"));
    let graded = verdicts(&net.sheet(), &[("dE_do1", "t1 - o1"), ("dE_dw5", &text)]);
    assert_eq!(graded[1].0, Verdict::Follows);
}
