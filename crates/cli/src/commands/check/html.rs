//! The report as one HTML file.

use askama::Template;
use chainrule_explain::checker::{Class, Common, Report};

use super::text::{counts, sentence};
use crate::failure::Failure;

#[derive(Template)]
#[template(path = "class.html")]
struct Page<'a> {
    rows: Vec<Student<'a>>,
    common: Vec<Common>,
    /// The number of students with the most common mistake.
    most: usize,
}

struct Student<'a> {
    who: &'a str,
    file: &'a str,
    /// Right, following, wrong, unclear and missing answers.
    counts: [usize; 5],
    mistakes: String,
    sentence: String,
    lines: Vec<Answer<'a>>,
    error: Option<&'a str>,
}

struct Answer<'a> {
    name: &'a str,
    given: &'a str,
    exact: &'a str,
    verdict: String,
    /// `pass`, `wrong` or `open`: for its color.
    class: &'static str,
    remarks: Vec<String>,
}

/// The page of a class: a table, the common mistakes, and every sheet.
pub fn page(class: &Class) -> Result<String, Failure> {
    let rows = class.rows.iter().map(|row| {
        let report = row.outcome.as_ref().ok();
        Student {
            who: &row.who,
            file: &row.file,
            counts: report.map_or([0; 5], counts),
            mistakes: row.mistakes().join("; "),
            sentence: report.map_or_else(String::new, sentence),
            lines: report.map_or_else(Vec::new, answers),
            error: row.outcome.as_ref().err().map(String::as_str),
        }
    });
    let common = class.common_mistakes();
    let most = common.first().map_or(1, |common| common.students.len());
    Ok(Page { rows: rows.collect(), common, most }.render()?)
}

fn answers(report: &Report) -> Vec<Answer<'_>> {
    let answers = report.lines.iter().map(|line| Answer {
        name: &line.name,
        given: &line.given,
        exact: &line.exact,
        verdict: line.verdict.text(),
        class: match &line.verdict {
            verdict if verdict.passes() => "pass",
            verdict if verdict.is_wrong() => "wrong",
            _ => "open",
        },
        remarks: line.verdict.remarks(),
    });
    answers.collect()
}
