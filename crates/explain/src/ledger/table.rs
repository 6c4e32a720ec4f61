//! A ledger as text, at most 80 columns wide.

use std::fmt;

use super::{Column, Ledger, Row, Verdict};
use chainrule_autograd::TangentSource;

/// The width of the first column.
const NAME: usize = 22;

impl Row {
    /// The element as `name[i,j]`; the name alone for a scalar.
    pub fn element(&self) -> String {
        if self.index.is_empty() {
            return self.parameter.clone();
        }
        let index: Vec<String> = self.index.iter().map(usize::to_string).collect();
        format!("{}[{}]", self.parameter, index.join(","))
    }
}

impl Verdict {
    /// One word.
    fn word(self) -> &'static str {
        match self {
            Self::Agree => "",
            Self::Kink => "kink",
            Self::Unresolved => "rough",
            Self::Edge => "edge",
            Self::ReverseWrong | Self::ForwardWrong => "WRONG",
        }
    }
}

/// The letter of a source in the table.
fn letter(source: TangentSource) -> char {
    match source {
        TangentSource::Forward => ' ',
        TangentSource::Slope => 's',
        TangentSource::Backward => 'b',
        TangentSource::OneHot => '1',
    }
}

const LEGEND: [(TangentSource, &str); 3] = [
    (TangentSource::Slope, "s: some tangents use the same local derivative f′ as the rule"),
    (TangentSource::Backward, "b: some tangents are derived from the rule's backward"),
    (TangentSource::OneHot, "1: some tangents are read from the rule's backward with one-hot dy"),
];

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} partial derivatives of L = {}", self.rows.len(), self.partials, self.loss)?;
        writeln!(f)?;
        writeln!(f, "{:<NAME$}{:>14}{:>14}{:>14}{:>7}", "∂L/∂", "reverse", "forward", "difference", "±")?;
        for row in &self.rows {
            row_text(f, row)?;
        }
        writeln!(f)?;
        let used = |source| self.rows.iter().any(|row| row.source == source);
        if used(TangentSource::Forward) {
            writeln!(f, "forward without a letter is independent of the rules that reverse mode uses")?;
        }
        for (_, text) in LEGEND.iter().filter(|(source, _)| used(*source)) {
            writeln!(f, "{text}")?;
        }
        self.summary(f)
    }
}

fn row_text(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let name = row.element();
    if name.chars().count() < NAME {
        write!(f, "{name:<NAME$}")?;
    } else {
        write!(f, "{name}\n{:NAME$}", "")?;
    }
    let error = row.difference.error;
    let line = format!(
        "{:>14.7e}{:>14.7e}{:>14.7e}{error:>7.0e} {} {}",
        row.reverse,
        row.forward,
        row.difference.value,
        letter(row.source),
        row.verdict.word()
    );
    writeln!(f, "{}", line.trim_end())?;
    if let Some(kink) = &row.kink {
        writeln!(f, "{:NAME$}  {} has a kink at {:?}", "", kink.rule, kink.index)?;
    }
    Ok(())
}

impl Ledger {
    /// The last lines of the text: how many rows agree, within what, and what is wrong.
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tolerance, floor) = (self.options.tolerance, self.options.floor);
        writeln!(
            f,
            "{} of {} agree within {tolerance:.0e} relative or {floor:.0e} absolute",
            self.count(Verdict::Agree),
            self.rows.len()
        )?;
        let zero = |row: &&Row| [row.reverse, row.forward, row.difference.value].iter().all(|&value| value == 0.0);
        let zeros = self.rows.iter().filter(zero).count();
        if zeros > 0 {
            writeln!(f, "{zeros} of them are 0 in all columns")?;
        }
        for (verdict, text) in [
            (Verdict::Kink, "at a kink: the slopes on both sides differ, and reverse mode is between them"),
            (Verdict::Unresolved, "rough: the differences are too inexact to tell"),
            (Verdict::Edge, "edge: the function or a slope is not finite there"),
            (Verdict::ReverseWrong, "WRONG: reverse mode differs from the differences"),
            (Verdict::ForwardWrong, "WRONG: forward mode differs from both others"),
        ] {
            if self.count(verdict) > 0 {
                writeln!(f, "{} {text}", self.count(verdict))?;
            }
        }
        if let Some(guilty) = &self.guilty {
            writeln!(f)?;
            match guilty.column {
                Column::Reverse => {
                    writeln!(f, "The wrong rule is that of '{}' (operation {}),", guilty.rule, guilty.operation)?;
                }
                Column::Forward => {
                    writeln!(f, "The wrong tangent is that of '{}' (operation {}),", guilty.rule, guilty.operation)?;
                }
            }
            wrapped(f, "inputs", &guilty.inputs.join(", "))?;
            wrapped(f, "rule", &guilty.derivative)?;
            wrapped(f, "at", &guilty.at)?;
            writeln!(f, "  by the rule     {:>14.7e}", guilty.by_rule)?;
            writeln!(f, "  by differences  {:>14.7e}", guilty.by_differences)?;
        } else if !self.passed() {
            writeln!(f, "The wrong rule was not found: with larger steps all operations agree.")?;
        }
        Ok(())
    }
}

/// A label and a text, in lines of at most 80 columns.
fn wrapped(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    let mut line = format!("  {label:<8}");
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() > 79 {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(10);
        }
        line += word;
        line += " ";
    }
    writeln!(f, "{}", line.trim_end())
}
