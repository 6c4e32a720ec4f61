//! Files that lie: sizes, strides, bombs, cycles, programs in pickles. Errors name what is wrong, and memory is bounded.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use chainrule_formats::{npy, read_weights};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::peak::{MB, peak};
use crate::{fixture, refusal, text};

const DAMAGED: &str = "help: get a fresh copy of the file";

/// A pickle, operation by operation.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    fn int(self, n: i64) -> Self {
        self.raw(b"\x8a\x08").raw(&n.to_le_bytes())
    }

    fn ints(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.raw(b"("), |pickle, &n| pickle.int(n)).raw(b"t")
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// A storage of floats.
    fn storage(self, key: &str, numel: i64) -> Self {
        self.raw(b"(").text("storage").global("torch", "FloatStorage").text(key).text("cpu").int(numel).raw(b"tQ")
    }

    /// A tensor of floats in a storage.
    fn tensor(self, key: &str, numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        let pickle = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(key, numel).int(offset);
        pickle.ints(shape).ints(strides).raw(b"\x89").global("collections", "OrderedDict").raw(b")RtR")
    }

    fn end(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A state_dict with one tensor.
fn one_tensor(numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    Pickle::new().raw(b"}").text("w").tensor("0", numel, offset, shape, strides).raw(b"s").end()
}

/// An archive of these entries.
pub fn zip(entries: &[(impl AsRef<str>, impl AsRef<[u8]>)], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive.start_file(name.as_ref(), SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes.as_ref()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The entries of an archive.
pub fn unzip(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let entries = 0..archive.len();
    let read = |i| {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    entries.map(read).collect()
}

/// A .pt file of this pickle and a storage.
fn pt(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let entries: [(&str, &[u8]); 3] = [("x/data.pkl", pickle), ("x/byteorder", b"little"), ("x/data/0", storage)];
    zip(&entries, CompressionMethod::Stored)
}

/// The error of reading these bytes, which must hold less than `limit` bytes.
fn error_within(limit: i64, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    fs::write(&path, bytes).unwrap();
    let (result, held) = peak(|| read_weights(&path));
    assert!(held < limit, "{held} bytes were held for a file of {}", bytes.len());
    text(&result.unwrap_err(), &path)
}

fn error(bytes: &[u8]) -> String {
    error_within(MB, bytes)
}

#[test]
fn the_builder_of_these_tests_makes_files_that_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    fs::write(&path, pt(&one_tensor(4, 1, &[2], &[2]), &[0; 16])).unwrap();
    let tensors = read_weights(&path).unwrap();
    assert_eq!((tensors["w"].shape(), tensors["w"].bytes()), (&[2][..], &[0; 8][..]));
}

#[test]
fn classes_and_functions_are_refused_by_what_the_pickle_does_with_them() {
    const UNREAD: &str = "which is refused: only tensors, dicts, lists, tuples, text and numbers are read, and no code is run\n  \
                          help: if you trust the file, save its weights alone, in Python: \
                          torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)";
    let new = Pickle::new;
    for (pickle, what) in [
        (new().global("os", "system").raw(b"(").text("true").raw(b"tR"), "calls os.system"),
        (
            new().raw(b"}").text("args").global("argparse", "Namespace").raw(b")\x81s"),
            "creates an object of the class argparse.Namespace",
        ),
        (new().raw(b"}").text("f").global("builtins", "eval").raw(b"s"), "names builtins.eval"),
        (new().text("builtins").text("exec").raw(b"\x93)R"), "calls builtins.exec"),
        // Also in what is thrown away, and in the memo only.
        (new().global("subprocess", "Popen").raw(b"0}"), "names subprocess.Popen"),
        (new().global("a\x1b[31m", "b").raw(b")R"), "calls a\\u{1b}[31m.b"),
        (new().global("torch", "load").raw(b")R"), "calls torch.load"),
        (new().global("torch.storage", "_load_from_bytes").raw(b")R"), "calls torch.storage._load_from_bytes"),
        (new().global("numpy.core.multiarray", "scalar").raw(b")R"), "calls numpy.core.multiarray.scalar"),
    ] {
        let expected = format!("DIR/x.pt: x/data.pkl: its pickle {what}, {UNREAD}");
        assert_eq!(error(&pt(&pickle.end(), &[])), expected);
    }
    // A call of what is no function at all.
    for (pickle, why) in [
        (new().text("x").raw(b")R"), "its pickle calls text"),
        (new().global("torch", "float32").raw(b")R"), "its pickle calls the type of a storage or of numbers"),
        (new().global("collections", "OrderedDict").text("x").raw(b"R"), "its pickle calls a function without a tuple"),
        (new().global("collections", "OrderedDict").text("x").raw(b"\x85R"), "a dict is made of text"),
        (new().text("x").raw(b"}b"), "its pickle sets attributes of text"),
        (new().raw(b"]").text("x").text("y").raw(b"s"), "its pickle sets an entry of a list"),
        (new().raw(b"}").text("x").raw(b"a"), "its pickle appends to a dict"),
        (new().raw(b"}(").text("x").raw(b"u"), "its pickle has a key without a value"),
        (new().raw(b"(").text("container").raw(b"tQ"), "a persistent id of no storage"),
        (new().raw(b"NQ"), "a persistent id is None"),
        (new().raw(b"\xff"), "its pickle has the byte 0xff, which is no operation"),
        (new().raw(b"("), "its pickle takes a value that it has not made"),
        (new().raw(b"N(0R"), "its pickle takes a value that it has not made"),
        (new().raw(b"h\x07"), "its pickle uses value 7 before it is made"),
        (new().raw(b"Ixyz\n"), "its pickle has 'xyz' in place of an integer"),
    ] {
        assert_eq!(error(&pt(&pickle.end(), &[])), format!("DIR/x.pt: damaged: x/data.pkl: {why}\n  {DAMAGED}"));
    }
    for (bytes, what, help) in [
        (
            &b"\x80\x06N."[..],
            "protocol 6 of pickles; those up to 5 are read",
            "in Python: torch.save(…, pickle_protocol=2)",
        ),
        (
            b"(S'ls'\n.",
            "its pickle has the operation STRING, which torch.save does not write",
            "in Python: torch.save(state_dict, FILE)",
        ),
        (
            b"(ios\nsystem\n.",
            "its pickle has the operation INST, which torch.save does not write",
            "in Python: torch.save(state_dict, FILE)",
        ),
    ] {
        assert_eq!(error(&pt(bytes, &[])), format!("DIR/x.pt: x/data.pkl: {what}\n  help: {help}"));
    }
}

#[test]
fn tensors_do_not_go_beyond_their_storage() {
    let beyond = |what: &str| format!("x/data.pkl: a tensor of {what} goes beyond its storage '0' of 4 elements");
    let big = i64::MAX;
    for (pickle, why) in [
        (one_tensor(4, 0, &[5], &[1]), beyond("shape [5], strides [1] and offset 0")),
        (one_tensor(4, 4, &[1], &[1]), beyond("shape [1], strides [1] and offset 4")),
        (one_tensor(4, 0, &[2, 2], &[3, 1]), beyond("shape [2, 2], strides [3, 1] and offset 0")),
        (one_tensor(4, 0, &[2], &[big]), beyond("shape [2], strides [9223372036854775807] and offset 0")),
        (
            one_tensor(4, 0, &[big, big], &[0, 0]),
            beyond("shape [9223372036854775807, 9223372036854775807], strides [0, 0] and offset 0"),
        ),
        (one_tensor(4, 0, &[-1], &[1]), "x/data.pkl: a length, stride or offset of -1".into()),
        (one_tensor(4, 0, &[1], &[]), "x/data.pkl: a tensor with 1 axes has 0 strides".into()),
        (one_tensor(4, 0, &[1; 65], &[1; 65]), "x/data.pkl: a tensor with 65 axes; PyTorch allows 64".into()),
        // A number of elements that the file does not have.
        (
            one_tensor(1 << 40, 0, &[4], &[1]),
            "storage '0' has 16 bytes, and its pickle says Some(4398046511104)".into(),
        ),
        (one_tensor(big, 0, &[4], &[1]), "storage '0' has 16 bytes, and its pickle says None".into()),
        (one_tensor(3, 0, &[1], &[1]), "storage '0' has 16 bytes, and its pickle says Some(12)".into()),
    ] {
        assert_eq!(error(&pt(&pickle, &[0; 16])), format!("DIR/x.pt: damaged: {why}\n  {DAMAGED}"));
    }
    let two = Pickle::new().raw(b"}").text("v").tensor("0", 4, 0, &[1], &[1]).raw(b"s").text("w");
    let two = two.tensor("0", 5, 0, &[1], &[1]).raw(b"s").end();
    assert_eq!(
        error(&pt(&two, &[0; 16])),
        format!("DIR/x.pt: damaged: x/data.pkl: storage '0' has two sizes\n  {DAMAGED}")
    );
    let missing = Pickle::new().raw(b"}").text("w").tensor("../0", 4, 0, &[4], &[1]).raw(b"s").end();
    assert_eq!(error(&pt(&missing, &[0; 16])), format!("DIR/x.pt: damaged: it has no 'x/data/../0'\n  {DAMAGED}"));
}

#[test]
fn expanded_and_repeated_tensors_are_bounded_by_the_file() {
    let expanded = pt(&one_tensor(4, 0, &[1 << 20, 1 << 10], &[0, 0]), &[0; 16]);
    let length = expanded.len();
    assert_eq!(
        error(&expanded),
        format!(
            "DIR/x.pt: its tensors up to 'w' have 4294967296 bytes, far more than the file ({length})\n  \
             help: in Python, save what expanded tensors repeat: torch.save({{name: tensor.clone() …}}, FILE)"
        )
    );
    // Each is a view of one storage, as a whole.
    let numel = 1 << 14;
    let mut pickle = Pickle::new().raw(b"}");
    for i in 0..100 {
        pickle = pickle.text(&format!("w{i:02}")).tensor("0", numel, 0, &[numel], &[1]).raw(b"s");
    }
    let repeated = pt(&pickle.end(), &vec![0; 4 << 14]);
    let length = repeated.len();
    let text = error_within(2 * MB, &repeated);
    assert!(text.starts_with("DIR/x.pt: its tensors up to 'w"), "{text}");
    assert!(text.contains(&format!("far more than the file ({length})")), "{text}");
}

#[test]
fn cycles_are_no_trap() {
    let key = |pickle: Pickle| pickle.text("state_dict").raw(b"h\x00s");
    let own = key(Pickle::new().raw(b"}q\x00")).end();
    assert_eq!(
        error(&pt(&own, &[])),
        "DIR/x.pt: no weights in its dict, which has 'state_dict'\n  \
         help: in Python, save the state_dict alone: torch.save(net.state_dict(), FILE)"
    );
    let list = Pickle::new().raw(b"]q\x00h\x00a").end();
    assert_eq!(
        error(&pt(&list, &[])),
        "DIR/x.pt: it has a list and no state_dict\n  \
         help: in Python, save tensors by name: torch.save({'name': tensor}, FILE)"
    );
    // A tensor whose size is a list that has itself.
    let size = Pickle::new().raw(b"]q\x00h\x00a0}").text("w").global("torch._utils", "_rebuild_tensor").raw(b"(");
    let size = size.storage("0", 4).int(0).raw(b"h\x00h\x00tRs").end();
    assert_eq!(
        error(&pt(&size, &[])),
        format!("DIR/x.pt: damaged: x/data.pkl: a length, stride or offset that is no number\n  {DAMAGED}")
    );
}

#[test]
fn pickles_are_bounded_in_work_and_memory() {
    let damaged = |why: &str| format!("DIR/x.pt: damaged: x/data.pkl: {why}\n  {DAMAGED}");
    let pickle = |bytes: &[u8]| pt(&Pickle::new().raw(bytes).end(), &[]);
    // Nesting a million deep, which no walk and no drop may follow by recursion.
    let text = error_within(100 * MB, &pickle(&[&b")"[..], &vec![0x85; 1 << 20]].concat()));
    assert_eq!(
        text,
        "DIR/x.pt: it has a tuple and no state_dict\n  \
         help: in Python, save tensors by name: torch.save({'name': tensor}, FILE)"
    );
    assert_eq!(error_within(4 * MB, &pickle(&vec![b'('; 1 << 20])), damaged("its pickle nests more than 65536 values"));
    assert_eq!(
        error_within(8 * MB, &pickle(&vec![b']'; 1 << 20])),
        damaged("its pickle stacks more than 65536 values")
    );
    let values = b"]0".repeat(1 << 22);
    assert_eq!(error_within(150 * MB, &pickle(&values)), damaged("its pickle has more than 4194304 operations"));
    // Dicts that are made of one long list, again and again.
    let pair = b"K\x00K\x00\x86a".repeat(30_000);
    let copies = b"h\x00h\x01\x85R0".repeat(30_000);
    let list = Pickle::new().global("collections", "OrderedDict").raw(b"q\x00]").raw(&pair).raw(b"q\x01");
    assert_eq!(
        error_within(200 * MB, &pt(&list.raw(&copies).end(), &[])),
        damaged("its pickle has more than 4194304 operations")
    );
    // Lengths of what is not there, and the memo at its far end.
    for (bytes, why) in [
        (&b"X\xff\xff\xff\x7f"[..], "its pickle has more than 67108864 bytes"),
        (b"X\x00\x00\x00\x01", "its pickle: it should have 16777216 more bytes, and ends after 1"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "its pickle has more than 67108864 bytes"),
        (b"\x8b\x00\x00\x00\x01", "its pickle: it should have 16777216 more bytes, and ends after 1"),
        (b"cab", "its pickle: it ends too early"),
    ] {
        assert_eq!(error_within(3 * MB, &pickle(bytes)), damaged(why));
    }
    let name = [b"c", vec![b'a'; 300].as_slice()].concat();
    assert_eq!(error(&pickle(&name)), damaged("its pickle has a name of more than 256 bytes"));
    let memo = Pickle::new().raw(b"}r\xff\xff\xff\xff0j\xff\xff\xff\xff").end();
    assert_eq!(
        error(&pt(&memo, &[])),
        "DIR/x.pt: its dict has no tensors\n  \
         help: in Python, save the state_dict alone: torch.save(net.state_dict(), FILE)"
    );
}

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

/// The legacy container, whose parts follow each other without sizes.
#[test]
fn the_parts_of_a_legacy_file_must_agree() {
    let magic = fs::read(fixture("net_legacy.pt")).unwrap()[..15].to_vec();
    let part = |pickle: Pickle| pickle.end();
    let file = |version: i64, pickle: &[u8], keys: Pickle, data: &[u8]| {
        [&magic, &part(Pickle::new().int(version)), &part(Pickle::new().raw(b"}")), pickle, &part(keys), data].concat()
    };
    let keys = |key: &str| Pickle::new().raw(b"]").text(key).raw(b"a");
    let data = |numel: u64| [&numel.to_le_bytes()[..], &[0; 16]].concat();
    let tensor = one_tensor(4, 0, &[4], &[1]);
    let damaged = |why: &str| format!("DIR/x.pt: damaged: {why}\n  {DAMAGED}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    fs::write(&path, file(1001, &tensor, keys("0"), &data(4))).unwrap();
    assert_eq!(read_weights(&path).unwrap()["w"].shape(), [4]);
    for (bytes, why) in [
        (file(1001, &tensor, keys("0"), &data(5)), "storage '0' has 5 elements, and its pickle says 4"),
        (file(1001, &tensor, keys("1"), &data(4)), "it has a storage that its pickle does not describe"),
        (
            file(1001, &tensor, keys("0"), &data(4)[..20]),
            "storage '0' should have 16 bytes, and the file ends after 12",
        ),
        (file(1001, &tensor, keys("0"), &[data(4), vec![0]].concat()), "it goes on after the last storage"),
        (file(1001, &tensor, Pickle::new().raw(b"]"), &[]), "storage '0' is missing"),
        (file(1001, &tensor, Pickle::new().raw(b"N"), &[]), "the keys of its storages are None"),
    ] {
        assert_eq!(error(&bytes), damaged(why));
    }
    assert_eq!(
        error(&file(1002, &tensor, keys("0"), &data(4))),
        "DIR/x.pt: version 1002 of PyTorch's legacy format; version 1001 is read\n  help: in Python: torch.save(torch.load(FILE), NEW)"
    );
    let huge = one_tensor(1 << 40, 0, &[4], &[1]);
    assert_eq!(
        error(&file(1001, &huge, keys("0"), &data(1 << 40))),
        damaged("storage '0' should have 4398046511104 bytes, and the file ends after 16")
    );
    assert!(Path::new(&path).exists());
}
