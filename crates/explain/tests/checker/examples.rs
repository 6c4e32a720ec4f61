//! The sheets in `examples/derivations`.

use chainrule_explain::checker::{MistakeKind as Kind, Report, Sheet, Verdict};

use crate::named;

#[track_caller]
fn example(name: &str) -> Report {
    let path = format!("{}/../../examples/derivations/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Sheet::parse(&text).unwrap_or_else(|error| panic!("{path}: {error}")).grade()
}

/// The wrong lines with the mistakes that they name.
fn wrong(report: &Report) -> Vec<(&str, Vec<Kind>)> {
    report.lines.iter().filter(|line| !line.verdict.passes()).map(|line| (line.name.as_str(), named(line))).collect()
}

#[test]
fn the_published_derivations_are_accepted() {
    let two_neurons = example("two-neurons");
    assert_eq!(wrong(&two_neurons), []);
    let verdict = |name: &str| &two_neurons.lines.iter().find(|line| line.name == name).expect("a line").verdict;
    // 0.982 · 0.018 and −0.00127267 truncated: right for what the report wrote before them, not to all digits.
    for name in ["step1.do_do_in", "step1.dE_dw5", "step2.h1"] {
        assert_eq!(*verdict(name), Verdict::Follows, "{name}");
    }
    assert_eq!(wrong(&example("mazur")), []);
    assert!(example("mazur").lines.iter().all(|line| line.verdict == Verdict::Right));
    assert_eq!(wrong(&example("symbols")), []);
}

#[test]
fn their_wrong_variants_are_found_once_each() {
    assert_eq!(wrong(&example("two-neurons-slip")), [("step1.w5_new", vec![Kind::ProductForSum])]);
    let mazur = example("mazur-slips");
    let wrong_in_mazur = wrong(&mazur);
    let expected = [("delta_o1", Kind::SlopeForgotten), ("dE_dh1", Kind::PathDropped), ("w1_new", Kind::Sign)];
    assert_eq!(wrong_in_mazur.len(), expected.len(), "{wrong_in_mazur:?}");
    for ((name, kinds), (line, kind)) in wrong_in_mazur.iter().zip(expected) {
        assert!(*name == line && kinds.contains(&kind), "{name}: {kinds:?}");
    }
    let symbols = example("symbols-slips");
    let wrong_in_symbols = wrong(&symbols);
    assert_eq!(wrong_in_symbols.len(), 2, "{symbols:?}");
    assert!(wrong_in_symbols[0].0 == "dE_do" && wrong_in_symbols[0].1.contains(&Kind::Sign));
    assert!(wrong_in_symbols[1].0 == "dE_dw1" && wrong_in_symbols[1].1.contains(&Kind::SlopeForgotten));
}
