//! Downloads from a local server: working and failing mirrors, and what remains on disk.
#![cfg(feature = "download")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chainrule_data::{Downloader, Progress, RemoteFile};

const BODY: &[u8] = b"the digits";
/// SHA-256 of BODY, by sha256sum.
const SHA256: &str = "8691aae1ea820206b1a1a4193673e1205a6b03449c894942657abf520725b222";

/// Serves each connection with `respond`; returns the mirror's URL.
fn serve(respond: impl Fn(&mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /digits.gz HTTP/1.1\r\n"));
            respond(&mut stream);
        }
    });
    address
}

fn respond_with(status: &'static str, length: usize, body: &'static [u8]) -> String {
    serve(move |stream| {
        // The client may close the connection early, so write errors are ignored.
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(body);
    })
}

fn good() -> String {
    respond_with("200 OK", BODY.len(), BODY)
}

/// Downloads from the mirrors into `cache`; in the error message, URLs and the directory are replaced.
fn fetch(cache: &Path, mirrors: &[String]) -> Result<Vec<u8>, String> {
    let mirrors: Vec<&str> = mirrors.iter().map(String::as_str).collect();
    let file = RemoteFile { name: "digits.gz", bytes: BODY.len() as u64, sha256: SHA256, mirrors: &mirrors };
    let downloader = Downloader::new(cache).timeouts(Duration::from_secs(5), Duration::from_secs(1));
    match downloader.fetch(&file, &mut |_| ()) {
        Ok(path) => Ok(fs::read(path).unwrap()),
        Err(error) => {
            let text = error.to_string().replace(&cache.display().to_string(), "CACHE");
            Err(mirrors.iter().enumerate().fold(text, |text, (i, url)| text.replace(url, &format!("MIRROR{i}"))))
        }
    }
}

/// The reason that the error gives for a mirror; also checks that nothing remains on disk.
fn reason(mirror: String) -> String {
    let cache = tempfile::tempdir().unwrap();
    let text = fetch(cache.path(), &[mirror]).unwrap_err();
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "a file remains in the cache");
    let reason = text.strip_prefix("could not download digits.gz\n  MIRROR0/digits.gz: ").unwrap();
    reason
        .strip_suffix(
            "\n  help: check the network, or put digits.gz into CACHE, \
             or pass the directory that contains it (--data-dir)",
        )
        .unwrap()
        .to_owned()
}

#[test]
fn a_file_is_downloaded_once() {
    let cache = tempfile::tempdir().unwrap();
    let directory = cache.path().join("made/on/demand");
    let mirror = good();
    let file = RemoteFile { name: "digits.gz", bytes: 10, sha256: SHA256, mirrors: &[&mirror] };
    let mut seen = Vec::new();
    let mut progress = |p: Progress<'_>| seen.push((p.file.to_owned(), p.done, p.total));
    let path = Downloader::new(&directory).fetch(&file, &mut progress).unwrap();
    assert_eq!(fs::read(&path).unwrap(), BODY);
    assert_eq!(seen.first().unwrap(), &("digits.gz".to_owned(), 0, 10));
    assert_eq!(seen.last().unwrap(), &("digits.gz".to_owned(), 10, 10));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    // The second time needs no network and no mirror.
    let file = RemoteFile { mirrors: &[], ..file };
    assert_eq!(Downloader::new(&directory).offline(true).fetch(&file, &mut |_| ()).unwrap(), path);
}

#[test]
fn the_second_mirror_is_used_if_the_first_fails() {
    for bad in [
        respond_with("200 OK", 10, b"the giDits"),
        respond_with("200 OK", 10, b"the"),
        respond_with("404 Not Found", 0, b""),
        "http://127.0.0.1:1".into(),
    ] {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(fetch(cache.path(), &[bad, good()]).unwrap(), BODY);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }
}

