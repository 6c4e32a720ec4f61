//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Symbolic links followed before they count as a cycle, as on Linux.
const MAX_LINKS: usize = 40;

fn invalid<T>(text: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::InvalidInput, text.into()))
}

/// The file to replace: `path` itself, or what it links to, which need not exist. Anything but a regular file is refused,
/// since renaming a file to its name would remove it: a device, say.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&target) {
            Ok(found) if found.is_symlink() => target = directory(&target).join(fs::read_link(&target)?),
            Ok(found) if found.is_file() => return Ok(target),
            Ok(found) if found.is_dir() => return invalid("it is a directory; give the name of a file"),
            Ok(_) => return invalid("it is a device, a pipe or a socket; give the name of a file"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // `state/` and `state/.` have the file name `state`, but no file can be renamed to them.
                let names_a_directory = target.as_os_str().as_encoded_bytes().ends_with(b"/");
                if target.file_name().is_none() || names_a_directory || target.to_string_lossy().ends_with("/.") {
                    return invalid("it names a directory; give the name of a file");
                }
                let directory = directory(&target);
                if !directory.is_dir() {
                    let text = format!("the directory {} does not exist; create it first", directory.display());
                    return Err(io::Error::new(ErrorKind::NotFound, text));
                }
                return Ok(target);
            }
            Err(error) => return Err(error),
        }
    }
    invalid("its symbolic links lead in a circle")
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file beside the target. One that a killed run has left is removed first. Opening it instead would block if it
/// were a pipe.
fn create_part(target: &Path) -> io::Result<(File, PathBuf)> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = target.with_file_name(name);
    match fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok((File::options().write(true).create_new(true).open(&part)?, part)),
    }
}

/// Checks that [`write()`] can replace the file, without changing it: that it is a regular file or none, and that a file can be
/// created beside it.
///
/// # Errors
/// As [`write()`]. A disk may still become full later.
pub fn check(path: &Path) -> io::Result<()> {
    let (_, part) = create_part(&target(path)?)?;
    fs::remove_file(part)
}

/// Writes a temporary file beside the target, syncs it to disk, and renames it. A symbolic link stays one, and what it links
/// to is written.
///
/// # Errors
/// If the file cannot be written; a previous file is unchanged. Also if it is a directory, a device, a pipe or a socket.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = target(path)?;
    let (mut file, part) = create_part(&target)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&part, &target)) {
        // Report the first error; a failure to remove the temporary file is ignored.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    // Sync the rename as well. Not every system allows opening a directory for that.
    if let Ok(directory) = File::open(directory(&target)) {
        directory.sync_all()?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn error(path: &Path) -> String {
        let (checked, written) = (check(path).unwrap_err().to_string(), write(path, b"new").unwrap_err().to_string());
        assert_eq!(checked, written, "the check foresees what writing says");
        written
    }

    #[test]
    fn a_link_stays_and_its_target_is_written() {
        let place = tempfile::tempdir().unwrap();
        let (file, first, second) =
            (place.path().join("state"), place.path().join("first"), place.path().join("second"));
        symlink("second", &first).unwrap();
        symlink("state", &second).unwrap();
        // First the target does not exist, then it does.
        for text in ["old", "new"] {
            check(&first).unwrap();
            write(&first, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert!(first.is_symlink() && second.is_symlink());
        }
        let left = fs::read_dir(&place).unwrap().count();
        assert_eq!(left, 3, "no temporary file is left");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_stays() {
        let place = tempfile::tempdir().unwrap();
        let device = "it is a device, a pipe or a socket; give the name of a file";
        assert_eq!(error(Path::new("/dev/null")), device);
        let socket = place.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(error(&socket), device);
        assert_eq!(error(place.path()), "it is a directory; give the name of a file");
        let circle = place.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert_eq!(error(&circle), "its symbolic links lead in a circle");
        assert!(socket.exists() && circle.is_symlink());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_found_by_the_check() {
        assert_eq!(
            error(Path::new("/no/such/place/state")),
            "the directory /no/such/place does not exist; create it first"
        );
        assert_eq!(error(Path::new("/")), "it is a directory; give the name of a file");
        let place = tempfile::tempdir().unwrap();
        for name in ["new/", "new/."] {
            assert_eq!(error(&place.path().join(name)), "it names a directory; give the name of a file");
        }
        // A file system on which no file can be created, also for root.
        #[cfg(target_os = "linux")]
        check(Path::new("/proc/state")).unwrap_err();
    }

    #[test]
    fn what_a_killed_run_left_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("state");
        fs::write(&file, "old").unwrap();
        symlink("/dev/full", place.path().join("state.part")).unwrap();
        check(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        write(&file, b"new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(!place.path().join("state.part").is_symlink());
    }
}
