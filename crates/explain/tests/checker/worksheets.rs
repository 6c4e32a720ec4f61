//! Worksheets: their keys pass, and their numbers tell mistakes apart.

use chainrule_explain::checker::{Problem, Sheet, Verdict, Worksheet};

/// The problem of a sheet without numbers of its own.
fn problem(head: &str) -> Problem {
    head.parse().unwrap_or_else(|error| panic!("{error}\n{head}"))
}

const DENSE: &str = "[net]\nlayers = [2, 2, 1]\nactivations = [\"sigmoid\", \"sigmoid\"]\n[update]\nlr = 0.5\n";

/// All kinds of problem.
fn problems() -> Vec<Problem> {
    [
        DENSE,
        "[net]\nlayers = [2, 2, 2]\nactivations = [\"tanh\", \"linear\"]\nbiases = \"layer\"\n",
        "[net]\nlayers = [2, 2, 1]\nactivations = [\"relu\", \"sigmoid\"]\n[loss]\nfunction = \"binary-cross-entropy\"\n",
        "[net]\nlayers = [2, 3]\nactivations = [\"softmax\"]\n[loss]\nfunction = \"cross-entropy\"\n",
        "[net]\nlayers = [1, 1]\nactivations = [\"sigmoid\"]\n[update]\noptimizer = \"momentum\"\nlr = 0.5\nsteps = 2\n",
        "[net]\nlayers = [1, 1]\nactivations = [\"sigmoid\"]\n[update]\noptimizer = \"adam\"\nlr = 0.5\n",
        "[convolution]\nactivation = \"relu\"\nbias = true\n",
        "[batch-norm]\nepsilon = 0.1\n",
        "[matrices]\nbatch = 5\nlayers = [3, 4, 2]\n",
    ]
    .map(problem)
    .into()
}

#[test]
fn keys_pass_and_blanks_are_blank() {
    for problem in problems() {
        for seed in [7, 8] {
            let sheet =
                Worksheet::draw("Exercise", &problem, seed, 5).unwrap_or_else(|error| panic!("{error}: {problem:?}"));
            let (key, blank) = (sheet.key("Ada \"A\""), sheet.blank("Ada"));
            let key = Sheet::parse(&key).unwrap_or_else(|error| panic!("{error}\n{key}"));
            assert_eq!((key.student(), key.title()), (Some("Ada \"A\""), "Exercise"));
            let report = key.grade();
            assert_eq!(report.lines.len(), sheet.questions().len());
            for line in &report.lines {
                assert_eq!(line.verdict, Verdict::Right, "{line:?}");
            }
            assert!(!Worksheet::is_filled_in(&blank) && Worksheet::is_filled_in(&sheet.key("Ada")));
            assert!(
                Sheet::parse(&blank).expect("a sheet").grade().lines.iter().all(|line| line.verdict == Verdict::Blank)
            );
            assert!(sheet.description().len() >= 3, "{:?}", sheet.description());
        }
    }
}

#[test]
fn seeds_give_different_numbers_and_the_same_ones_again() {
    let draw = |seed: u64| Worksheet::draw("", &problem(DENSE), seed, 5).expect("numbers").numbers().to_vec();
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    let numbers = draw(7);
    for (i, (name, value)) in numbers.iter().enumerate() {
        assert!(numbers[..i].iter().all(|(_, other)| other.abs() != value.abs()), "{name} = {value} is there twice");
    }
}

/// The formulas of the key, with a factor or a term left out by hand, are distinguished from all other mistakes on the same sheet.
#[test]
fn mistakes_on_worksheets_are_named() {
    for digits in [4, 5] {
        for seed in 1..=3 {
            let sheet = Worksheet::draw("", &problem(DENSE), seed, digits).expect("numbers");
            let values: Vec<(String, f64)> =
                sheet.questions().iter().map(|q| (q.name.clone(), q.answer.parse().expect("a number"))).collect();
            let get = |name: &str| values.iter().find(|(known, _)| known == name).expect("a value").1;
            let given = |name: &str| sheet.numbers().iter().find(|(known, _)| known == name).expect("a number").1;
            assert_eq!(sheet.confusions(), [] as [String; 0]);
            let key = sheet.key("");
            for (name, wrong, mistake) in [
                ("net_h1", given("w1") * given("i1") + given("w2") * given("i2"), "bias forgotten"),
                ("net_h1", given("w1") * given("i1") + given("w3") * given("i2") + given("b1"), "transposed"),
                ("dE_do", given("t") - get("o"), "sign"),
                ("dE_dnet_o", get("dE_do"), "slope of the activation forgotten"),
                ("dE_dw5", get("dE_dnet_o") * get("net_h1"), "pre-activation used for activation"),
                ("dE_dw1", get("dE_dnet_h1"), "a factor forgotten"),
                ("w1_new", given("w1") - get("dE_dw1"), "learning rate forgotten"),
                ("w1_new", given("w1") + 0.5 * get("dE_dw1"), "sign"),
            ] {
                let line = |value: &str| format!("\n{name} = \"{value}\"");
                let right = sheet.questions().iter().find(|q| q.name == name).expect("a question");
                let text = key.replace(&line(&right.answer), &line(&format!("{wrong:.*e}", digits - 1)));
                assert_ne!(text, key);
                let report = Sheet::parse(&text).expect("a sheet").grade();
                let graded = report.lines.iter().find(|line| line.name == name).expect("a line");
                let remarks = graded.verdict.remarks();
                assert!(remarks.len() == 1 && remarks[0].starts_with(mistake), "{digits} {seed} {mistake}: {graded:?}");
            }
        }
    }
}

#[test]
fn problems_that_make_no_sense_are_errors() {
    let error = "[net]\nlayers = [2, 1]\nactivations = []\n".parse::<Problem>().expect_err("no activation");
    assert!(error.to_string().contains("activations: 0 given"), "{error}");
}