#[test]
fn all_failing_mirrors_are_reported() {
    let cache = tempfile::tempdir().unwrap();
    let bad = || respond_with("200 OK", 10, b"the giDits");
    let text = fetch(cache.path(), &[bad(), respond_with("404 Not Found", 0, b"")]).unwrap_err();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("  MIRROR0/digits.gz: wrong checksum: expected SHA-256 "), "{text}");
    assert_eq!(lines[2], "  MIRROR1/digits.gz: http status: 404");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn every_failure_reports_its_reason() {
    assert_eq!(
        reason(respond_with("200 OK", 10, b"the giDits")),
        format!(
            "wrong checksum: expected SHA-256 {SHA256}, found 4ae91c1205bc9333d22e0076408770d174ad78211bbe3aca8b14e3f8ac036f5d"
        )
    );
    let interrupted = reason(respond_with("200 OK", 10, b"the"));
    assert!(interrupted.starts_with("connection lost after 3 of 10 bytes: "), "{interrupted}");
    assert_eq!(reason(respond_with("200 OK", 3, b"the")), "truncated: expected 10 bytes, found 3");
    assert_eq!(reason(respond_with("200 OK", 12, b"the digits!!")), "too long: expected 10 bytes");
    assert_eq!(reason(respond_with("503 Service Unavailable", 0, b"")), "http status: 503");
}

#[test]
fn a_stalled_server_times_out() {
    let started = Instant::now();
    // Before the header, and within the body.
    let before = serve(|_| thread::sleep(Duration::from_secs(60)));
    assert!(reason(before).contains("timeout"));
    let within = serve(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nthe").unwrap();
        thread::sleep(Duration::from_secs(60));
    });
    let text = reason(within);
    assert!(text.starts_with("connection lost after 3 of 10 bytes: "), "{text}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// Sends `head`, then bytes of it `piece` without end, pausing before each.
fn endless(head: &'static [u8], piece: &'static [u8], pause: Duration) -> String {
    serve(move |stream| {
        let mut sent = stream.write_all(head);
        // Until the client closes the connection.
        while sent.is_ok() {
            thread::sleep(pause);
            sent = stream.write_all(piece);
        }
    })
}

#[test]
fn a_server_that_sends_a_byte_now_and_then_is_given_up() {
    let (now_and_then, started) = (Duration::from_millis(150), Instant::now());
    let slow = reason(endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nt", b"h", now_and_then));
    assert!(slow.starts_with("too slow: ") && slow.contains(" bytes in 1."), "{slow}");
    assert_eq!(reason(endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", now_and_then)), "timeout: receive response");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_server_that_never_ends_is_given_up() {
    let at_once = Duration::ZERO;
    let length = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", &[b'x'; 1000], at_once);
    assert_eq!(reason(length), "too long: expected 10 bytes");
    assert_eq!(reason(endless(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1000], at_once)), "too long: expected 10 bytes");
    let chunks = endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", at_once);
    assert_eq!(reason(chunks), "too long: expected 10 bytes");
    let header = reason(endless(b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 1000], at_once));
    assert!(header.starts_with("response header is too big: "), "{header}");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let redirect = |to: String| {
        serve(move |stream| {
            let _ = write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {to}/digits.gz\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        })
    };
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(fetch(cache.path(), &[redirect(good())]).unwrap(), BODY);
    // An empty base: the same URL again.
    assert_eq!(reason(redirect(String::new())), "too many redirects");
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(fetch(cache.path(), &[redirect(String::new()), good()]).unwrap(), BODY);
}

#[test]
fn what_is_no_answer_is_reported() {
    assert_eq!(reason(serve(|_| ())), "io: Peer disconnected");
    let other = serve(|stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")));
    assert_eq!(reason(other), "protocol: http parse fail: invalid HTTP version");
}

#[test]
fn an_unwritable_cache_is_reported_without_trying_mirrors() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let text = fetch(&file.join("cache"), &[good(), good()]).unwrap_err();
    assert!(text.starts_with("cannot write CACHE: "), "{text}");
    assert!(
        text.ends_with(
            "help: free disk space, choose a writable directory (XDG_CACHE_HOME), \
             or pass the directory that contains the data (--data-dir)"
        ),
        "{text}"
    );
}

#[test]
fn offline_reports_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let file = RemoteFile { name: "digits.gz", bytes: 10, sha256: SHA256, mirrors: &["http://127.0.0.1:1"] };
    let error = Downloader::new(cache.path()).offline(true).fetch(&file, &mut |_| ()).unwrap_err();
    assert_eq!(
        error.to_string().replace(&cache.path().display().to_string(), "CACHE"),
        "CACHE/digits.gz not found, and downloads are disabled (--offline)\n  help: put digits.gz into CACHE, \
         or pass the directory that contains it (--data-dir), or run once without --offline"
    );
}
