//! The embedded archive has the documented images.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Read;

use sha2::{Digest, Sha256};

fn archive() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/data/cifar10-sample.tar.zst")).unwrap()
}

/// The same digest as in `scripts/make_cifar_sample.sh`.
#[test]
fn archive_has_the_digest_of_the_script() {
    let archive = archive();
    let mut tar = ruzstd::decoding::StreamingDecoder::new(&archive[..]).unwrap();
    let mut bytes = Vec::new();
    tar.read_to_end(&mut bytes).unwrap();
    let hex = Sha256::digest(&bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    assert_eq!(hex, "82055cdde768b0eaa3582e5cd4dbef257e05498c8635f02cab3237e724da26d6");
    let script = include_str!("../../../scripts/make_cifar_sample.sh");
    assert!(script.contains(&hex));
}

#[test]
fn archive_stays_small() {
    let length = archive().len();
    assert!(length < 2_000_000, "cifar10-sample.tar.zst has {length} bytes");
}

#[test]
fn classes_are_in_turn_and_balanced() {
    let dataset = chainrule_cifar_sample::dataset();
    assert_eq!(dataset.name(), "CIFAR-10 sample");
    assert_eq!(
        dataset.notes(),
        [
            "this is a sample of CIFAR-10, 5000 of its 50000 training and 1000 of its 10000 test images, encoded as JPEG: \
          accuracies are not those of CIFAR-10"
        ]
    );
    for (set, n) in [(dataset.train(), 5000), (dataset.test(), 1000)] {
        assert_eq!(set.shape(), [n, 3, 32, 32]);
        let in_turn: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
        assert_eq!(set.labels(), in_turn);
        let different: BTreeSet<&[u8]> = (0..n).map(|i| set.image(i)).collect();
        assert!(different.len() > n - 5, "{} different images of {n}", different.len());
    }
}

/// The mean color of each quarter of two images, as Pillow 13 (libjpeg-turbo) decodes them:
/// `ImageStat.Stat(Image.open(path).convert("RGB").crop(quarter)).mean`.
#[test]
fn images_have_the_colors_of_another_decoder() {
    let dataset = chainrule_cifar_sample::dataset();
    let frog = [[122.1, 84.8, 50.3], [137.4, 98.4, 64.5], [162.2, 122.8, 75.3], [144.5, 114.1, 66.3]];
    let ship = [[44.3, 51.1, 51.1], [42.1, 52.8, 53.8], [86.0, 81.7, 80.9], [113.4, 112.3, 110.3]];
    // train/frog/0000.jpg and test/ship/0099.jpg
    for (image, expected) in [(dataset.train().image(6), frog), (dataset.test().image(998), ship)] {
        for (quarter, expected) in expected.into_iter().enumerate() {
            let (top, left) = (quarter / 2 * 16, quarter % 2 * 16);
            for (channel, expected) in expected.into_iter().enumerate() {
                let row = |i: usize| &image[channel * 1024 + (top + i) * 32 + left..][..16];
                let sum: f64 = (0..16).flat_map(row).map(|&pixel| f64::from(pixel)).sum();
                let mean = sum / 256.0;
                assert!((mean - expected).abs() < 1.0, "quarter {quarter}, channel {channel}: {mean}, not {expected}");
            }
        }
    }
}
