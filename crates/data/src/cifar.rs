//! What CIFAR-10 and CIFAR-100 share: records of label bytes and 3072 pixels, in `.bin` files, alone or in an archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::archive::{self, Wanted};
use crate::dataset::{Dataset, Images};
use crate::error::{DataError, Result};
use crate::files;

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;
/// The most bytes of a file of class names.
const MAX_NAMES: u64 = 1 << 16;

/// One of the two datasets, with one of its kinds of labels.
pub(crate) struct Cifar {
    pub name: &'static str,
    /// The files of the training set, and the file of the test set.
    pub train: &'static [&'static str],
    pub test: &'static str,
    /// The most records of a file: as many as the published ones have.
    pub records: usize,
    /// The label bytes of a record, and which of them is the class.
    pub label_bytes: usize,
    pub label: usize,
    /// The file with the class names, if there is one, and the names otherwise.
    pub names_file: &'static str,
    pub classes: &'static [&'static str],
    /// The folder inside the published archive, and the archive without `.tar.gz`.
    pub folder: &'static str,
    pub archive: &'static str,
    /// How the folder and the archive of the Python version begin, which is another format.
    pub python: [&'static str; 2],
}

/// Where the data are.
pub(crate) enum Form {
    Directory(PathBuf),
    Archive(PathBuf),
}

impl Cifar {
    fn record(&self) -> usize {
        self.label_bytes + PIXELS
    }

    /// Reads an archive, or a directory with the archive or its files; `others` are the other forms, for the error.
    pub fn load(&self, path: &Path, others: &[&str]) -> Result<Dataset> {
        match self.find(path) {
            Some(Form::Directory(directory)) => self.load_dir(&directory),
            Some(Form::Archive(archive)) => self.load_archive(&archive),
            None => {
                let files = [self.train[0].into(), format!("{}/{}", self.folder, self.train[0])];
                let archive = format!("{}.tar.gz", self.archive);
                let others = others.iter().map(|&form| form.to_owned());
                Err(self.missing(&files.into_iter().chain([archive]).chain(others).collect::<Vec<_>>(), " or ", path))
            }
        }
    }

    /// Where the data are, if they are at `path`.
    pub fn find(&self, path: &Path) -> Option<Form> {
        if path.is_file() {
            return Some(Form::Archive(path.into()));
        }
        let mut directories = [path.into(), path.join(self.folder)].into_iter();
        let directory = directories
            .find(|directory: &PathBuf| [self.train[0], self.test].iter().any(|name| directory.join(name).is_file()));
        let mut archives = [".tar.gz", ".tar"].into_iter().map(|end| path.join(format!("{}{end}", self.archive)));
        directory.map(Form::Directory).or_else(|| archives.find(|archive| archive.is_file()).map(Form::Archive))
    }

    /// Reads the files of a directory.
    pub fn load_dir(&self, directory: &Path) -> Result<Dataset> {
        let mut contents = BTreeMap::new();
        for Wanted { name, limit } in self.wanted() {
            let path = directory.join(name);
            if path.is_file() {
                contents.insert(name, files::read_within(&path, limit, &self.limited())?);
            }
        }
        self.parse(&contents, directory)
    }

    /// Reads an archive; the name of its top folder does not matter.
    pub fn load_archive(&self, path: &Path) -> Result<Dataset> {
        self.parse(&archive::read(path, &self.wanted(), &self.limited())?, path)
    }

    /// What has the limits of `wanted`, for errors.
    fn limited(&self) -> String {
        format!("a file of {}", self.name)
    }

    fn wanted(&self) -> Vec<Wanted> {
        let limit = (self.records * self.record()) as u64;
        let data = self.train.iter().chain([&self.test]).map(|name| Wanted { name, limit });
        data.chain([Wanted { name: self.names_file, limit: MAX_NAMES }]).collect()
    }

    /// Builds the dataset from file contents by name; `place` is their directory or archive.
    fn parse(&self, contents: &BTreeMap<&str, Vec<u8>>, place: &Path) -> Result<Dataset> {
        let data = self.train.iter().chain([&self.test]);
        let absent: Vec<String> = data.filter(|name| !contents.contains_key(*name)).map(|&name| name.into()).collect();
        if !absent.is_empty() {
            return Err(self.missing(&absent, ", ", place));
        }
        let classes =
            self.class_names(contents.get(self.names_file).map(Vec::as_slice), &place.join(self.names_file))?;
        let set = |names: &[&str]| {
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            for name in names {
                self.parse_file(&contents[name], &place.join(name), &mut pixels, &mut labels)?;
            }
            let [c, h, w] = SHAPE;
            Images::new(pixels, [labels.len(), c, h, w], labels, classes.clone())
        };
        Dataset::new(self.name, set(self.train)?, set(&[self.test])?)
    }

    /// Appends one file's images and labels.
    fn parse_file(&self, bytes: &[u8], path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<()> {
        files::check_start(bytes, path)?;
        let record = self.record();
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            return Err(DataError::WrongLength {
                path: path.into(),
                detail: format!(
                    "{} whole records of {record} bytes, then {}",
                    bytes.len() / record,
                    bytes.len() % record
                ),
                // By far the most common cause is a truncated last record.
                expected: (bytes.len() / record + 1) as u64 * record as u64,
                found: bytes.len() as u64,
            });
        }
        pixels.reserve(bytes.len() / record * PIXELS);
        for (sample, record) in bytes.chunks_exact(record).enumerate() {
            let label = record[self.label];
            if usize::from(label) >= self.classes.len() {
                let expected = 0..=self.classes.len() as i32 - 1;
                return Err(DataError::LabelOutOfRange { path: path.into(), sample, label: label.into(), expected });
            }
            labels.push(label);
            pixels.extend_from_slice(&record[self.label_bytes..]);
        }
        Ok(())
    }

    /// The class names of a file, one per line, or the published ones.
    fn class_names(&self, file: Option<&[u8]>, path: &Path) -> Result<Vec<String>> {
        let Some(file) = file else {
            return Ok(self.classes.iter().map(|&name| name.to_owned()).collect());
        };
        let text = String::from_utf8_lossy(file);
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if names.len() != self.classes.len() {
            return Err(DataError::Inconsistent {
                what: path.display().to_string(),
                problem: format!("{} class names, expected {}", names.len(), self.classes.len()),
                help: "remove the file to use the dataset's own names, or write one name per line",
            });
        }
        Ok(names)
    }

    fn missing(&self, names: &[String], separator: &str, path: &Path) -> DataError {
        let archive = format!("{}.tar.gz", self.archive);
        let is_python = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.python.iter().any(|start| name.starts_with(start))
        };
        let python = is_python(path)
            || std::fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|entry| is_python(&entry.path())));
        let help = if python {
            format!("this is the Python version of {}; get the binary version, {archive}", self.name)
        } else {
            format!("put {archive} or its files there, or pass the directory that contains them (--data-dir)")
        };
        DataError::Missing { dataset: self.name, missing: names.join(separator), path: path.into(), help }
    }
}
