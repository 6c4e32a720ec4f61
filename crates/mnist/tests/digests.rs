//! The embedded files are the published ones, byte for byte.

use std::fmt::Write;

use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

// SHA-256 of the raw files; scripts/make_mnist_archive.sh checks their published md5.
#[test]
fn raw_files_have_the_published_digests() {
    let raw = chainrule_mnist::unpack();
    assert_eq!(sha256(&raw.train_images), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db");
    assert_eq!(sha256(&raw.train_labels), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5");
    assert_eq!(sha256(&raw.test_images), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7");
    assert_eq!(sha256(&raw.test_labels), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2");
}

#[test]
fn archive_fits_into_a_published_crate() {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist.tar.zst");
    let bytes = std::fs::metadata(archive).unwrap().len();
    // The limit of crates.io is 10 MiB for the package; its other files are a few kB.
    assert!(bytes < 10_000_000, "mnist.tar.zst has {bytes} bytes");
}
