//! Worksheets: problems with numbers of their own, the file to fill in, and the key.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use chainrule_tensor::Rng;
use serde::Serialize;

use super::answer::shown;
use super::draw::{Drawn, draw};
use super::kinds::{Biases, Loss, Net, Update};
use super::matrices::Matrices;
use super::sheet::{Kind, Name, Problem, Sheet};

/// A problem with numbers.
#[derive(Clone, Debug)]
pub struct Worksheet {
    title: String,
    problem: Problem,
    numbers: Vec<(String, f64)>,
    digits: usize,
    questions: Vec<Question>,
    names: Vec<Name>,
    confusions: Vec<String>,
}

/// What a worksheet asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The step of the optimizer, if there are several.
    pub step: Option<usize>,
    /// The name.
    pub name: String,
    /// What it is.
    pub meaning: String,
    /// Its formula: for the key.
    pub formula: String,
    /// The right answer: for the key.
    pub answer: String,
}

/// Why no worksheet can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorksheetError(String);

impl fmt::Display for WorksheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WorksheetError {}

/// The head of a file, in the order in which it is written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Head<'a> {
    title: &'a str,
    student: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<&'a Net>,
    #[serde(skip_serializing_if = "Option::is_none")]
    convolution: Option<&'a super::Convolution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_norm: Option<&'a super::BatchNorm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matrices: Option<&'a Matrices>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<Loss>,
}

impl Worksheet {
    /// Draws the numbers of a problem; of a problem on matrices, the sizes. The same seed gives the same numbers.
    /// Numbers are drawn until every known mistake in every answer differs from the right value and from the other
    /// mistakes at so many significant digits, no unit is saturated, and no ReLU is dead. If some mistakes look like others
    /// in every draw, which happens with few digits, they are [`confusions`](Self::confusions).
    ///
    /// # Errors
    /// If the problem makes no sense or no such numbers are found.
    pub fn draw(title: &str, problem: &Problem, seed: u64, digits: usize) -> Result<Self, WorksheetError> {
        let mut rng = Rng::seed(seed);
        let mut problem = problem.clone();
        if let Kind::Matrices(matrices) = &mut problem.kind {
            let mut sizes: Vec<usize> = (2..=7).collect();
            let mut draw = || sizes.remove(rng.below(sizes.len() as u32) as usize);
            matrices.batch = draw();
            matrices.layers.iter_mut().for_each(|size| *size = draw());
        }
        problem.check().map_err(WorksheetError)?;
        let title = title.to_owned();
        if let Kind::Matrices(matrices) = &problem.kind {
            let (questions, names) = (matrices.questions(), matrices.names());
            let (numbers, confusions) = (Vec::new(), Vec::new());
            return Ok(Self { title, problem, numbers, digits, questions, names, confusions });
        }
        let Drawn { numbers, chain, confusions } = draw(&problem, &mut rng, digits).map_err(WorksheetError)?;
        let exact = chain.exact();
        let step_of = |id| (1..=chain.steps()).find(|&step| chain.names(step).any(|(_, known)| known == id));
        let question = |&id: &usize| {
            let quantity = &chain.quantities[id];
            Question {
                step: step_of(id).filter(|_| chain.steps() > 1),
                name: quantity.name.clone(),
                meaning: quantity.meaning.clone(),
                formula: chain.text(&quantity.expr),
                answer: shown(exact[id], digits),
            }
        };
        let questions = chain.asked.iter().map(question).collect();
        Ok(Self { title, questions, names: super::sheet::names(&chain), numbers, digits, problem, confusions })
    }

    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How many significant digits an answer needs.
    #[must_use]
    pub fn digits(&self) -> usize {
        self.digits
    }

    /// What is asked, in the order of a derivation.
    #[must_use]
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The names of the sheet with their meanings.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The numbers, by name.
    #[must_use]
    pub fn numbers(&self) -> &[(String, f64)] {
        &self.numbers
    }

    /// The mistakes that cannot be told from others on this sheet: `name: mistake looks like mistake`. Usually none.
    #[must_use]
    pub fn confusions(&self) -> &[String] {
        &self.confusions
    }

    /// The problem in sentences and formulas.
    #[must_use]
    pub fn description(&self) -> Vec<String> {
        let mut all = match &self.problem.kind {
            Kind::Dense(net) => describe(net),
            Kind::Convolution(net) => net.description(),
            Kind::BatchNorm(norm) => norm.description(),
            Kind::Matrices(matrices) => return matrices.description(),
        };
        let (outputs, letter) = match &self.problem.kind {
            Kind::Dense(net) => (*net.layers.last().unwrap_or(&1), net.letter(net.layers.len() - 1)),
            Kind::Convolution(_) => (1, "o"),
            Kind::BatchNorm(norm) => (norm.count, "y"),
            Kind::Matrices(_) => (0, ""),
        };
        all.push("The loss:".into());
        all.push(self.problem.loss.formula(outputs, letter));
        all.extend(self.problem.update.iter().flat_map(Update::description));
        all
    }

    /// The file to fill in.
    #[must_use]
    pub fn blank(&self, student: &str) -> String {
        self.file(student, &|_| String::new())
    }

