//! The files of a class: `sheets`, `answers` and `keys`.

use std::fs;
use std::path::{Path, PathBuf};

use chainrule_explain::checker::Worksheet;

use super::sheet;
use crate::failure::Failure;

/// The folder of a class.
pub struct Folder<'a> {
    out: &'a Path,
    students: &'a [String],
}

impl<'a> Folder<'a> {
    pub fn new(out: &'a Path, students: &'a [String]) -> Self {
        Self { out, students }
    }

    /// `answers/07-ada-lovelace.toml`.
    fn path(&self, folder: &str, n: usize, extension: &str) -> PathBuf {
        let plain: String =
            self.students[n].to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let name = if plain.is_empty() { String::new() } else { format!("-{plain}") };
        let width = self.students.len().to_string().len().max(2);
        self.out.join(folder).join(format!("{:0width$}{name}.{extension}", n + 1))
    }

    /// An error if a file that would be written contains answers.
    pub fn refuse_to_overwrite(&self) -> Result<(), Failure> {
        let filled_in = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| Worksheet::is_filled_in(&text));
        let paths = (0..self.students.len()).map(|n| self.path("answers", n, "toml"));
        let filled: Vec<PathBuf> = paths.filter(filled_in).collect();
        let Some(first) = filled.first() else { return Ok(()) };
        let others = if filled.len() == 1 { String::new() } else { format!(" (and {} more)", filled.len() - 1) };
        let first = first.display();
        Err(Failure::Input(format!(
            "{first}{others} has answers or was changed; choose another --out, or --force to overwrite it"
        )))
    }

    /// Writes the files of one student.
    pub fn write(&self, n: usize, worksheet: &Worksheet) -> Result<(), Failure> {
        let student = &self.students[n];
        let answers = self.path("answers", n, "toml");
        let file = answers.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let write = |path: PathBuf, text: String| {
            let error = |error: std::io::Error| Failure::Input(format!("{}: {error}", path.display()));
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(error)?;
            fs::write(&path, text).map_err(error)
        };
        write(self.path("sheets", n, "md"), sheet::markdown(worksheet, student, &file))?;
        write(self.path("sheets", n, "html"), sheet::html(worksheet, student, &file)?)?;
        write(self.path("keys", n, "toml"), worksheet.key(student))?;
        write(self.path("keys", n, "md"), sheet::key(worksheet, student))?;
        write(answers, worksheet.blank(student))
    }
}
