//! Damaged answer sheets: an error with its place or another grade, never a panic.

#[path = "../../data/tests/mutator/mod.rs"]
mod mutator;

use std::fs;
use std::path::Path;

use chainrule_explain::checker::Sheet;

#[test]
fn damaged_sheets_are_errors_or_graded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/derivations");
    for name in ["mazur-slips.toml", "symbols-slips.toml", "two-neurons-slip.toml"] {
        let whole = fs::read(folder.join(name)).expect("the sheet");
        let (mut graded, mut refused) = (0, 0);
        mutator::each_damaged(&whole, |bytes| {
            // As the program does, which names a file that is no UTF-8.
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            match Sheet::parse(text) {
                Ok(sheet) => {
                    let report = sheet.grade();
                    assert!(!report.lines.is_empty() || !sheet.has_answers());
                    graded += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        });
        assert!(graded > 0 && refused > 0, "{name}: {graded} graded, {refused} refused");
    }
}
