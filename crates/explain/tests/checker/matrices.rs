//! Shapes and matrix identities.

use chainrule_explain::checker::{MistakeKind as Kind, Verdict};

use crate::{grade, named};

fn sheet(form: &str, layers: &str) -> String {
    format!("[matrices]\nbatch = 5\nlayers = {layers}\nform = \"{form}\"\n[answers]\n")
}

#[test]
fn the_identities_of_each_form() {
    for (form, answers) in [
        ("XW", [("dW", "X^T·dY"), ("db", "sum(dY, 0)"), ("dX", "dY W^T"), ("shape_dW", "3x2"), ("shape_db", "2")]),
        ("XW^T", [("dW", "dY.T @ X"), ("db", "Σ dY"), ("dX", "dY @ W"), ("shape_dW", "(2, 3)"), ("shape_db", "1x2")]),
        ("WX", [("dW", "dY Xᵀ"), ("db", "sum(dY, 1)"), ("dX", "Wᵀ·dY"), ("shape_dW", "2 x 3"), ("shape_db", "2")]),
    ] {
        let lines = answers.iter().map(|(name, text)| format!("{name} = \"{text}\"\n")).collect::<Vec<_>>().concat();
        let report = grade(&(sheet(form, "[3, 2]") + &lines));
        assert!(report.all_right() && report.lines.len() == 5, "{form}: {report:?}");
    }
    let two = "dW2 = \"A1^T dY\"\ndA1 = \"dY W2^T\"\ndZ1 = \"(dY W2^T) * A1*(1-A1)\"\ndW1 = \"X^T dZ1\"\nshape_dW1 = [3, 4]\n";
    let report = grade(&(sheet("XW", "[3, 4, 2]") + two));
    assert!(report.lines.iter().all(|line| line.verdict == Verdict::Right), "{report:?}");
}

#[test]
fn mistakes_in_matrices_are_named() {
    for (form, layers, name, answer, kind) in [
        ("XW", "[3, 2]", "dW", "dY^T X", Kind::Transposed),
        ("XW", "[3, 2]", "dW", "X dY", Kind::Transposed),
        ("XW", "[3, 2]", "dW", "dY X^T", Kind::OrderExchanged),
        ("XW", "[3, 2]", "dW", "-X^T dY", Kind::Sign),
        ("XW", "[3, 2]", "dW", "X^T dY/5", Kind::MeanOverBatch),
        ("XW", "[3, 2]", "dX", "dY W", Kind::Transposed),
        ("XW", "[3, 2]", "db", "sum(dY, 1)", Kind::WrongAxis),
        ("XW", "[3, 2]", "db", "mean(dY)", Kind::MeanOverBatch),
        ("XW", "[3, 2]", "Y", "X W", Kind::BiasForgotten),
        ("XW", "[3, 2]", "shape_dW", "2x3", Kind::Transposed),
        ("XW^T", "[3, 2]", "dW", "X^T dY", Kind::Transposed),
        ("XW^T", "[3, 2]", "dX", "dY W^T", Kind::Transposed),
        ("WX", "[3, 2]", "dX", "W dY", Kind::Transposed),
        ("WX", "[3, 2]", "db", "sum(dY)", Kind::WrongAxis),
        ("XW", "[3, 4, 2]", "dZ1", "dY W2^T", Kind::SlopeForgotten),
        ("WX", "[3, 4, 2]", "dZ1", "W2^T dY", Kind::SlopeForgotten),
    ] {
        let report = grade(&format!("{}{name} = \"{answer}\"", sheet(form, layers)));
        assert!(named(&report.lines[0]).contains(&kind), "{form}: {name} = {answer}: {report:?}");
    }
    let shapes = grade(&(sheet("XW", "[3, 2]") + "dW = \"X + dY\""));
    let remark = &shapes.lines[0].verdict.remarks()[0];
    assert_eq!(remark, "shapes do not fit: the shapes do not fit: X is 5×3, dY is 5×2");
}

#[test]
fn a_wrong_matrix_is_counted_once() {
    let answers = "dZ1 = \"dY W2^T\"\ndW1 = \"X^T·(dY W2^T)\"\n";
    let report = grade(&(sheet("XW", "[3, 4, 2]") + answers));
    assert!(report.lines[0].verdict.is_wrong());
    assert_eq!(report.lines[1].verdict, Verdict::Follows, "{report:?}");
}
