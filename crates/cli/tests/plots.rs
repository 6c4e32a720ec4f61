//! The pictures of `chainrule plot`, in a build with the feature `plots`, and the message of one without.

use crate::training::{program, run, stderr};

#[cfg(not(feature = "plots"))]
#[test]
fn a_program_without_plots_says_how_to_get_them() {
    let output = run(program("plot").args(["landscape", "--lr", "0.1"]));
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("cargo run --release --features plots -- plot landscape --lr 0.1"), "{text}");
}

#[cfg(feature = "plots")]
mod pictures {
    use std::fs;

    use super::*;

    /// Draws one picture and returns what was printed.
    fn draw(picture: &str, flags: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("new");
        let output = run(program("plot").arg(picture).args(flags).arg("--out").arg(&out));
        assert!(output.status.success(), "{}", stderr(&output));
        let svg = fs::read_to_string(out.join(picture).with_extension("svg")).expect("an SVG");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("<path"), "{svg}");
        let png = fs::read(out.join(picture).with_extension("png")).expect("a PNG");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn autograd_agrees_with_the_closed_forms_of_all_activations() {
        // The program itself fails if a difference is above 1e-12.
        let text = draw("activations", &[]);
        let rows = text.lines().filter(|line| line.split_whitespace().rev().take(3).all(|n| n.parse::<f64>().is_ok()));
        assert_eq!(rows.filter(|row| !row.is_empty()).count(), 12, "{text}");
    }

    #[test]
    fn only_the_plain_nets_lose_their_gradient() {
        let text = draw("gradient-flow", &["--depth", "20", "--width", "16", "--batch", "32"]);
        let ratio = |row: &str| -> f64 {
            let line = text.lines().find(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(row));
            let last = line.and_then(|line| line.split_whitespace().last());
            last.and_then(|ratio| ratio.parse().ok()).unwrap_or_else(|| panic!("no {row} in {text}"))
        };
        for (kind, shrinks) in [("plain", true), ("batch norm", false), ("residual", false), ("both", false)] {
            for activation in ["sigmoid", "relu"] {
                let ratio = ratio(&format!("{activation} {kind}"));
                assert_eq!(ratio < 1e-3, shrinks, "{activation}, {kind}: first layer / last layer = {ratio}");
            }
        }
    }

    #[test]
    fn depth_and_shortcuts_change_the_gradient_of_the_first_convolution() {
        let text = draw("depth", &["--depths", "8,26", "--batch", "16"]);
        let ratios = |row: &str| -> [f64; 2] {
            let line = text.lines().find(|line| line.trim().starts_with(row)).unwrap_or_else(|| panic!("{text}"));
            let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            numbers.try_into().unwrap_or_else(|_| panic!("two ratios in {line}"))
        };
        // Batch normalization of many layers one after the other makes the gradient grow towards the input (Yang and others:
        // "A mean field theory of batch normalization", 2019).
        let [plain, residual] = ["plain", "residual"].map(|kind| ratios(&format!("{kind}, with batch norm")));
        assert!(plain[1] > 5.0 * plain[0], "{text}");
        assert!(residual[1] < plain[1] / 2.0, "shortcuts keep it: {text}");
        for kind in ["plain", "residual"] {
            assert!(ratios(&format!("{kind}, without batch norm")).iter().all(|ratio| *ratio > 0.0), "{text}");
        }
    }

    #[test]
    fn all_optimizers_descend_the_landscape() {
        let text = draw("landscape", &["--steps", "300", "--start", "-2.5,1.6"]);
        let ends: Vec<f64> = text.lines().filter_map(|line| line.split("E = ").nth(1)?.parse().ok()).collect();
        assert_eq!(ends.len(), 4, "{text}");
        assert!(ends.iter().all(|&e| e < 0.02), "{text}");
    }

    #[test]
    fn wrong_arguments_and_folders_are_named() {
        let output = run(program("plot").args(["landscape", "--start", "1"]));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("expected two numbers, such as -2.5,1.6"), "{}", stderr(&output));
        let file = tempfile::NamedTempFile::new().expect("a file");
        let output = run(program("plot").arg("landscape").arg("--out").arg(file.path()));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("cannot write {}", file.path().display())), "{}", stderr(&output));
    }
}
