//! Downloads a file from its mirrors into a cache: verified by SHA-256, written to a temporary file, then renamed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::error::{DataError, Result};

/// A file on mirrors, with its known length and checksum.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile<'a> {
    /// The file name, on the mirrors and in the cache.
    pub name: &'a str,
    /// The length in bytes.
    pub bytes: u64,
    /// The SHA-256, in lower-case hexadecimal.
    pub sha256: &'a str,
    /// The base URLs to which `/name` is appended, in the order in which they are tried.
    pub mirrors: &'a [&'a str],
}

/// The progress of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes received; starts at 0 again for each mirror.
    pub done: u64,
    /// The total number of bytes.
    pub total: u64,
}

/// Downloads files into a cache directory.
#[derive(Clone, Debug)]
pub struct Downloader {
    cache: PathBuf,
    offline: bool,
    connect_timeout: Duration,
    read_timeout: Duration,
}

/// The fewest bytes in a second from which a download goes on; another mirror may be faster.
const SLOWEST: u64 = 1000;

/// Why a download from one mirror failed.
enum Failure {
    /// The mirror or the network failed, for this reason; the next mirror may succeed.
    Mirror(String),
    /// The file cannot be written on this machine; no other mirror can help.
    Disk(DataError),
}

impl Downloader {
    /// A downloader into `cache`, which is created on the first download.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            offline: false,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }

    /// A downloader into `chainrule/<dataset>` of the user's cache directory (XDG).
    ///
    /// # Errors
    /// [`DataError::NoCacheDirectory`] if neither `XDG_CACHE_HOME` nor a home directory is set.
    pub fn in_user_cache(dataset: &str) -> Result<Self> {
        match etcetera::choose_base_strategy() {
            Ok(strategy) => Ok(Self::new(strategy.cache_dir().join("chainrule").join(dataset))),
            Err(_) => Err(DataError::NoCacheDirectory {
                help: "set one of them, or pass the directory that contains the data (--data-dir)".into(),
            }),
        }
    }

    /// Whether to use only files that are already in the cache.
    #[must_use]
    pub fn offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// The timeouts for connecting (default 10 s) and for reading (default 30 s): of the whole header, and of the body for the
    /// next kilobyte for each second of it.
    #[must_use]
    pub fn timeouts(self, connect: Duration, read: Duration) -> Self {
        Self { connect_timeout: connect, read_timeout: read, ..self }
    }

    /// The cache directory.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The path of `file` in the cache; downloads it first if needed.
    ///
    /// A file is renamed to its final name only when it is complete and its SHA-256 matches, so a file with that name is
    /// not verified again.
    ///
    /// # Errors
    /// [`DataError::Offline`] if it is not cached and the downloader is offline, [`DataError::Download`] if every mirror
    /// fails, [`DataError::Io`] if it cannot be written.
    pub fn fetch(&self, file: &RemoteFile<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
        let path = self.cache.join(file.name);
        if path.is_file() {
            return Ok(path);
        }
        let by_hand = format!(
            "put {} into {}, or pass the directory that contains it (--data-dir)",
            file.name,
            self.cache.display()
        );
        if self.offline {
            let help = format!("{by_hand}, or run once without --offline");
            return Err(DataError::Offline { path, reason: "downloads are disabled (--offline)", help });
        }
        fs::create_dir_all(&self.cache).map_err(|source| cannot_write(&self.cache, source))?;
        let agent = self.agent();
        let mut attempts = Vec::new();
        for mirror in file.mirrors {
            let url = format!("{mirror}/{}", file.name);
            match fetch_from(&agent, &url, file, &path, Pace::new(self.read_timeout), progress) {
                Ok(()) => return Ok(path),
                Err(Failure::Mirror(reason)) => attempts.push((url, reason)),
                Err(Failure::Disk(error)) => return Err(error),
            }
        }
        let help = format!("check the network, or {by_hand}");
        Err(DataError::Download { file: file.name.into(), attempts, help })
    }

    fn agent(&self) -> Agent {
        // No total timeout, since a large file takes long; `Pace` detects a slow server, and the timeout per read a stalled one.
        Agent::config_builder()
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_recv_response(Some(self.read_timeout))
            .timeout_per_read(Some(self.read_timeout))
            .timeout_per_write(Some(self.read_timeout))
            .build()
            .into()
    }
}

/// Downloads `url` to `path` through a `.part` file, which is removed on failure.
fn fetch_from(
    agent: &Agent,
    url: &str,
    file: &RemoteFile<'_>,
    path: &Path,
    mut pace: Pace,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Failure> {
    // Before the request, so that an unwritable disk fails without a download.
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
                return Err(Failure::Mirror(format!("connection lost after {done} of {} bytes: {error}", file.bytes)));
            }
        };
        done += n as u64;
        if done > file.bytes {
            return Err(Failure::Mirror(format!("too long: expected {} bytes", file.bytes)));
        }
        pace.check(done).map_err(Failure::Mirror)?;
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

/// Whether a download goes on fast enough: a server that sends a byte now and then would keep it waiting for days.
struct Pace {
    period: Duration,
    start: Instant,
    /// The bytes at the start of this period.
    before: u64,
}

impl Pace {
    /// From the first byte on.
    fn new(period: Duration) -> Self {
        Self { period, start: Instant::now(), before: 0 }
    }

    /// Checks the number of bytes so far.
    fn check(&mut self, done: u64) -> Result<(), String> {
        if self.before == 0 {
            (self.start, self.before) = (Instant::now(), done);
        }
        let (received, elapsed) = (done - self.before, self.start.elapsed());
        if elapsed < self.period {
            return Ok(());
        }
        if (received as f64) < SLOWEST as f64 * elapsed.as_secs_f64() {
            return Err(format!("too slow: {received} bytes in {:.1} s", elapsed.as_secs_f64()));
        }
        (self.start, self.before) = (Instant::now(), done);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn cannot_write(path: &Path, source: io::Error) -> DataError {
    let help = "free disk space, choose a writable directory (XDG_CACHE_HOME), \
                or pass the directory that contains the data (--data-dir)";
    DataError::Io { action: "write", path: path.into(), help, source }
}

/// A temporary file that is removed on drop unless it has been renamed.
struct PartFile {
    file: File,
    path: PathBuf,
}

impl PartFile {
    /// Next to `path`, since a rename is atomic only within a file system. The name contains the process id, since two
    /// programs may download the same file at once.
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
        // Synced before the rename, or a power failure could leave an empty file with the final name.
        self.file.sync_all().and_then(|()| fs::rename(&self.path, path)).map_err(|source| cannot_write(path, source))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // Fails after a rename, when the file no longer exists; drop cannot report other errors.
        let _ = fs::remove_file(&self.path);
    }
}
