//! Fetching a file from its mirrors into a cache: checked by SHA-256, written beside its place, then renamed into it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::error::{DataError, Result};

/// A file that mirrors offer, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile<'a> {
    /// Its name, at the mirrors and in the cache.
    pub name: &'a str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: &'a str,
    /// The addresses that `/name` is put behind, the first one to be tried first.
    pub mirrors: &'a [&'a str],
}

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes that have arrived; begins at 0 again with the next mirror.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Fetches files into a cache directory.
#[derive(Clone, Debug)]
pub struct Downloader {
    cache: PathBuf,
    offline: bool,
    connect_timeout: Duration,
    read_timeout: Duration,
}

/// Why one mirror did not do.
enum Failure {
    /// Another mirror may: the reason.
    Mirror(String),
    /// This machine cannot keep the file, wherever it comes from.
    Disk(DataError),
}

impl Downloader {
    /// A downloader into `cache`, which is made when something is fetched.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            offline: false,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }

    /// A downloader into `chainrule/<dataset>` of the user's cache directory, as XDG has it.
    ///
    /// # Errors
    /// [`DataError::NoCacheDirectory`] when neither `XDG_CACHE_HOME` nor a home directory is set.
    pub fn in_user_cache(dataset: &str) -> Result<Self> {
        match etcetera::choose_base_strategy() {
            Ok(strategy) => Ok(Self::new(strategy.cache_dir().join("chainrule").join(dataset))),
            Err(_) => Err(DataError::NoCacheDirectory {
                cure: "set one of them, or pass the directory that holds the data (--data-dir)".into(),
            }),
        }
    }

    /// Whether to use what is in the cache only.
    #[must_use]
    pub fn offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// How long to wait for a connection (10 s), and for the next bytes on it (30 s).
    #[must_use]
    pub fn timeouts(self, connect: Duration, read: Duration) -> Self {
        Self { connect_timeout: connect, read_timeout: read, ..self }
    }

    /// The cache directory.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The path of `file` in the cache, after fetching it if it is not there yet.
    ///
    /// A file gets its name only when it is whole and its SHA-256 is right, so what has the name is taken as it is.
    ///
    /// # Errors
    /// [`DataError::Offline`] when it is not there and may not be fetched, [`DataError::Download`] when no mirror
    /// gives it, [`DataError::Io`] when it cannot be written.
    pub fn fetch(&self, file: &RemoteFile<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
        let path = self.cache.join(file.name);
        if path.is_file() {
            return Ok(path);
        }
        let by_hand = format!(
            "put {} into {}, or pass the directory that holds it (--data-dir)",
            file.name,
            self.cache.display()
        );
        if self.offline {
            let cure = format!("{by_hand}, or run once without --offline");
            return Err(DataError::Offline { path, reason: "nothing may be downloaded (--offline)", cure });
        }
        fs::create_dir_all(&self.cache).map_err(|source| cannot_write(&self.cache, source))?;
        let agent = self.agent();
        let mut attempts = Vec::new();
        for mirror in file.mirrors {
            let url = format!("{mirror}/{}", file.name);
            match fetch_from(&agent, &url, file, &path, progress) {
                Ok(()) => return Ok(path),
                Err(Failure::Mirror(reason)) => attempts.push((url, reason)),
                Err(Failure::Disk(error)) => return Err(error),
            }
        }
        let cure = format!("check the network, or {by_hand}");
        Err(DataError::Download { file: file.name.into(), attempts, cure })
    }

    fn agent(&self) -> Agent {
        // No limit on the whole: slow is not broken. Each read has its own limit, so a silent server is.
        Agent::config_builder()
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_per_read(Some(self.read_timeout))
            .timeout_per_write(Some(self.read_timeout))
            .build()
            .into()
    }
}

/// Fetches `url` into `path`, by way of a `.part` file that is gone again if anything fails.
fn fetch_from(
    agent: &Agent,
    url: &str,
    file: &RemoteFile<'_>,
    path: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Failure> {
    // Before the request: a disk that cannot be written should not cost a download.
    let mut part = PartFile::create(path).map_err(Failure::Disk)?;
    let mirror = |reason: &dyn std::fmt::Display| Failure::Mirror(reason.to_string());
    let mut body = agent.get(url).call().map_err(|error| mirror(&error))?.into_body().into_reader();

    let mut digest = Sha256::new();
    let mut done = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        progress(Progress { file: file.name, done, total: file.bytes });
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::Mirror(format!("broke off after {done} of {} bytes: {error}", file.bytes)));
            }
        };
        done += n as u64;
        if done > file.bytes {
            return Err(Failure::Mirror(format!("sent more than the expected {} bytes", file.bytes)));
        }
        digest.update(&buffer[..n]);
        part.write(&buffer[..n]).map_err(Failure::Disk)?;
    }
    if done < file.bytes {
        return Err(Failure::Mirror(format!("truncated: expected {} bytes, found {done}", file.bytes)));
    }
    let found = hex(&digest.finalize());
    if found != file.sha256 {
        return Err(Failure::Mirror(format!("wrong checksum: expected SHA-256 {}, found {found}", file.sha256)));
    }
    part.rename_to(path).map_err(Failure::Disk)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn cannot_write(path: &Path, source: io::Error) -> DataError {
    let cure =
        "free or choose a writable place (XDG_CACHE_HOME), or pass the directory that holds the data (--data-dir)";
    DataError::Io { action: "write", path: path.into(), cure, source }
}

/// A file that is removed again unless it is renamed.
struct PartFile {
    file: File,
    path: PathBuf,
}

impl PartFile {
    /// Beside `path`, since renaming is atomic only within a file system; with the process in its name, since two
    /// programs may fetch the same file at once.
    fn create(path: &Path) -> Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = path.with_file_name(name);
        match File::create(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(cannot_write(&path, source)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| cannot_write(&self.path, source))
    }

    fn rename_to(self, path: &Path) -> Result<()> {
        // On the disk before it has its name, or a power cut could leave an empty file under it.
        self.file.sync_all().and_then(|()| fs::rename(&self.path, path)).map_err(|source| cannot_write(path, source))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name; a failure here has no one to go to.
        let _ = fs::remove_file(&self.path);
    }
}
