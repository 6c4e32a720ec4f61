//! Files of weights of any kind, recognized by their first bytes.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use chainrule_nn::{LoadOptions, LoadReport, Module, StoredTensors, read_safetensors};
use chainrule_tensor::Float;

use crate::archive::Archive;
use crate::error::{Problem, Result, damaged};
use crate::{npy, pytorch};

/// Reads the tensors of a file of weights by name. Its kind is recognized by its first bytes, whatever its extension:
///
/// - safetensors; of a checkpoint the weights alone,
/// - PyTorch's .pt and .pth, in the ZIP format and in the legacy one: a `state_dict()`, alone or in a dict under `state_dict`,
///   `model_state_dict` or `model`,
/// - NumPy's .npz, compressed or not.
///
/// No code in a file is run. Much more memory than the file has bytes is not used, except for compressed .npz files, which may
/// grow to 100 times their size.
///
/// ```no_run
/// # use std::path::Path;
/// for (name, x) in chainrule_formats::read_weights(Path::new("resnet18.pth"))? {
///     println!("{name} {:?} {:?}", x.dtype(), x.shape());
/// }
/// # Ok::<(), chainrule_formats::FormatError>(())
/// ```
///
/// # Errors
/// [`FormatError`](crate::FormatError), whose text has the file, what is wrong, and what to do.
pub fn read_weights(path: &Path) -> Result<StoredTensors<'static>> {
    let read = || {
        Ok(match open(path)? {
            Contents::Safetensors => None,
            Contents::Legacy(file) => Some(pytorch::read_legacy(file)?),
            Contents::Zip(file) => Some(read_zip(file)?),
        })
    };
    match read().map_err(|problem: Problem| problem.of(path))? {
        Some(tensors) => Ok(tensors),
        None => Ok(read_safetensors(path)?),
    }
}

/// Loads the weights of a net from a file of any kind that [`read_weights`] reads. If it fails, nothing is changed.
///
/// ```no_run
/// # use std::path::Path;
/// use chainrule_formats::load_weights;
/// use chainrule_nn::{LoadOptions, nets};
/// # let net: chainrule_nn::Linear = chainrule_nn::Linear::new(4, 2, &mut chainrule_tensor::Rng::seed(0));
///
/// let report = load_weights(&net, Path::new("resnet18.pth"), &LoadOptions::new().strict(false))?;
/// println!("{report}");
/// # Ok::<(), chainrule_formats::FormatError>(())
/// ```
///
/// # Errors
/// Those of [`read_weights`], and those of [`LoadOptions::load`].
pub fn load_weights<T: Float>(net: &dyn Module<T>, path: &Path, options: &LoadOptions<'_>) -> Result<LoadReport> {
    // Options may ask for the average of a checkpoint, so its file is read by them.
    if let Contents::Safetensors = open(path).map_err(|problem| problem.of(path))? {
        return Ok(options.load(net, path)?);
    }
    Ok(options.load_tensors(net, &read_weights(path)?, path)?)
}

enum Contents {
    Safetensors,
    Zip(File),
    Legacy(File),
}

/// The bytes that are looked at: up to the mark of tar archives.
const START: u64 = 512;
/// The length of a safetensors header comes before it.
const HEADER_AT: usize = 8;

fn open(path: &Path) -> Result<Contents, Problem> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    (&mut file).take(START).read_to_end(&mut start)?;
    file.rewind()?;
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Ok(Contents::Zip(file))
    } else if pytorch::is_legacy(&start) {
        Ok(Contents::Legacy(file))
    } else if start.get(HEADER_AT) == Some(&b'{') {
        Ok(Contents::Safetensors)
    } else {
        Err(unknown(&start))
    }
}

fn read_zip(file: File) -> Result<StoredTensors<'static>, Problem> {
    let length = file.metadata()?.len();
    let mut archive = Archive::open(file)?;
    if let Some(root) = pytorch::root(&archive) {
        return pytorch::read_archive(&mut archive, &root, length);
    }
    if archive.names().any(|name| name.ends_with(npy::EXTENSION)) {
        return npy::read_arrays(&mut archive);
    }
    match archive.names().next() {
        None => damaged("an empty ZIP archive"),
        Some(first) => Err(Problem::refused(
            format!(
                "a ZIP archive that neither torch.save nor np.savez wrote (it begins with '{}')",
                first.escape_debug()
            ),
            "unpack it, and pass the file of weights in it",
        )),
    }
}

const READ: &str = "the weights of safetensors, of PyTorch's .pt and .pth and of NumPy's .npz are read";

/// The refusal of a file with this start.
fn unknown(start: &[u8]) -> Problem {
    const STARTS: [(&[u8], &str, &str); 10] = [
        (b"\x93NUMPY", "a single NumPy array, which has no name", "in Python: np.savez(FILE, name=array)"),
        (b"\x89HDF\r\n", "an HDF5 file, such as Keras writes", "in Python, save its arrays: np.savez(FILE, **arrays)"),
        (b"GGUF", "a GGUF file", "convert it to safetensors"),
        (b"\x80", "a pickle that torch.save did not write", "in Python: torch.save(state_dict, FILE)"),
        (b"\x1f\x8b", "compressed with gzip", "unpack it"),
        (b"\xfd7zXZ\0", "compressed with xz", "unpack it"),
        (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it"),
        (b"BZh", "compressed with bzip2", "unpack it"),
        (b"version https://git-lfs", "a Git LFS pointer and not the file itself", "fetch the file with `git lfs pull`"),
        (b"<", "a web page or other markup", "get the file itself: the server may have sent an error page"),
    ];
    const TAR: (usize, &[u8]) = (257, b"ustar");
    if start.is_empty() {
        return Problem::Damaged("it is empty".into());
    }
    if start.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1)) {
        return Problem::refused(
            "a tar archive, such as PyTorch 0.1 wrote",
            "in Python, if you trust it: torch.save(torch.load(FILE, weights_only=False), NEW)",
        );
    }
    match STARTS.into_iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some((_, what, help)) => Problem::refused(what, help),
        None => Problem::refused(
            format!("no file of weights: it begins with '{}'", start[..start.len().min(8)].escape_ascii()),
            READ,
        ),
    }
}
