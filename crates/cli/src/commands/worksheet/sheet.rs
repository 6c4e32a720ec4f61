//! A worksheet as Markdown and as HTML, and its key.

use std::fmt::Write as _;

use askama::Template;

use chainrule_explain::checker::formula::{Expression, Formula};
use chainrule_explain::checker::{Name, Question, Worksheet};

use crate::failure::Failure;

/// The sheet for a student; `file` is what is to be filled in.
pub fn markdown(worksheet: &Worksheet, student: &str, file: &str) -> String {
    let mut text = heading(worksheet, student);
    for line in worksheet.description() {
        let _ = writeln!(text, "{line}\n");
    }
    if !worksheet.numbers().is_empty() {
        text += "## Given\n\n";
        let numbers: Vec<String> =
            worksheet.numbers().iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let _ = writeln!(text, "{}\n", numbers.join(", "));
    }
    let _ = writeln!(text, "## Compute\n\n{}\n", instruction(worksheet, file));
    for (step, questions) in by_step(worksheet) {
        if let Some(step) = step {
            let _ = writeln!(text, "### Step {step}\n");
        }
        text += "| name | what | answer |\n|---|---|---|\n";
        for question in questions {
            let _ = writeln!(text, "| `{}` | {} | |", question.name, question.meaning);
        }
        text.push('\n');
    }
    text
}

/// The key: formulas and values.
pub fn key(worksheet: &Worksheet, student: &str) -> String {
    let mut text = heading(worksheet, &format!("{student} (key)"));
    for (step, questions) in by_step(worksheet) {
        if let Some(step) = step {
            let _ = writeln!(text, "### Step {step}\n");
        }
        text += "| name | formula | value |\n|---|---|---|\n";
        for question in questions {
            let formula = question.formula.replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | `{formula}` | {} |", question.name, question.answer);
        }
        text.push('\n');
    }
    if !worksheet.confusions().is_empty() {
        let digits = worksheet.digits();
        let _ = writeln!(text, "With {digits} digits these mistakes cannot be told apart:\n");
        for confusion in worksheet.confusions() {
            let _ = writeln!(text, "- {confusion}");
        }
    }
    text
}

fn heading(worksheet: &Worksheet, student: &str) -> String {
    let student = student.trim();
    let title = worksheet.title();
    if student.is_empty() { format!("# {title}\n\n") } else { format!("# {title}\n\n{student}\n\n") }
}

fn instruction(worksheet: &Worksheet, file: &str) -> String {
    let digits = worksheet.digits();
    let numbers =
        if worksheet.numbers().is_empty() { String::new() } else { format!(" Keep {digits} significant digits.") };
    format!("Compute these in order and write them into `{file}`; a formula in these names is an answer too.{numbers}")
}

/// The questions of each step.
fn by_step(worksheet: &Worksheet) -> Vec<(Option<usize>, Vec<&Question>)> {
    let mut steps: Vec<(Option<usize>, Vec<&Question>)> = Vec::new();
    for question in worksheet.questions() {
        match steps.last_mut() {
            Some((step, questions)) if *step == question.step => questions.push(question),
            _ => steps.push((question.step, vec![question])),
        }
    }
    steps
}

/// A question, with its name as MathML.
type Asked<'a> = (&'a Question, String);

#[derive(Template)]
#[template(path = "worksheet.html")]
struct Page<'a> {
    title: &'a str,
    student: &'a str,
    /// Sentences, or formulas as MathML.
    description: Vec<(String, bool)>,
    numbers: Vec<(String, f64)>,
    instruction: String,
    steps: Vec<(Option<usize>, Vec<Asked<'a>>)>,
    other_names: Vec<&'a Name>,
}

/// The sheet as a page to print.
pub fn html(worksheet: &Worksheet, student: &str, file: &str) -> Result<String, Failure> {
    let description = worksheet.description().into_iter().map(|line| match Formula::parse(&line) {
        Ok(formula) => (formula.to_mathml(), true),
        Err(_) => (line, false),
    });
    let with_math = |question: &'_ Question| name(&question.name);
    let steps = by_step(worksheet);
    let steps = steps.into_iter().map(|(step, questions)| {
        (step, questions.into_iter().map(|question| (question, with_math(question))).collect())
    });
    let page = Page {
        title: worksheet.title(),
        student,
        description: description.collect(),
        numbers: worksheet.numbers().iter().map(|(known, value)| (name(known), *value)).collect(),
        instruction: instruction(worksheet, file).replace('`', ""),
        steps: steps.collect(),
        other_names: worksheet.names().iter().filter(|name| !name.aliases.is_empty()).collect(),
    };
    Ok(page.render()?)
}

/// A name as MathML; `dE_dnet_o` as a fraction.
fn name(name: &str) -> String {
    let symbol = |name: &str| Expression::parse(name).map_or_else(|_| name.to_owned(), |symbol| symbol.to_mathml());
    // What stands between <math …> and </math>.
    let inner = |name: &str| {
        let math = symbol(name);
        let start = math.find('>').map_or(0, |at| at + 1);
        math[start..].trim_end_matches("</math>").to_owned()
    };
    let partial =
        name.strip_prefix('d').and_then(|rest| rest.split_once("_d")).filter(|(_, below)| !below.contains("_via_"));
    match partial {
        Some((above, below)) => {
            let [above, below] = [above, below].map(|part| format!("<mrow><mo>∂</mo>{}</mrow>", inner(part)));
            format!("<math><mfrac>{above}{below}</mfrac></math>")
        }
        None => symbol(name),
    }
}
