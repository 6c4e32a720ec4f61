//! Pickles that lie: sizes, strides, cycles, programs. Errors name what is wrong, and memory is bounded.

use std::fs;

use chainrule_formats::read_weights;

use crate::builder::{DAMAGED, Pickle, error, error_within, one_tensor, pt};
use crate::fixture;
use crate::peak::MB;

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
}
