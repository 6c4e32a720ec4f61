//! The reports as text for a terminal of 80 columns.

use std::fmt::Write as _;

use chainrule_explain::checker::{Class, Report, Sheet, Verdict};

/// The width that lines are wrapped to.
const WIDTH: usize = 80;

/// Widths of the columns for the student's and the exact value; longer ones are shown below.
const VALUE: usize = 16;

/// A graded sheet: one line for each answer, what is wrong with it below, and a sentence.
pub fn sheet(sheet: &Sheet, report: &Report) -> String {
    let mut text = heading(sheet);
    let names = report.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).clamp(4, 22);
    let row = |name: &str, yours: &str, exact: &str, verdict: &str| {
        format!("{}  {}  {}  {verdict}\n", padded(name, names), padded(yours, VALUE), padded(exact, VALUE))
    };
    text += &row("name", "yours", "exact", "verdict");
    for line in &report.lines {
        let fits = line.given.chars().count() <= VALUE && line.exact.chars().count() <= VALUE;
        let verdict = colored(&line.verdict);
        if fits {
            text += &row(&line.name, &line.given, &line.exact, &verdict);
        } else {
            text += &row(&line.name, "", "", &verdict);
            text += &wrapped(&format!("yours: {}", line.given), 4);
            if !line.verdict.passes() {
                text += &wrapped(&format!("exact: {}", line.exact), 4);
            }
        }
        for remark in line.verdict.remarks() {
            text += &wrapped(&remark, 4);
        }
    }
    text += "\n";
    text += &wrapped(&sentence(report), 0);
    text
}

fn heading(sheet: &Sheet) -> String {
    let parts: Vec<&str> =
        [sheet.title(), sheet.student().unwrap_or("")].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { wrapped(&parts.join(" · "), 0) + "\n" }
}

/// The numbers of right, following, wrong, unclear and missing answers.
pub fn counts(report: &Report) -> [usize; 5] {
    let right = report.count(|verdict| *verdict == Verdict::Right);
    [
        right,
        report.count(Verdict::passes) - right,
        report.count(Verdict::is_wrong),
        report.count(|verdict| matches!(verdict, Verdict::CannotTell(_))),
        report.count(|verdict| *verdict == Verdict::Blank),
    ]
}

/// The result in a sentence.
pub fn sentence(report: &Report) -> String {
    let [right, follow, wrong, unclear, blank] = counts(report);
    let all = report.lines.len();
    if all == 0 {
        return "There are no answers.".into();
    }
    let mut parts = vec![format!("{right} of {all} answers are right")];
    let mut part = |n: usize, one: &str, many: &str| {
        if n > 0 {
            parts.push(format!("{n} {}", if n == 1 { one } else { many }));
        }
    };
    part(follow, "follows from your earlier values", "follow from your earlier values");
    part(wrong, "is wrong", "are wrong");
    part(unclear, "has too few digits to tell", "have too few digits to tell");
    part(blank, "is missing", "are missing");
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { format!("{last}.") } else { format!("{} and {last}.", parts.join(", ")) }
}

/// A class: one line for each student, the mistakes of the students below, the common mistakes, and a sentence.
pub fn class(class: &Class) -> String {
    let names = class.rows.iter().map(|row| row.who.chars().count()).max().unwrap_or(0).clamp(3, 30);
    let mut text = format!("{}  right  follow  wrong  unclear  missing\n", padded("who", names));
    for row in &class.rows {
        match &row.outcome {
            Ok(report) => {
                let counts = counts(report).map(|n| if n == 0 { String::new() } else { n.to_string() });
                let [right, follow, wrong, unclear, blank] = counts;
                let line = format!(
                    "{}  {right:>5}  {follow:>6}  {wrong:>5}  {unclear:>7}  {blank:>7}",
                    padded(&row.who, names)
                );
                text += line.trim_end();
                text.push('\n');
                if !row.mistakes().is_empty() {
                    text += &wrapped(&row.mistakes().join("; "), 4);
                }
            }
            Err(error) => {
                let _ = writeln!(text, "{}  cannot be read:", padded(&row.who, names));
                for line in error.lines() {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
    }
    let common = class.common_mistakes();
    if !common.is_empty() {
        text += "\ncommon mistakes (an answer that several mistakes give counts for each)\n";
        text += "students  answers\n";
        for mistake in &common {
            let _ = writeln!(text, "{:>8}  {:>7}  {}", mistake.students.len(), mistake.answers, mistake.name());
        }
    }
    let all = class.rows.len();
    let right = class.rows.iter().filter(|row| row.outcome.as_ref().is_ok_and(Report::all_right)).count();
    text + &format!("\n{right} of {all} sheets {} without a mistake.\n", if right == 1 { "is" } else { "are" })
}

/// The names of a sheet with their meanings.
pub fn names(sheet: &Sheet) -> String {
    let mut text = heading(sheet);
    let names = sheet.names();
    let width = names.iter().map(|name| name.name.chars().count()).max().unwrap_or(0);
    for name in &names {
        let also = if name.aliases.is_empty() { String::new() } else { format!(" (also {})", name.aliases.join(", ")) };
        let _ = writeln!(text, "{}  {}{also}", padded(&name.name, width), name.meaning);
    }
    text
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

/// Lines of at most [`WIDTH`] characters with an indent; continuations are indented twice.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut line = " ".repeat(indent);
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &line;
            lines.push('\n');
            line = " ".repeat(2 * indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    lines + &line + "\n"
}

/// The verdict in color; printing to anything but a terminal removes the codes.
fn colored(verdict: &Verdict) -> String {
    let color = match verdict {
        Verdict::Right | Verdict::Follows | Verdict::SameMistake(_) => 32,
        Verdict::Wrong(_) | Verdict::WrongTooShort => 31,
        Verdict::CannotTell(_) | Verdict::Blank => 33,
    };
    format!("\x1b[{color}m{}\x1b[0m", verdict.text())
}
