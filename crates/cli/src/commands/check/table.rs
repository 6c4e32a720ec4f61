//! The graded answers of a class as CSV.

use chainrule_explain::checker::{Class, Verdict};

use crate::failure::Failure;

/// One line for each answer; for a file that could not be read, one line with the error.
pub fn csv(class: &Class) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["student", "file", "name", "answer", "exact", "verdict", "mistakes", "remarks"])?;
    for row in &class.rows {
        let report = match &row.outcome {
            Ok(report) => report,
            Err(error) => {
                writer.write_record([&row.who, &row.file, "", "", "", "unreadable", "", error])?;
                continue;
            }
        };
        for line in &report.lines {
            let mistakes: Vec<&str> = match &line.verdict {
                Verdict::Wrong(mistakes) => mistakes.iter().map(|mistake| mistake.kind.name()).collect(),
                _ => Vec::new(),
            };
            let (verdict, mistakes, remarks) =
                (line.verdict.text(), mistakes.join("; "), line.verdict.remarks().join("; "));
            let fields = [&row.who, &row.file, &line.name, &line.given, &line.exact, &verdict, &mistakes, &remarks];
            writer.write_record(fields)?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
