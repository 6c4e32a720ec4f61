//! Compressed files are not inflated beyond what their header or format allows: the memory of each load is measured.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use chainrule_data::{DataError, Dataset, cifar10, cifar100, mnist};
use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

use crate::peak::{MB, peak};

/// The size of the bombs: far more than any of them may cost.
const BOMB: u64 = 32 << 20;

/// The error of `load`, which must hold less than `limit` bytes.
fn error_within(limit: i64, directory: &Path, load: impl FnOnce() -> Result<Dataset, DataError>) -> String {
    let (result, peak) = peak(load);
    assert!(peak < limit, "{peak} bytes were held, at most {limit} are allowed");
    result.unwrap_err().to_string().replace(&directory.display().to_string(), "DIR")
}

/// `start`, then zeros, as a .gz file of about 0.1 MB.
fn write_bomb(path: &Path, start: &[u8]) {
    let mut encoder = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    io::copy(&mut start.chain(io::repeat(0).take(BOMB)), &mut encoder).unwrap();
    encoder.finish().unwrap();
}

pub fn idx(words: &[u32], data: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).chain(data.iter().copied()).collect()
}

#[test]
fn gzipped_idx_files_are_read_to_the_end_that_the_header_gives() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("train-labels-idx1-ubyte"), idx(&[0x801, 1], &[0])).unwrap();
    fs::write(path("t10k-images-idx3-ubyte"), idx(&[0x803, 1, 1, 1], &[0])).unwrap();
    fs::write(path("t10k-labels-idx1-ubyte"), idx(&[0x801, 1], &[0])).unwrap();
    let images = path("train-images-idx3-ubyte.gz");
    let load = || mnist::from_dir(directory.path());

    write_bomb(&images, &idx(&[0x803, 1, 28, 28], &[]));
    assert_eq!(
        error_within(MB, directory.path(), load),
        "DIR/train-images-idx3-ubyte.gz: trailing bytes (the header says 1 images, 28 rows, 28 columns)\n  \
         expected 800 bytes, found more\n  help: get a fresh copy of the file"
    );
    // Not even a header: nothing but zeros.
    write_bomb(&images, &[]);
    assert_eq!(
        error_within(MB, directory.path(), load),
        "DIR/train-images-idx3-ubyte.gz: not an IDX file of images\n  expected magic number 0x00000803, found 0x00000000\n  \
         help: check that the images and labels files are not swapped, or get a fresh copy"
    );
    fs::write(&images, idx(&[0x803, 1, 1, 1], &[0])).unwrap();
    fs::remove_file(path("train-labels-idx1-ubyte")).unwrap();
    write_bomb(&path("train-labels-idx2-int.gz"), &idx(&[0xc02, 1, 8], &[]));
    assert_eq!(
        error_within(MB, directory.path(), load),
        "DIR/train-labels-idx2-int.gz: trailing bytes (the header says 1 labels, 8 columns)\n  \
         expected 44 bytes, found more\n  help: get a fresh copy of the file"
    );
}

/// A tar entry with zeros as contents, as far as they are written: `written` of `size` bytes.
fn append(archive: &mut impl Write, name: &str, kind: EntryType, size: u64, written: u64) {
    let mut header = Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    archive.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(written.next_multiple_of(512)), archive).unwrap();
}

