//! Errors in files: what is wrong, on which line.

use chainrule_explain::checker::Sheet;

const NET: &str = "[net]\nlayers = [2, 1]\nactivations = [\"sigmoid\"]\nbiases = \"none\"\n";
const GIVEN: &str = "[given]\ni = [1, 2]\nw = [0.5, 0.25]\nt = 1\n";

#[track_caller]
fn fails(text: &str, line: Option<usize>, message: &str) {
    let error = Sheet::parse(text).expect_err("an error");
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(error.line(), line, "{error}");
}

#[test]
fn errors_name_the_line_and_the_cure() {
    fails("[net\n", Some(1), "");
    fails("", None, "the sheet has no kind: expected one of [net], [convolution], [batch-norm], [matrices]");
    fails(&format!("color = 1\n{NET}"), Some(1), "unknown field `color`");
    fails(&format!("{NET}depth = 2\n"), Some(5), "unknown field `depth`");
    fails(&format!("{NET}[loss]\nfunction = \"hinge\"\n"), Some(6), "unknown variant `hinge`");
    fails(&format!("{NET}[given]\ni = [1, 2]\nw1 = 1\n"), None, "given: no number for w2, t");
    fails(
        &format!("{NET}{GIVEN}w3 = 1\n"),
        Some(9),
        "given: w3 is no number of this sheet, which has i1, i2, t, w1, w2",
    );
    fails(&format!("{NET}{GIVEN}w1 = 1\n"), Some(9), "given: w1 has two values");
    fails(&format!("{NET}{GIVEN}[answers]\n\nh1 = 1\n"), Some(11), "answers: this sheet has no h1");
    fails(&format!("{NET}{GIVEN}[answers]\ndE_dW1 = 1\n"), Some(10), "did you mean dE_dw1?");
    fails(&format!("{NET}{GIVEN}[answers]\nw1 = 1\n"), Some(10), "answers: w1 is given");
    fails(&format!("{NET}{GIVEN}[answers]\no = 1\no1 = 1\n"), Some(11), "answers: o1 is answered twice, also as o");
    fails(&format!("{NET}{GIVEN}[answers]\no = true\n"), Some(10), "expected a number or a text, not a boolean");
    fails(&format!("{NET}{GIVEN}[answers]\no = \"1 +\"\n"), Some(10), "neither a number nor a formula");
    fails(&format!("{NET}{GIVEN}[answers]\no = \"2*q\"\n"), Some(10), "this sheet has no q");
    fails(&format!("{NET}{GIVEN}[answers]\ndE_do = \"dE_do\"\n"), Some(10), "dE_do is what is asked");
    fails(
        &format!("{NET}{GIVEN}[answers]\no = \"t + dE_do\"\n"),
        Some(10),
        "dE_do is computed from o, so it cannot define it",
    );
    fails(&format!("{NET}{GIVEN}[answers.step2]\no = 1\n"), Some(9), "unknown table 'step2'");
}

#[test]
fn nets_that_make_no_sense_are_errors() {
    let net = |layers: &str, activations: &str, loss: &str| {
        format!("[net]\nlayers = {layers}\nactivations = {activations}\n[loss]\nfunction = \"{loss}\"\n{GIVEN}")
    };
    for (layers, activations, loss, message) in [
        ("[2]", "[]", "squared-error", "expected 2 to 5 sizes"),
        ("[2, 0, 1]", "[\"relu\", \"relu\"]", "squared-error", "every layer needs at least one unit"),
        ("[2, 1]", "[]", "squared-error", "activations: 0 given, but 1 layers follow the inputs"),
        ("[20, 20]", "[\"relu\"]", "squared-error", "400 weights; a sheet has at most 60"),
        ("[2, 2]", "[\"softmax\"]", "squared-error", "softmax: the loss must be \"cross-entropy\""),
        ("[2, 2]", "[\"sigmoid\"]", "cross-entropy", "the last activation must be \"softmax\""),
        ("[2, 2]", "[\"tanh\"]", "binary-cross-entropy", "the last activation must be \"sigmoid\""),
    ] {
        fails(&net(layers, activations, loss), Some(1), message);
    }
    fails(&format!("{NET}[update]\nlr = 0.1\nsteps = 9\n{GIVEN}"), Some(1), "update: steps = 9: expected 1 to 5");
    for (settings, message) in [
        ("lr = -0.1", "update: lr = -0.1: expected 0 ≤ lr < ∞"),
        ("lr = nan", "update: lr = NaN: expected 0 ≤ lr < ∞"),
        ("lr = 0.1\noptimizer = \"momentum\"\nmomentum = 1.5", "update: momentum = 1.5: expected 0 ≤ momentum ≤ 1"),
        ("lr = 0.1\noptimizer = \"adam\"\nbeta2 = 1.0", "update: beta2 = 1: expected 0 ≤ beta2 < 1"),
    ] {
        fails(&format!("{NET}[update]\n{settings}\n{GIVEN}"), Some(1), message);
    }
    fails("[matrices]\nbatch = 3\nlayers = [3, 2]\n", Some(1), "the sizes must be different");
    fails(
        "[convolution]\nactivation = \"relu\"\nkernel = [5, 2]\n",
        Some(1),
        "kernel = [5, 2] does not fit into image = [4, 4]",
    );
    fails("[batch-norm]\ncount = 1\n", Some(1), "count = 1: expected 2 to 8 numbers");
}

#[test]
fn digits_count_with_and_without_quotes() {
    let exact = |answer: &str| {
        let sheet = Sheet::parse(&format!("{NET}{GIVEN}[answers]\no_in = {answer}\n")).expect("a sheet");
        sheet.grade().lines[0].clone()
    };
    assert_eq!(exact("1.00").given, "1.00");
    assert_eq!(exact("\"1.00\"").given, "1.00");
    assert_eq!(exact("1").given, "1");
    assert!(exact("1.00").verdict.passes() && !exact("1.02").verdict.passes() && exact("1.0").verdict.passes());
}
