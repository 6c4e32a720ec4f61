//! NumPy's .npy files, of one array, and .npz files, of named arrays.
//!
//! Read are the versions 1.0, 2.0 and 3.0 of the format, numbers in either byte order and arrays in the order of C or Fortran.
//! Written are the bytes that `np.save` writes. Arrays of objects, text, records, dates and complex numbers are refused.

mod header;
mod npz;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chainrule_nn::{NnError, StoredTensor, atomic_file};
use chainrule_tensor::{Element, TensorOf};

pub(crate) use npz::{EXTENSION, read_arrays};
pub use npz::{read_npz, write_npz, write_npz_compressed};

use crate::archive::read_bytes;
use crate::error::{FormatError, Problem, Result, damaged};
use crate::strided::{Strided, swap_bytes};
use header::Header;

/// Reads the array of a .npy file. Floats of any format are converted to the nearest `f32` or `f64`; integers and Boolean
/// values to any type that has exactly these numbers.
///
/// ```no_run
/// # use std::path::Path;
/// # use chainrule_formats::npy;
/// # use chainrule_tensor::Tensor;
/// let x: Tensor = npy::read(Path::new("x.npy"))?;
/// npy::write(Path::new("y.npy"), &x)?;
/// # Ok::<(), chainrule_formats::FormatError>(())
/// ```
///
/// # Errors
/// [`FormatError`]; among others if `T` does not have one of the numbers.
pub fn read<T: Element>(path: &Path) -> Result<TensorOf<T>> {
    read_stored(path)?.to_tensor().map_err(|error| match error {
        NnError::Conversion { why } => FormatError::Refused {
            path: path.into(),
            what: why,
            help: "ask for another type, or in Python: np.save(FILE, array.astype('f4'))".into(),
        },
        other => other.into(),
    })
}

/// Reads the array of a .npy file, of any number of axes, in the format of its numbers.
///
/// # Errors
/// [`FormatError`]
pub fn read_stored(path: &Path) -> Result<StoredTensor<'static>> {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let array = decode(&mut file, None, length)?;
        if file.read(&mut [0])? > 0 { damaged("it goes on after the array") } else { Ok(array) }
    };
    read().map_err(|problem: Problem| problem.of(path))
}

/// Writes a tensor to a .npy file, atomically: the bytes that `np.save` writes.
///
/// # Errors
/// [`FormatError::Write`]; a previous file is unchanged.
pub fn write<T: Element>(path: &Path, x: &TensorOf<T>) -> Result<()> {
    write_stored(path, &x.into())
}

/// As [`write()`], for a tensor of any format that NumPy has.
///
/// # Errors
/// [`FormatError::Write`], or [`FormatError::Refused`] if NumPy has no such format; a previous file is unchanged.
pub fn write_stored(path: &Path, x: &StoredTensor<'_>) -> Result<()> {
    let header = Header::write(x.dtype(), x.shape()).map_err(|problem| problem.of(path))?;
    atomic_file::write(path, &[&header, x.bytes()].concat())
        .map_err(|source| FormatError::Write { path: path.into(), source })
}

/// The array of a .npy file. `length` is what it must have in all, if that is known; `there` bytes may be reserved at once.
fn decode(reader: &mut dyn Read, length: Option<u64>, there: u64) -> Result<StoredTensor<'static>, Problem> {
    let header = Header::read(reader)?;
    let size = header.dtype.bitsize() / 8;
    let layout = Strided::fortran(&header.shape);
    let bytes = layout.numel().and_then(|n| n.checked_mul(size)).filter(|&n| isize::try_from(n).is_ok());
    let Some(bytes) = bytes else {
        return damaged(format!("its shape {:?} has more elements than this machine can address", header.shape));
    };
    if let Some(length) = length.filter(|&length| length != (header.length + bytes) as u64) {
        return damaged(format!(
            "its header says {:?} {:?}, that is {bytes} bytes, but it has {}",
            header.dtype,
            header.shape,
            length.saturating_sub(header.length as u64)
        ));
    }
    let mut data = read_bytes(reader, bytes as u64, there)?;
    if header.big_endian {
        swap_bytes(&mut data, size);
    }
    // One axis has the same order either way.
    if header.fortran_order && header.shape.len() > 1 {
        data = layout.gather(&data, size);
    }
    Ok(StoredTensor::new(header.dtype, header.shape, data))
}
