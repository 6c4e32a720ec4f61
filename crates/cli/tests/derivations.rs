//! `chainrule check` and `chainrule worksheet` as students and teachers run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::training::{program, run, stderr};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/derivations").join(name)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_sheet_is_checked_line_by_line() {
    let right = run(program("check").arg(example("two-neurons.toml")));
    assert_eq!(right.status.code(), Some(0), "{}", stderr(&right));
    assert!(stdout(&right).ends_with("16 of 21 answers are right and 5 follow from your earlier values.\n"));

    let wrong = run(program("check").arg(example("two-neurons-slip.toml")));
    assert_eq!(wrong.status.code(), Some(1));
    let text = stdout(&wrong);
    assert!(text.contains("\nstep1.w5_new    -0.0000636        0.5001270741      wrong\n    product for sum: w5_new = w5 · lr · dE_dw5\n"), "{text}");
    assert!(
        text.ends_with("11 of 21 answers are right, 9 follow from your earlier values and 1 is wrong.\n"),
        "{text}"
    );
    for name in ["two-neurons-slip.toml", "mazur-slips.toml", "symbols-slips.toml"] {
        let text = stdout(&run(program("check").arg(example(name))));
        assert!(text.lines().all(|line| line.chars().count() <= 80 && !line.contains('\x1b')), "{text}");
    }
}

#[test]
fn names_are_explained() {
    let names = stdout(&run(program("check").arg("--explain-names").arg(example("two-neurons.toml"))));
    assert!(
        names.contains("\ndo_dnet_o  derivative of o with respect to the input of its activation (also do_do_in)\n"),
        "{names}"
    );
    assert!(names.contains("\ni1         given: 3\n"), "{names}");
}

