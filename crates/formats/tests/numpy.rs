//! The files of `files/make.py`, which NumPy wrote, and that ours are the same bytes.

use std::fs;

use chainrule_formats::{npy, read_weights};
use chainrule_nn::{Dtype, StoredTensor, StoredTensors};
use chainrule_tensor::{Tensor, Tensor64, TensorOf};

use crate::{fixture, text};

const FORMATS: [(&str, Dtype); 12] = [
    ("b1", Dtype::BOOL),
    ("f2", Dtype::F16),
    ("f4", Dtype::F32),
    ("f8", Dtype::F64),
    ("i1", Dtype::I8),
    ("i2", Dtype::I16),
    ("i4", Dtype::I32),
    ("i8", Dtype::I64),
    ("u1", Dtype::U8),
    ("u2", Dtype::U16),
    ("u4", Dtype::U32),
    ("u8", Dtype::U64),
];

fn written(write: impl FnOnce(&std::path::Path) -> chainrule_formats::Result<()>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    write(&path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn every_format_is_read_and_written_as_numpy_writes_it() {
    let quarters = Tensor64::from([[0.0, 0.25, 0.5], [0.75, 1.0, 1.25]]);
    let whole = Tensor64::from([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    for (name, dtype) in FORMATS {
        let path = fixture(&format!("{name}.npy"));
        let stored = npy::read_stored(&path).unwrap();
        assert_eq!(stored.dtype(), dtype);
        assert_eq!(written(|path| npy::write_stored(path, &stored)), fs::read(&path).unwrap(), "{name}");
        let expected = match name {
            "b1" => Tensor64::from([1.0, 0.0, 1.0]),
            "f2" | "f4" | "f8" => quarters.clone(),
            _ => whole.clone(),
        };
        assert_eq!(npy::read::<f64>(&path).unwrap(), expected, "{name}");
    }
}

#[test]
fn tensors_of_every_element_type_go_both_ways() {
    fn same<T: chainrule_tensor::Element>(name: &str) {
        let path = fixture(name);
        let x = npy::read::<T>(&path).unwrap();
        assert_eq!(written(|path| npy::write(path, &x)), fs::read(&path).unwrap(), "{name}");
        // A view is written as what it shows.
        let bytes = written(|path| npy::write(path, &x.transpose(0, 1)));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.npy"), bytes).unwrap();
        assert_eq!(npy::read::<T>(&folder.path().join("t.npy")).unwrap().transpose(0, 1), x);
    }
    same::<f32>("f4.npy");
    same::<f64>("f8.npy");
    same::<i32>("i4.npy");
    same::<u8>("u1.npy");
}

#[test]
fn shapes_orders_and_versions() {
    let big: TensorOf<i32> = npy::read(&fixture("big_fortran.npy")).unwrap();
    assert_eq!(big, TensorOf::from_fn([2, 3, 4], |i| i as i32));
    let aligned = npy::read_stored(&fixture("aligned.npy")).unwrap();
    assert_eq!(aligned.shape().len(), 14);
    assert_eq!(written(|path| npy::write_stored(path, &aligned)), fs::read(fixture("aligned.npy")).unwrap());
    for name in ["scalar.npy", "empty.npy", "long.npy"] {
        let x: Tensor = npy::read(&fixture(name)).unwrap();
        assert_eq!(written(|path| npy::write(path, &x)), fs::read(fixture(name)).unwrap(), "{name}");
    }
    assert_eq!(npy::read::<f32>(&fixture("scalar.npy")).unwrap().item(), 1.5);
    let f4: Tensor = npy::read(&fixture("f4.npy")).unwrap();
    for name in ["version2.npy", "version3.npy"] {
        assert_eq!(npy::read::<f32>(&fixture(name)).unwrap(), f4, "{name}");
    }
}

#[test]
fn numbers_that_a_type_does_not_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    npy::write(&path, &TensorOf::from([1_i32, -7])).unwrap();
    assert_eq!(npy::read::<f32>(&path).unwrap(), Tensor::from([1.0, -7.0]));
    assert_eq!(
        text(&npy::read::<u8>(&path).unwrap_err(), &path),
        "DIR/x.npy: saved with -7, which u8 cannot represent\n  \
         help: ask for another type, or in Python: np.save(FILE, array.astype('f4'))"
    );
    npy::write(&path, &Tensor64::from([1.5])).unwrap();
    assert_eq!(npy::read::<f32>(&path).unwrap(), Tensor::from([1.5]));
    assert_eq!(
        text(&npy::read::<i32>(&path).unwrap_err(), &path),
        "DIR/x.npy: saved as F64, which i32 cannot represent\n  \
         help: ask for another type, or in Python: np.save(FILE, array.astype('f4'))"
    );
    let halves = StoredTensor::new(Dtype::BF16, [1], vec![0, 0]);
    let before = fs::read(&path).unwrap();
    for error in [
        npy::write_stored(&path, &halves).unwrap_err(),
        npy::write_npz(&path, &StoredTensors::from([("w".into(), halves)])).unwrap_err(),
    ] {
        assert_eq!(
            text(&error, &path).replace("w: ", ""),
            "DIR/x.npy: NumPy has no format for BF16\n  help: convert it to F32, or save it as safetensors"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn arrays_that_are_no_numbers_are_refused_by_name() {
    const HELP: &str = "in Python, save it as numbers of one of the formats f2, f4, f8, i1 to i8, u1 to u8 or bool: array.astype('f4')";
    for (name, expected) in [
        (
            "object.npy",
            "an array of Python objects, that is a pickle: to read it, code would have to run\n  \
             help: in Python, save numbers: np.save(FILE, array.astype('f4'))"
                .to_owned(),
        ),
        ("text.npy", format!("an array of text ('<U2')\n  help: {HELP}")),
        ("complex.npy", format!("an array of complex numbers ('<c8')\n  help: {HELP}")),
        (
            "records.npy",
            "an array of records (a structured dtype)\n  help: in Python, save each of its fields: \
             np.savez(FILE, **{name: array[name] for name in array.dtype.names})"
                .into(),
        ),
    ] {
        let path = fixture(name);
        assert_eq!(text(&npy::read_stored(&path).unwrap_err(), &path), format!("DIR/{name}: {expected}"));
    }
}

#[test]
fn archives_of_arrays_go_both_ways() {
    let expected: StoredTensors<'_> = FORMATS
        .iter()
        .map(|(name, _)| ((*name).to_owned(), npy::read_stored(&fixture(&format!("{name}.npy"))).unwrap()))
        .collect();
    for name in ["arrays.npz", "compressed.npz"] {
        assert_eq!(npy::read_npz(&fixture(name)).unwrap(), expected, "{name}");
        assert_eq!(read_weights(&fixture(name)).unwrap(), expected, "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    npy::write_npz(&path, &expected).unwrap();
    let stored = fs::read(&path).unwrap();
    assert_eq!(npy::read_npz(&path).unwrap(), expected);
    npy::write_npz(&path, &expected).unwrap();
    assert_eq!(fs::read(&path).unwrap(), stored, "the same tensors are the same bytes");
    npy::write_npz_compressed(&path, &expected).unwrap();
    assert_eq!(npy::read_npz(&path).unwrap(), expected);
    assert!(fs::read(&path).unwrap().len() < stored.len());
}