    /// The file with all answers, which passes the check.
    #[must_use]
    pub fn key(&self, student: &str) -> String {
        self.file(student, &|question| question.answer.clone())
    }

    fn file(&self, student: &str, answer: &dyn Fn(&Question) -> String) -> String {
        let Problem { kind, loss, update } = &self.problem;
        let mut head = Head {
            title: &self.title,
            student,
            net: None,
            convolution: None,
            batch_norm: None,
            matrices: None,
            loss: Some(*loss),
        };
        match kind {
            Kind::Dense(net) => head.net = Some(net),
            Kind::Convolution(net) => head.convolution = Some(net),
            Kind::BatchNorm(norm) => head.batch_norm = Some(norm),
            Kind::Matrices(matrices) => (head.matrices, head.loss) = (Some(matrices), None),
        }
        let mut text = toml::to_string(&head).expect("plain data");
        if let Some(update) = update {
            let _ = write!(text, "\n[update]\n{}", update.toml());
        }
        if !self.numbers.is_empty() {
            text += "\n[given]\n";
            for (name, values) in grouped(&self.numbers) {
                let _ = writeln!(text, "{name} = {values}");
            }
        }
        let mut step = None;
        text += "\n# Write the answers between the quotes: numbers with the digits that you kept, or formulas.\n";
        for (i, question) in self.questions.iter().enumerate() {
            if i == 0 || question.step != step {
                step = question.step;
                let table = step.map_or_else(|| "answers".to_owned(), |step| format!("answers.step{step}"));
                let _ = writeln!(text, "{}[{table}]", if i == 0 { "" } else { "\n" });
            }
            let line = format!("{} = \"{}\"", question.name, answer(question));
            let _ = writeln!(text, "{line:<32}# {}", question.meaning);
        }
        text
    }

    /// Whether a file contains answers.
    #[must_use]
    pub fn is_filled_in(text: &str) -> bool {
        // A file that cannot be read has been edited.
        Sheet::parse(text).map_or(true, |sheet| sheet.has_answers())
    }
}

/// `w1 = 0.5`, `w2 = 0.3` as `w = [0.5, 0.3]`, and elements `x11` as rows.
fn grouped(numbers: &[(String, f64)]) -> Vec<(String, String)> {
    let base = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let mut groups: Vec<(String, Vec<(&str, f64)>)> = Vec::new();
    for (name, value) in numbers {
        let base = base(name);
        match groups.iter_mut().find(|(known, _)| *known == base) {
            Some((_, values)) => values.push((name, *value)),
            None => groups.push((base, vec![(name, *value)])),
        }
    }
    let text = |(base, values): (String, Vec<(&str, f64)>)| {
        if let [(name, value)] = values[..] {
            return (name.to_owned(), value.to_string());
        }
        let indices: Vec<&str> = values.iter().map(|(name, _)| &name[base.len()..]).collect();
        let consecutive = indices.iter().enumerate().all(|(i, index)| *index == (i + 1).to_string());
        if consecutive {
            let all: Vec<String> = values.iter().map(|(_, value)| value.to_string()).collect();
            return (base, format!("[{}]", all.join(", ")));
        }
        let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (index, (_, value)) in indices.iter().zip(&values) {
            rows.entry(&index[..1]).or_default().push(value.to_string());
        }
        let rows: Vec<String> = rows.into_values().map(|row| format!("[{}]", row.join(", "))).collect();
        (base, format!("[{}]", rows.join(", ")))
    };
    groups.into_iter().map(text).collect()
}

fn describe(net: &Net) -> Vec<String> {
    let sizes: Vec<String> = net.layers.iter().map(ToString::to_string).collect();
    let mut all = vec![format!("A fully connected {} net on one sample.", sizes.join("-"))];
    let (mut weight, mut bias) = (0, 0);
    for l in 1..net.layers.len() {
        let unit = |layer: usize, k: usize| {
            if net.layers[layer] == 1 {
                net.letter(layer).to_owned()
            } else {
                format!("{}{}", net.letter(layer), k + 1)
            }
        };
        let activation = net.activations[l - 1];
        let softmax = activation == super::Activation::Softmax;
        for k in 0..net.layers[l] {
            let mut terms: Vec<String> = (0..net.layers[l - 1])
                .map(|j| {
                    weight += 1;
                    format!("w{weight} · {}", unit(l - 1, j))
                })
                .collect();
            if net.biases == Biases::Unit || net.biases == Biases::Layer && k == 0 {
                bias += 1;
            }
            if net.biases != Biases::None {
                terms.push(format!("b{bias}"));
            }
            let sum = terms.join(" + ");
            let out = unit(l, k);
            all.push(match activation {
                super::Activation::Linear => format!("{out} = {sum}"),
                super::Activation::Softmax => format!("z{} = {sum}", k + 1),
                _ => format!("net_{out} = {sum}, {out} = {}(net_{out})", activation.symbol()),
            });
        }
        if softmax {
            let n = net.layers[l];
            let sum: Vec<String> = (1..=n).map(|k| format!("exp(z{k})")).collect();
            all.push(format!("pₖ = exp(zₖ) / ({})", sum.join(" + ")));
        }
    }
    all
}
