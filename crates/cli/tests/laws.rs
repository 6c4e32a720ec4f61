//! `chainrule break`.

use crate::training::{program, run, stderr};

#[test]
fn a_broken_law_is_reported_as_text_and_as_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let output = run(program("break").args(["accumulate", "--steps", "3", "--html"]).arg(&page));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Nothing changes: no value of this net is used twice"), "{text}");
    assert!(text.contains("The first wrong gradient is that of a."), "{text}");
    let html = std::fs::read_to_string(page).expect("a page");
    assert!(html.contains("The first wrong gradient is that of a.") && !html.contains("http"), "{html}");
}

#[test]
fn an_unknown_law_is_answered_with_the_names() {
    let output = run(program("break").arg("gravity"));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("sigmoid-derivative, accumulate, topological-order"), "{}", stderr(&output));
}
