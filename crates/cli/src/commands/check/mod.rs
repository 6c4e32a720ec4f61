//! Checks derivations done by hand.

mod html;
mod table;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use chainrule_explain::checker::{Class, Row, Sheet};
use clap::Args;

use crate::failure::Failure;

/// Checks a derivation done by hand, or those of a whole class
///
/// An answer passes if it fits the exact value, or follows from the earlier answers on the same sheet. The mistake of a wrong
/// answer is named. The exit code is 0 if all answers pass, 1 if not, and 2 if a file cannot be read.
#[derive(Args)]
pub struct Arguments {
    /// A sheet (TOML), or a folder of sheets: a class
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Lists the names that answers and formulas of the sheet can use, with their meanings, and checks nothing
    #[arg(long, conflicts_with_all = ["csv", "html"])]
    explain_names: bool,
    /// Also writes every graded answer as a line of this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Also writes the report as this HTML file, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.path;
    let class = if path.is_dir() {
        if arguments.explain_names {
            return Err(Failure::Usage("--explain-names: expected a sheet, not a folder".into()));
        }
        let class = Class { rows: files(path)?.iter().map(|file| graded(file)).collect() };
        anstream::print!("{}", text::class(&class));
        class
    } else {
        let sheet = read(path).map_err(|error| Failure::Input(format!("{}: {error}", path.display())))?;
        if arguments.explain_names {
            print!("{}", text::names(&sheet));
            return Ok(());
        }
        let report = sheet.grade();
        anstream::print!("{}", text::sheet(&sheet, &report));
        Class { rows: vec![Row { who: who(&sheet, path), file: path.display().to_string(), outcome: Ok(report) }] }
    };
    let written = |file: &Path, text: String| {
        fs::write(file, text).map_err(|error| Failure::Input(format!("{}: {error}", file.display())))
    };
    if let Some(file) = &arguments.csv {
        written(file, table::csv(&class)?)?;
    }
    if let Some(file) = &arguments.html {
        written(file, html::page(&class)?)?;
    }
    let bad = class.rows.iter().filter(|row| row.outcome.is_err()).count();
    match (bad, class.all_right()) {
        (0, true) => Ok(()),
        (0, false) => Err(Failure::Found),
        (1, _) => Err(Failure::Input("a file could not be read".into())),
        _ => Err(Failure::Input(format!("{bad} files could not be read"))),
    }
}

/// The sheets in a folder, sorted by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let error = |error: std::io::Error| Failure::Input(format!("{}: {error}", folder.display()));
    let entries = fs::read_dir(folder).map_err(error)?.collect::<Result<Vec<_>, _>>().map_err(error)?;
    let paths = || entries.iter().map(fs::DirEntry::path);
    let mut files: Vec<PathBuf> = paths().filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    if !files.is_empty() {
        return Ok(files);
    }
    let has_answers = paths().any(|path| path.is_dir() && path.ends_with("answers"));
    let folder = folder.display();
    let hint = if has_answers { format!("; the answers of worksheets are in {folder}/answers") } else { String::new() };
    Err(Failure::Input(format!("{folder}: there are no sheets (*.toml) in this folder{hint}")))
}

fn read(path: &Path) -> Result<Sheet, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Sheet::parse(&text).map_err(|error| error.to_string())
}

fn graded(path: &Path) -> Row {
    let file = path.display().to_string();
    match read(path) {
        Ok(sheet) => Row { who: who(&sheet, path), file, outcome: Ok(sheet.grade()) },
        Err(error) => Row { who: stem(path), file, outcome: Err(error) },
    }
}

/// The student's name, otherwise that of the file.
fn who(sheet: &Sheet, path: &Path) -> String {
    sheet.student().map_or_else(|| stem(path), str::to_owned)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}
