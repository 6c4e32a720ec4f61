//! What docs/onnx.md says of the operators.

use chainrule_onnx::{EXPORTED, IMPORTED};

const DOCUMENT: &str = include_str!("../../../docs/onnx.md");

#[test]
fn the_tables_are_those_of_the_code() {
    let rows: Vec<String> =
        EXPORTED.iter().map(|(operation, operators)| format!("| `{operation}` | {operators} |")).collect();
    let found: Vec<&str> = DOCUMENT.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, rows);
    let (_, list) = DOCUMENT.split_once("These operators are read:\n\n").expect("the list");
    let (list, _) = list.split_once(".\n").expect("its end");
    let names: Vec<&str> =
        list.split([',', '\n']).map(|name| name.trim().trim_matches('`')).filter(|name| !name.is_empty()).collect();
    assert_eq!(names, IMPORTED);
}