/// A tar entry with these contents.
pub fn append_bytes(archive: &mut Vec<u8>, name: &str, contents: &[u8]) {
    append(archive, name, EntryType::Regular, contents.len() as u64, 0);
    archive.extend(contents);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

#[test]
fn entries_of_an_archive_are_not_longer_than_the_published_ones() {
    let directory = tempfile::tempdir().unwrap();
    let gzipped = directory.path().join("bomb.tar.gz");
    let mut archive = GzEncoder::new(fs::File::create(&gzipped).unwrap(), Compression::fast());
    append(&mut archive, "x/data_batch_1.bin", EntryType::Regular, BOMB, BOMB);
    archive.finish().unwrap();
    assert_eq!(
        error_within(MB, directory.path(), || cifar10::from_archive(&gzipped)),
        "DIR/bomb.tar.gz/data_batch_1.bin: 33554432 bytes, but a file of CIFAR-10 has at most 30730000\n  \
         help: get a fresh copy of the file"
    );
    // The same for a plain archive, for CIFAR-100, and for its class names.
    let plain = directory.path().join("bomb.tar");
    append(&mut fs::File::create(&plain).unwrap(), "fine_label_names.txt", EntryType::Regular, BOMB, 512);
    assert_eq!(
        error_within(MB, directory.path(), || cifar100::from_path(&plain, cifar100::Labels::Fine)),
        "DIR/bomb.tar/fine_label_names.txt: 33554432 bytes, but a file of CIFAR-100 has at most 65536\n  \
         help: get a fresh copy of the file"
    );
    // Entries of other names may have any size: they are skipped. The name of an entry is one that would be held in memory.
    for (kind, expected) in [
        (EntryType::Regular, "CIFAR-10: data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, "),
        (EntryType::GNULongName, "DIR/bomb.tar.gz: 33554432 bytes, but the name of a file in an archive has at most"),
        (EntryType::XHeader, "DIR/bomb.tar.gz: 33554432 bytes, but the name of a file in an archive has at most 65536"),
    ] {
        let mut archive = GzEncoder::new(fs::File::create(&gzipped).unwrap(), Compression::fast());
        append(&mut archive, "readme.html", kind, BOMB, BOMB);
        archive.finish().unwrap();
        let error = error_within(MB, directory.path(), || cifar10::from_archive(&gzipped));
        assert!(error.starts_with(expected), "{error}");
    }
    // Gzipped zeros are an empty archive: it ends at once.
    write_bomb(&gzipped, &[]);
    let error = error_within(MB, directory.path(), || cifar10::from_archive(&gzipped));
    assert!(error.starts_with("CIFAR-10: data_batch_1.bin, "), "{error}");
}

#[test]
fn files_of_a_directory_are_not_longer_than_the_published_ones() {
    let directory = tempfile::tempdir().unwrap();
    // Sparse: it needs no space on the disk.
    let set_length =
        |name: &str, length| fs::File::create(directory.path().join(name)).unwrap().set_len(length).unwrap();
    set_length("data_batch_1.bin", BOMB);
    assert_eq!(
        error_within(MB, directory.path(), || cifar10::from_path(directory.path())),
        "DIR/data_batch_1.bin: 33554432 bytes, but a file of CIFAR-10 has at most 30730000\n  \
         help: get a fresh copy of the file"
    );
    set_length("train.bin", 1);
    set_length("fine_label_names.txt", BOMB);
    assert_eq!(
        error_within(MB, directory.path(), || cifar100::from_path(directory.path(), cifar100::Labels::Fine)),
        "DIR/fine_label_names.txt: 33554432 bytes, but a file of CIFAR-100 has at most 65536\n  \
         help: get a fresh copy of the file"
    );
}

/// A fixture whose header says 6000×6000 pixels, 108 MB.
#[cfg(feature = "images")]
fn lying_image(name: &str) -> Vec<u8> {
    let mut bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)).unwrap();
    let side = 6000_u16.to_be_bytes();
    if bytes.starts_with(&[0xff, 0xd8]) {
        // After the marker of a frame, baseline or progressive: length, precision, height, width.
        let frame = bytes.windows(2).position(|two| matches!(two, [0xff, 0xc0 | 0xc2])).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[side, side].concat());
    } else {
        bytes[16..24].copy_from_slice(&[[0, 0], side, [0, 0], side].concat());
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    }
    bytes
}

#[cfg(feature = "images")]
#[test]
fn an_image_has_no_more_pixels_than_its_file_can_hold() {
    use chainrule_data::image_folder::ImageFolder;

    for name in ["rgb444.jpg", "progressive.jpg", "rgb8.png", "interlaced.png", "rgba16.png"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("class").join(name);
        fs::create_dir(path.parent().unwrap()).unwrap();
        let bytes = lying_image(name);
        fs::write(&path, &bytes).unwrap();
        let (result, peak) = peak(|| ImageFolder::new().load_part(directory.path()));
        assert!(peak < MB, "{name}: {peak}");
        assert_eq!(
            result.unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR"),
            format!(
                "cannot decode DIR/class/{name}: its header says 6000×6000 pixels, more than a file of {} bytes can hold\n  \
                 help: replace the file, or remove it from the folder",
                bytes.len()
            )
        );
    }
}

/// A PNG file may compress by a factor of 1000. After the first one of a folder, the header is compared with its size.
#[cfg(feature = "images")]
#[test]
fn an_image_of_another_size_is_not_decoded() {
    use chainrule_data::image_folder::ImageFolder;

    let png = |side: u32| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![0; (side * side) as usize]).unwrap();
        writer.finish().unwrap();
        bytes
    };
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("class")).unwrap();
    fs::write(directory.path().join("class/a.png"), png(2)).unwrap();
    fs::write(directory.path().join("class/b.png"), png(6000)).unwrap();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
    let (result, peak) = peak(|| threads.install(|| ImageFolder::new().load_part(directory.path())));
    assert!(peak < MB, "{peak}");
    assert_eq!(
        result.unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR"),
        "DIR/class/b.png: image of 6000×6000 pixels\n  expected 2×2, the size of DIR/class/a.png\n  \
         help: resize all images to the same size"
    );
}

#[test]
fn the_measurement_sees_what_is_held() {
    let (bytes, peak) = peak(|| vec![1_u8; 5 << 20]);
    assert!(bytes.len() as i64 <= peak && peak < 6 * MB, "{peak}");
}