#[test]
fn bad_files_have_exit_code_2() {
    let dir = folder();
    let file = dir.path().join("ada.toml");
    fs::write(&file, "[net]\nlayers = [2, 1]\nactivations = [\"sigmod\"]\n[given]\n").expect("written");
    for (path, message) in [
        (file.clone(), "ada.toml: line 3: unknown variant `sigmod`"),
        (dir.path().join("none.toml"), "none.toml: No such file"),
        (dir.path().join("empty"), "there are no sheets (*.toml) in this folder"),
    ] {
        fs::create_dir_all(dir.path().join("empty")).expect("a folder");
        let output = run(program("check").arg(&path));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}

/// Worksheets are made, filled in with two mistakes, and graded.
#[test]
fn a_class_from_worksheets_to_grades() {
    let dir = folder();
    let out = dir.path().join("class");
    let names = dir.path().join("names.txt");
    fs::write(&names, "Ada Lovelace\nÉvariste <b>\n\nEmmy Noether\n").expect("written");
    let make = |force: &[&str]| {
        run(program("worksheet")
            .args(["--net", "2-2-1", "--seed", "7", "--names"])
            .arg(&names)
            .arg("--out")
            .arg(&out)
            .args(force))
    };
    let made = make(&[]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).starts_with("3 worksheets with 34 answers each:\n"), "{}", stdout(&made));
    let file = |folder: &str, name: &str| out.join(folder).join(name);
    let page = fs::read_to_string(file("sheets", "02-évariste--b-.html")).expect("a page");
    assert!(
        page.contains("Évariste &#60;b&#62;")
            && page.contains("<mfrac>")
            && !page.contains("src=")
            && !page.contains("href="),
        "{page}"
    );
    let sheet = fs::read_to_string(file("sheets", "01-ada-lovelace.md")).expect("a sheet");
    assert!(sheet.contains("net_h1 = w1 · i1 + w2 · i2 + b1, h1 = σ(net_h1)"), "{sheet}");
    assert!(sheet.contains("| `dE_dw5` | derivative of E with respect to w5 | |"), "{sheet}");

    // The keys pass, the blanks do not.
    let keys = run(program("check").arg(out.join("keys")));
    assert_eq!(keys.status.code(), Some(0), "{}", stdout(&keys));
    let answers = out.join("answers");
    assert_eq!(run(program("check").arg(&answers)).status.code(), Some(1));

    // Ada has all right, the other two forget the slope.
    fs::copy(file("keys", "01-ada-lovelace.toml"), file("answers", "01-ada-lovelace.toml")).expect("copied");
    for name in ["02-évariste--b-.toml", "03-emmy-noether.toml"] {
        let key = fs::read_to_string(file("keys", name)).expect("a key");
        let value = |name: &str| {
            let line = key.lines().find(|line| line.starts_with(&format!("{name} = "))).expect("a line");
            line.split('"').nth(1).expect("an answer").to_owned()
        };
        let wrong = key.replace(
            &format!("dE_dnet_o = \"{}\"", value("dE_dnet_o")),
            &format!("dE_dnet_o = \"{}\"", value("dE_do")),
        );
        fs::write(file("answers", name), wrong).expect("written");
    }
    let [csv, html] = ["class.csv", "class.html"].map(|name| dir.path().join(name));
    let graded = run(program("check").arg(&answers).arg("--csv").arg(&csv).arg("--html").arg(&html));
    assert_eq!(graded.status.code(), Some(1));
    let text = stdout(&graded);
    assert!(text.contains("Emmy Noether     33              1\n    slope of the activation forgotten\n"), "{text}");
    assert!(text.contains("       2        2  slope of the activation forgotten\n"), "{text}");
    assert!(text.ends_with("\n1 of 3 sheets is without a mistake.\n"), "{text}");
    let table = fs::read_to_string(csv).expect("a table");
    assert_eq!(table.lines().count(), 1 + 3 * 34);
    assert!(table.starts_with("student,file,name,answer,exact,verdict,mistakes,remarks\n"), "{table}");
    assert_eq!(table.matches(",wrong,slope of the activation forgotten,").count(), 2, "{table}");
    let page = fs::read_to_string(html).expect("a page");
    assert!(
        page.contains("Évariste &#60;b&#62;")
            && !page.contains("<b>")
            && !page.contains("src=")
            && !page.contains("href=\"http"),
        "{page}"
    );

    // Answers that are filled in are overwritten only with --force.
    let before = fs::read_to_string(file("answers", "03-emmy-noether.toml")).expect("answers");
    let again = make(&[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("01-ada-lovelace.toml (and 2 more) has answers or was changed"),
        "{}",
        stderr(&again)
    );
    assert_eq!(fs::read_to_string(file("answers", "03-emmy-noether.toml")).expect("answers"), before);
    assert!(make(&["--force"]).status.success());
    assert!(fs::read_to_string(file("answers", "03-emmy-noether.toml")).expect("answers").contains("dE_dw5 = \"\""));
}

#[test]
fn worksheets_of_every_kind() {
    let dir = folder();
    let like = ["--like", "mazur"];
    for flags in [
        &["--kind", "softmax"][..],
        &["--kind", "convolution"],
        &["--kind", "batch-norm"],
        &["--kind", "matrices"],
        &["--net", "1-1", "--optimizer", "adam", "--steps", "2", "--biases", "none"],
        &like,
    ] {
        let out = dir.path().join(flags[1]);
        let mazur = example("mazur.toml");
        let mut command = program("worksheet");
        for flag in flags {
            if *flag == "mazur" {
                command.arg(&mazur)
            } else {
                command.arg(flag)
            };
        }
        let made = run(command.arg("--out").arg(&out));
        assert!(made.status.success(), "{flags:?}: {}", stderr(&made));
        let keys = run(program("check").arg(out.join("keys")));
        assert_eq!(keys.status.code(), Some(0), "{flags:?}: {}", stdout(&keys));
    }
    for (flags, message) in [
        (["--net", "2x2", "--seed", "1"], "--net 2x2: expected sizes of layers such as 2-2-1"),
        (["--kind", "batch-norm", "--activation", "tanh"], "--activation has no effect with --kind batch-norm"),
        (["--optimizer", "sgd", "--lr", "-0.1"], "expected a positive number, such as 0.001"),
        (["--optimizer", "none", "--lr", "0.1"], "--lr has no effect with --optimizer none"),
        (["--net", "20-20", "--lr", "0.1"], "400 weights; a sheet has at most 60"),
    ] {
        let wrong = run(program("worksheet").args(flags).arg("--out").arg(dir.path()));
        assert_eq!(wrong.status.code(), Some(2));
        assert!(stderr(&wrong).contains(message), "{}", stderr(&wrong));
    }
}
