//! What is in a directory of class folders: the images, and what is passed over, which is counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::missing;
use crate::error::Result;
use crate::files;
use crate::image_file::{self, Kind};

/// Folders that systems make for themselves.
const SYSTEM: [&str; 5] = ["__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"];

/// A class folder.
pub(super) struct Class {
    pub name: String,
    pub directory: PathBuf,
    /// Its images, sorted by name.
    pub images: Vec<PathBuf>,
}

/// A directory of class folders.
pub(super) struct Scan {
    /// Sorted by name.
    pub classes: Vec<Class>,
    passed_over: PassedOver,
}

/// How many things of each kind were passed over, and the first of them.
#[derive(Default)]
pub(super) struct PassedOver(BTreeMap<Thing, (usize, PathBuf)>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    /// An image of another format.
    Image(&'static str),
    /// An image or a folder that a link points to, but is not there.
    BrokenLink,
    /// A folder in a class folder.
    Folder,
    /// An image beside the class folders.
    Outside,
}

/// Reads the names in `directory` and its class folders, and the first bytes of the files.
pub(super) fn scan(directory: &Path) -> Result<Scan> {
    let (folders, mut passed_over) = folders_only(directory)?;
    let mut classes = Vec::new();
    for class in folders {
        let mut in_class = PassedOver::default();
        let (nested, files) = entries(&class, &mut in_class)?;
        for path in nested {
            in_class.add(Thing::Folder, path);
        }
        let mut images = Vec::new();
        for (path, kind) in kinds(files)? {
            match kind {
                Kind::Readable => images.push(path),
                Kind::Unreadable(format) => in_class.add(Thing::Image(format), path),
                Kind::Other => {}
            }
        }
        passed_over.append(in_class);
        classes.push(Class { name: file_name(&class), directory: class, images });
    }
    Ok(Scan { classes, passed_over })
}

impl Scan {
    /// One note for each kind of thing that was passed over.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.passed_over.notes()
    }

    /// An error if there are no classes, or a class without images that is not allowed.
    pub fn check(&self, directory: &Path, allow_empty: bool) -> Result<()> {
        let reason = self.passed_over.reason();
        if self.classes.is_empty() {
            return Err(missing("class folders".into(), directory, &reason, ""));
        }
        match self.classes.iter().find(|class| class.images.is_empty()) {
            Some(empty) if !allow_empty => {
                let or = ", or remove the folder, or allow empty classes (ImageFolder::allow_empty_classes)";
                Err(missing("images (PNG or JPEG)".into(), &empty.directory, &reason, or))
            }
            _ => Ok(()),
        }
    }
}

impl PassedOver {
    /// One note for each kind of thing.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(thing, (n, first))| {
            let (was, were) = match thing {
                Thing::Image(format) => (
                    format!("{format} image was passed over, since only PNG and JPEG are read"),
                    format!("{format} images were passed over, since only PNG and JPEG are read"),
                ),
                Thing::BrokenLink => ("broken link was passed over".into(), "broken links were passed over".into()),
                Thing::Folder => (
                    "folder inside a class folder was not read".into(),
                    "folders inside class folders were not read".into(),
                ),
                Thing::Outside => (
                    "image outside the class folders was not read".into(),
                    "images outside the class folders were not read".into(),
                ),
            };
            let first = first.display();
            if *n == 1 { format!("1 {was}: {first}") } else { format!("{n} {were}, such as {first}") }
        })
    }

    /// The notes, as lines after an error's help.
    pub fn reason(&self) -> String {
        self.notes().fold(String::new(), |all, note| all + "\n  note: " + &note)
    }

    fn add(&mut self, thing: Thing, path: PathBuf) {
        self.0.entry(thing).or_insert((0, path)).0 += 1;
    }

    fn append(&mut self, other: Self) {
        for (thing, (n, first)) in other.0 {
            self.0.entry(thing).or_insert((0, first)).0 += n;
        }
    }
}

/// The folders and the files in a directory, sorted by name, without hidden ones and those of systems; links are followed.
fn entries(directory: &Path, passed_over: &mut PassedOver) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let cannot_read = |source| files::cannot_read(directory, source);
    let (mut folders, mut plain) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).map_err(cannot_read)? {
        let path = entry.map_err(cannot_read)?.path();
        let name = file_name(&path);
        if name.starts_with('.') || SYSTEM.contains(&&*name.to_lowercase()) {
            continue;
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => folders.push(path),
            Ok(metadata) if metadata.is_file() => plain.push(path),
            // A pipe or a device.
            Ok(_) => {}
            Err(_) if path.is_symlink() => passed_over.add(Thing::BrokenLink, path),
            Err(source) => return Err(files::cannot_read(&path, source)),
        }
    }
    folders.sort();
    plain.sort();
    Ok((folders, plain))
}

/// The folders in a directory whose files are not used, with what was passed over.
pub(super) fn folders_only(directory: &Path) -> Result<(Vec<PathBuf>, PassedOver)> {
    let mut passed_over = PassedOver::default();
    let (folders, files) = entries(directory, &mut passed_over)?;
    for (path, kind) in kinds(files)? {
        if kind != Kind::Other {
            passed_over.add(Thing::Outside, path);
        }
    }
    Ok((folders, passed_over))
}

/// The folders in a directory.
pub(super) fn folders(directory: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(directory, &mut PassedOver::default())?.0)
}

/// The kind of each file.
fn kinds(paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, Kind)>> {
    paths.into_par_iter().map(|path| image_file::kind(&path).map(|kind| (path, kind))).collect()
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
