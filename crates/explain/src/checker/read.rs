//! Reading sheets from TOML. Numbers and answers are taken as they are written, since their digits count.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::answer::Answer;
use super::chain::Chain;
use super::expression::Id;
use super::grade::Entry;
use super::kinds::{BatchNorm, Convolution, Loss, Net, Update};
use super::matrices::{self, Matrices};
use super::sheet::{Kind, Problem, Sheet, SheetError, Work};

const KINDS: &str = "[net], [convolution], [batch-norm], [matrices]";

/// The file, without the numbers and the answers, whose digits count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    title: String,
    student: Option<String>,
    net: Option<Spanned<Net>>,
    convolution: Option<Spanned<Convolution>>,
    batch_norm: Option<Spanned<BatchNorm>>,
    matrices: Option<Spanned<Matrices>>,
    #[serde(default)]
    loss: Loss,
    update: Option<Update>,
    #[serde(default, rename = "given")]
    _given: toml::Table,
    #[serde(default, rename = "answers")]
    _answers: toml::Table,
}

/// A text with the positions of its lines.
struct Source<'a>(&'a str);

impl Source<'_> {
    fn error(&self, at: &Range<usize>, message: impl Into<String>) -> SheetError {
        let line = 1 + self.0[..at.start].matches('\n').count();
        SheetError { line: Some(line), message: message.into() }
    }

    fn of_toml(&self, error: &toml::de::Error) -> SheetError {
        match error.span() {
            Some(span) => self.error(&span, error.message()),
            None => SheetError { line: None, message: error.message().to_owned() },
        }
    }
}

/// The title and the student.
struct Title {
    title: String,
    student: Option<String>,
}

/// Reads the problem of a sheet, without its numbers.
pub(super) fn problem(text: &str) -> Result<Problem, SheetError> {
    head(&Source(text)).map(|(_, problem)| problem)
}

fn head(source: &Source) -> Result<(Title, Problem), SheetError> {
    let file: File = toml::from_str(source.0).map_err(|error| source.of_toml(&error))?;
    let title = Title { title: file.title, student: file.student };
    let kinds = [
        file.net.map(|net| (net.span(), Kind::Dense(net.into_inner()))),
        file.convolution.map(|net| (net.span(), Kind::Convolution(net.into_inner()))),
        file.batch_norm.map(|norm| (norm.span(), Kind::BatchNorm(norm.into_inner()))),
        file.matrices.map(|matrices| (matrices.span(), Kind::Matrices(matrices.into_inner()))),
    ];
    let mut kinds = kinds.into_iter().flatten();
    let missing = || SheetError { line: None, message: format!("the sheet has no kind: expected one of {KINDS}") };
    let (span, kind) = kinds.next().ok_or_else(missing)?;
    if let Some((span, _)) = kinds.next() {
        return Err(source.error(&span, format!("a second kind of sheet; keep one of {KINDS}")));
    }
    let problem = Problem { kind, loss: file.loss, update: file.update };
    problem.check().map_err(|message| source.error(&span, message))?;
    Ok((title, problem))
}

/// Reads a sheet.
pub(super) fn sheet(text: &str) -> Result<Sheet, SheetError> {
    let source = Source(text);
    let (Title { title, student }, problem) = head(&source)?;
    let table = DeTable::parse(text).map_err(|error| source.of_toml(&error))?;
    let numbers = given(&source, table.get_ref())?;
    let work = if let Kind::Matrices(matrices) = &problem.kind {
        Work::Matrices(matrices.clone(), answers_of_matrices(&source, table.get_ref(), matrices)?)
    } else {
        let chain = filled_in(&source, &problem, &numbers)?;
        let answers = answers(&source, table.get_ref(), &chain)?;
        Work::Chain(Box::new(chain), answers)
    };
    Ok(Sheet { title, student, problem, work })
}

/// The numbers of `[given]`, arrays by element: `w = [0.1, 0.2]` is w1 and w2.
fn given(source: &Source, table: &DeTable) -> Result<BTreeMap<String, (f64, Range<usize>)>, SheetError> {
    let mut numbers = BTreeMap::new();
    let Some(given) = table.get("given").and_then(|given| given.get_ref().as_table()) else { return Ok(numbers) };
    for (key, value) in given {
        elements(source, key.get_ref(), value, &mut numbers)?;
    }
    Ok(numbers)
}

fn elements(
    source: &Source,
    name: &str,
    value: &Spanned<DeValue>,
    numbers: &mut BTreeMap<String, (f64, Range<usize>)>,
) -> Result<(), SheetError> {
    let digits = match value.get_ref() {
        DeValue::Array(array) => {
            let mut all = array.iter().enumerate();
            return all.try_for_each(|(i, value)| elements(source, &format!("{name}{}", i + 1), value, numbers));
        }
        DeValue::Integer(integer) => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        other => {
            let found = other.type_str();
            return Err(source.error(&value.span(), format!("given: {name} is no number but a {found}")));
        }
    };
    let number: f64 = digits.replace('_', "").parse().unwrap_or(f64::NAN);
    if !number.is_finite() {
        return Err(source.error(&value.span(), format!("given: {name} = {digits}: expected a finite number")));
    }
    if numbers.insert(name.to_owned(), (number, value.span())).is_some() {
        return Err(source.error(&value.span(), format!("given: {name} has two values")));
    }
    Ok(())
}

