//! Archives and arrays that lie about their sizes, or end too early.

use std::fs;

use chainrule_formats::npy;
use zip::CompressionMethod;

use crate::builder::{DAMAGED, error, error_within, zip};
use crate::peak::{MB, peak};
use crate::{fixture, refusal};

/// The number of entries is read before they are.
#[test]
fn archives_that_announce_many_entries_cost_nothing() {
    let mut many = zip(&[("a.npy", [0; 100])], CompressionMethod::Stored);
    let end = many.len() - 22;
    assert!(many[end..].starts_with(b"PK\x05\x06"));
    many[end + 8..end + 12].fill(0xfe);
    let text = error(&many);
    assert!(text.starts_with("DIR/x.pt: damaged: no whole ZIP archive: "), "{text}");
    // The same with numbers of 64 bits.
    let zip64 = [
        &b"PK\x06\x06"[..],
        &44_u64.to_le_bytes(),
        &[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xff; 24],
        &[0; 8],
        b"PK\x06\x07\0\0\0\0",
        &(end as u64).to_le_bytes(),
        &[1, 0, 0, 0],
    ];
    let mut longer = [&many[..end], &zip64.concat(), &many[end..]].concat();
    let end = longer.len() - 22;
    longer[end + 8..end + 20].fill(0xff);
    let text = error(&longer);
    assert!(text.starts_with("DIR/x.pt: damaged: no whole ZIP archive: "), "{text}");
}

/// The place of a field in the central directory's record of an entry.
fn central(archive: &[u8], name: &str, field: usize) -> usize {
    let record = archive.windows(4).enumerate().filter(|(_, bytes)| *bytes == b"PK\x01\x02").map(|(at, _)| at);
    record.into_iter().find(|at| archive[at + 46..].starts_with(name.as_bytes())).unwrap() + field
}

const COMPRESSED: usize = 20;
const SIZE: usize = 24;

#[test]
fn zip_bombs_are_refused() {
    let header = |n: usize| {
        let text = format!("{:<117}\n", format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n},), }}"));
        [b"\x93NUMPY\x01\x00\x76\x00", text.as_bytes()].concat()
    };
    let array = |says: usize, has: usize| [header(says), vec![0; has]].concat();
    let npz = |array: &[u8]| zip(&[("a.npy", array)], CompressionMethod::Deflated);
    let set = |archive: &mut Vec<u8>, field, value: u32| {
        let at = central(archive, "a.npy", field);
        archive[at..at + 4].copy_from_slice(&value.to_le_bytes());
    };
    // What compresses well is read as it is.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    fs::write(&path, npz(&array(4 << 20, 4 << 20))).unwrap();
    assert_eq!(npy::read_npz(&path).unwrap()["a"].bytes().len(), 4 << 20);

    let text = |archive: &[u8]| error_within(MB, archive);
    // A size that is far too large for the file.
    let mut huge = npz(&array(1 << 16, 1 << 16));
    set(&mut huge, SIZE, 3_000_000_000);
    assert_eq!(
        text(&huge),
        "DIR/x.pt: a.npy: 3000000000 bytes, more than is decompressed of a file of this size\n  \
         help: save it without compression, as np.savez does"
    );
    // A header that does not agree with the size is not followed.
    assert_eq!(
        text(&npz(&array(4 << 20, 1 << 16))),
        format!(
            "DIR/x.pt: damaged: a.npy: its header says U8 [4194304], that is 4194304 bytes, but it has 65536\n  {DAMAGED}"
        )
    );
    // More than the entry's size comes out.
    let mut more = npz(&array(1000, 4 << 20));
    set(&mut more, SIZE, 1128);
    assert_eq!(
        text(&more),
        format!("DIR/x.pt: damaged: a.npy: File is larger than its declared uncompressed size\n  {DAMAGED}")
    );
    // Entries that share their bytes.
    let two = zip(&[("a.npy", &array(1000, 1000)), ("b.npy", &array(1000, 1000))], CompressionMethod::Stored);
    let mut overlap = two.clone();
    let at = central(&overlap, "a.npy", COMPRESSED);
    overlap[at..at + 4].copy_from_slice(&2300_u32.to_le_bytes());
    assert_eq!(
        text(&overlap),
        format!(
            "DIR/x.pt: damaged: its entries have 3428 bytes, more than the whole archive ({})\n  {DAMAGED}",
            two.len()
        )
    );
    // A changed byte.
    let mut changed = two;
    changed[1000] ^= 1;
    assert_eq!(text(&changed), format!("DIR/x.pt: damaged: a.npy: Invalid checksum\n  {DAMAGED}"));
    // A pickle that inflates without end is cut off.
    let zeros = zip(&[("x/data.pkl", &vec![b'N'; 8 << 20])], CompressionMethod::Deflated);
    assert_eq!(
        error_within(4 * MB, &zeros),
        format!("DIR/x.pt: damaged: x/data.pkl: its pickle stacks more than 65536 values\n  {DAMAGED}")
    );
    let mixed = zip(&[("a.npy", array(1, 1)), ("run.sh", b"true".to_vec())], CompressionMethod::Stored);
    assert_eq!(
        text(&mixed),
        "DIR/x.pt: it has 'run.sh', which is no array\n  help: a .npz file has only .npy files; remove the others"
    );
    let other = zip(&[("a.txt", b"")], CompressionMethod::Stored);
    assert_eq!(
        text(&other),
        "DIR/x.pt: a ZIP archive that neither torch.save nor np.savez wrote (it begins with 'a.txt')\n  \
         help: unpack it, and pass the file of weights in it"
    );
}

