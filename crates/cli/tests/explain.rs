//! `chainrule explain` and `chainrule two-neurons --html` as their users run them.

use std::fs;

use crate::training::{program, run, stderr};
use serde_json::Value;
use tempfile::TempDir;

/// What a run prints.
fn printed(arguments: &[&str]) -> String {
    let output = run(program("explain").args(arguments));
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("the output is text")
}

/// The data in a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).expect("the page has data");
    serde_json::from_str(rest.split_once("</script>").expect("the data end").0).expect("the data are JSON")
}

#[test]
fn every_number_of_the_two_neurons_is_printed() {
    let text = printed(&["--net", "two-neurons"]);
    for line in ["o      y = 1/(1 + e^(−x))  1/(1 + e⁻⁴)", "dx = dy · y(1 − y)  (−0.0179862) · 0.982014(1 − 0.982014)"]
    {
        assert!(text.contains(line), "no '{line}' in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colors are for terminals");
}

#[test]
fn an_element_is_explained_to_a_depth() {
    let text = printed(&["--net", "xor", "--element", "w1[0,1]", "--depth", "2", "--terms", "1"]);
    for piece in ["(4, 2)ᵀ·(4, 2)", "∂E/∂w1[0,1]", "└ a[1,0]", "  └ h[1,0]", "They differ by"] {
        assert!(text.contains(piece), "no '{piece}' in\n{text}");
    }
    assert!(!text.contains("z[1,0]"), "that is level 3:\n{text}");
    let text = printed(&["--net", "resnet-block", "--element", "x[0,0,1,1]", "--zoom", "net"]);
    assert!(text.contains("bn1.weight") && text.contains("├ conv1[0,"), "{text}");
}

#[test]
fn a_finite_difference_stands_beside_the_gradient() {
    let numbers = |net: &str, element: &str| {
        let text = printed(&["--net", net, "--element", element, "--depth", "1"]);
        let after = |piece: &str| -> f64 {
            let rest = text.split(piece).nth(1).unwrap_or_else(|| panic!("no '{piece}' in\n{text}"));
            let number = rest.split_whitespace().next().unwrap_or_default().trim_end_matches(['.', ';']);
            number.parse().unwrap_or_else(|_| panic!("'{number}' is no number"))
        };
        [after("the engine has "), after(&format!("with respect to {element} is "))]
    };
    for (net, element) in [("two-neurons", "w1"), ("xor", "w1[0,1]"), ("mnist", "conv1.weight[0,0,1,1]")] {
        let [gradient, difference] = numbers(net, element);
        // Six digits are printed, and the net of mnist is explained in f32.
        assert!((gradient - difference).abs() < 1e-5 * gradient.abs(), "{net}: {gradient}, {difference}");
    }
    let text = printed(&["--net", "mnist", "--element", "image[0,0,14,14]", "--depth", "1"]);
    assert!(!text.contains("By differences"), "an image is no parameter:\n{text}");
}

#[test]
fn wrong_elements_are_answered_with_what_exists() {
    let error = |element: &str| {
        let output = run(program("explain").args(["--net", "xor", "--element", element]));
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    assert!(
        error("w3[0,1]")
            .contains("does not depend on 'w3'\n  help: these have a gradient: w1 (2, 2), b1 (2), a (4, 2)")
    );
    assert!(error("w1[2,0]").contains("w1[2,0] does not exist\n  w1 has the shape (2, 2)"));
    assert!(error("w1[0,1").contains("'w1[0,1' is not an element"));
}

#[test]
fn pages_and_markdown_are_written() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let output = run(program("two-neurons").arg("--html").arg(path("two.html")));
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(path("two.html")).expect("it was written");
    assert!(page.len() < 300_000, "{} bytes", page.len());
    let found = data(&page);
    let w5 = found["variables"].as_array().expect("a list").iter().find(|v| v["name"] == "w5").expect("it is a weight");
    assert_eq!(w5["gradient"][0].as_f64(), Some(-0.001_270_740_569_803_971_2));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let allowed = page.replace("http://www.w3.org/1998/Math/MathML", "").replace("http://www.w3.org/2000/svg", "");
        assert!(
            !allowed.contains(outside) || outside == "url(" && allowed.contains("url(data:"),
            "the page has {outside}"
        );
    }
    let markdown = path("xor.md");
    let output = run(program("explain").args(["--net", "xor", "--element", "w2[0,1]", "--markdown"]).arg(&markdown));
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    let text = fs::read_to_string(markdown).expect("it was written");
    assert!(text.contains("## z: linear") && text.contains("| **∂E/∂w2[0,1]** |"), "{text}");
    let lost = run(program("explain").args(["--net", "xor", "--html", "/nowhere/page.html"]));
    assert!(stderr(&lost).contains("cannot write /nowhere/page.html"), "{}", stderr(&lost));
}