/// The chain of the problem with the numbers of the sheet.
fn filled_in(
    source: &Source,
    problem: &Problem,
    numbers: &BTreeMap<String, (f64, Range<usize>)>,
) -> Result<Chain, SheetError> {
    let (mut used, mut missing) = (BTreeSet::new(), Vec::new());
    let chain = problem.chain(&mut |name, _| {
        used.insert(name.to_owned());
        numbers.get(name).map_or_else(
            || {
                missing.push(name.to_owned());
                f64::NAN
            },
            |(number, _)| *number,
        )
    });
    let chain = chain.expect("matrices are graded elsewhere");
    if !missing.is_empty() {
        let message = format!("given: no number for {}", missing.join(", "));
        return Err(SheetError { line: None, message });
    }
    match numbers.iter().find(|(name, _)| !used.contains(*name)) {
        Some((name, (_, span))) => {
            let all: Vec<&str> = used.iter().map(String::as_str).collect();
            Err(source.error(span, format!("given: {name} is no number of this sheet, which has {}", all.join(", "))))
        }
        None => Ok(chain),
    }
}

/// The answers in the order of the file. Those of later steps are in tables `step2`, `step3`, …
fn answers(source: &Source, table: &DeTable, chain: &Chain) -> Result<Vec<Entry>, SheetError> {
    let mut entries: Vec<(Range<usize>, Entry)> = Vec::new();
    let Some(answers) = table.get("answers").and_then(|answers| answers.get_ref().as_table()) else {
        return Ok(Vec::new());
    };
    for (key, value) in answers {
        let step = key.get_ref().strip_prefix("step").and_then(|n| n.parse::<usize>().ok());
        match (value.get_ref(), step) {
            (DeValue::Table(answers), Some(step)) if (1..=chain.steps()).contains(&step) => {
                for (key, value) in answers {
                    entries.push((key.span(), entry(source, chain, step, key, value)?));
                }
            }
            (DeValue::Table(_), _) => {
                let steps = chain.steps();
                let message =
                    format!("answers: unknown table '{}'; this sheet has {steps} step(s): 'step1', …", key.get_ref());
                return Err(source.error(&key.span(), message));
            }
            _ => entries.push((key.span(), entry(source, chain, 1, key, value)?)),
        }
    }
    entries.sort_by_key(|(span, _)| span.start);
    let mut seen: BTreeMap<Id, String> = BTreeMap::new();
    for (span, entry) in &entries {
        if let Some(other) = seen.insert(entry.id, entry.name.clone()) {
            let message = format!("answers: {} is answered twice, also as {other}", entry.name);
            return Err(source.error(span, message));
        }
    }
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn entry(
    source: &Source,
    chain: &Chain,
    step: usize,
    key: &Spanned<Cow<str>>,
    value: &Spanned<DeValue>,
) -> Result<Entry, SheetError> {
    let name = key.get_ref().as_ref();
    let Some(id) = chain.id(step, name) else {
        let similar = similar(chain, step, name).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        let message = format!("answers: this sheet has no {name}{similar} (--explain-names lists all names)");
        return Err(source.error(&key.span(), message));
    };
    if chain.is_given(id) {
        return Err(source.error(&key.span(), format!("answers: {name} is given")));
    }
    let text = written(source, name, value)?;
    let answer = Answer::parse(name, &text).map_err(|message| source.error(&value.span(), message))?;
    if let Answer::Formula(formula) = &answer {
        for symbol in &formula.symbols {
            let problem = match chain.id(step, symbol) {
                None => {
                    let similar = similar(chain, step, symbol).map(|name| format!("; did you mean {name}?"));
                    format!("this sheet has no {symbol}{}", similar.unwrap_or_default())
                }
                Some(used) if used == id => format!("{symbol} is what is asked"),
                Some(used) if chain.ancestors(used, &|_| false).contains(&id) => {
                    format!("{symbol} is computed from {name}, so it cannot define it")
                }
                Some(_) => continue,
            };
            return Err(source.error(&value.span(), format!("answers: {name} = {text}: {problem}")));
        }
    }
    let name = if chain.steps() > 1 { format!("step{step}.{name}") } else { name.to_owned() };
    Ok(Entry { id, step, name, text, answer })
}

/// An answer as it was written.
fn written(source: &Source, name: &str, value: &Spanned<DeValue>) -> Result<String, SheetError> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(integer) => Ok(integer.as_str().to_owned()),
        DeValue::Float(float) => Ok(float.as_str().to_owned()),
        DeValue::Array(array) => {
            let items = array.iter().map(|item| written(source, name, item)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        other => {
            let message = format!("answers: {name}: expected a number or a text, not a {}", other.type_str());
            Err(source.error(&value.span(), message))
        }
    }
}

fn answers_of_matrices(
    source: &Source,
    table: &DeTable,
    matrices: &Matrices,
) -> Result<Vec<matrices::Entry>, SheetError> {
    let Some(answers) = table.get("answers").and_then(|answers| answers.get_ref().as_table()) else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    for (key, value) in answers {
        let text = written(source, key.get_ref(), value)?;
        let entry = matrices.entry(key.get_ref(), &text).map_err(|message| source.error(&key.span(), message))?;
        entries.push((key.span().start, entry));
    }
    entries.sort_by_key(|(start, _)| *start);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// The name of the sheet that is most like another: the same but for case, underscores and one character.
fn similar<'a>(chain: &'a Chain, step: usize, name: &str) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '∂', '/'], "");
    let wanted = plain(name);
    let near = |known: &str| {
        let known: Vec<char> = plain(known).chars().collect();
        let wanted: Vec<char> = wanted.chars().collect();
        let front = known.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        let back = known.iter().rev().zip(wanted.iter().rev()).take_while(|(a, b)| a == b).count();
        let longer = known.len().max(wanted.len());
        known.len().abs_diff(wanted.len()) <= 1 && front + back + 1 >= longer
    };
    let mut all: Vec<&str> = chain.names(step).map(|(known, _)| known).filter(|known| near(known)).collect();
    all.sort_by_key(|known| plain(known) != wanted);
    all.first().copied()
}