#[test]
fn npy_headers_that_lie_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let error = |shape: &str, data: usize| {
        let text = format!("{{'descr': '<f8', 'fortran_order': True, 'shape': {shape}, }}");
        let bytes =
            [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &vec![0; data]].concat();
        fs::write(&path, bytes).unwrap();
        let (result, held) = peak(|| npy::read_stored(&path));
        assert!(held < 3 * MB, "{held}");
        crate::text(&result.unwrap_err(), &path)
    };
    let damaged = |why: &str| format!("DIR/x.npy: damaged: {why}\n  {DAMAGED}");
    assert_eq!(error("(3,)", 16), damaged("it should have 24 more bytes, and ends after 16"));
    assert_eq!(error("(3,)", 25), damaged("it goes on after the array"));
    assert_eq!(error("(100000, 100000)", 16), damaged("it should have 80000000000 more bytes, and ends after 16"));
    for shape in ["(4294967296, 4294967296, 0)", "(9223372036854775807,)"] {
        let expected = format!(
            "its shape [{}] has more elements than this machine can address",
            &shape[1..shape.len() - 1].trim_end_matches(',')
        );
        assert_eq!(error(shape, 16), damaged(&expected));
    }
    for (bytes, why) in [
        (&b"\x93NUMPY\x02\x00\xff\xff\xff\xff"[..], "a header of 4294967295 bytes; NumPy allows 10000"),
        (b"\x93NUMPX\x01\x00", "no .npy file: it does not begin with \\x93NUMPY"),
        (b"\x93NUM", "it should have 8 more bytes, and ends after 4"),
        (b"\x93NUMPY\x01\x00\x76", "it ends too early"),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(crate::text(&npy::read_stored(&path).unwrap_err(), &path), damaged(why));
    }
    fs::write(&path, b"\x93NUMPY\x04\x00").unwrap();
    assert_eq!(
        crate::text(&npy::read_stored(&path).unwrap_err(), &path),
        "DIR/x.npy: version 4.0 of the .npy format; 1.0, 2.0 and 3.0 are read\n  \
         help: save it with np.save of a NumPy that writes one of these"
    );
}

#[test]
fn every_shortened_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for name in ["net.pt", "net_legacy.pt", "views_legacy.pt", "compressed.npz"] {
        let whole = fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(1 + whole.len() / 1000) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(refusal(&path).contains("help: "), "{name}, {length} bytes");
        }
    }
}
