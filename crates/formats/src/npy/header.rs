//! The header of a .npy file: the format of its numbers, their order and the shape.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::Read;

use chainrule_nn::Dtype;

use crate::archive::read_bytes;
use crate::error::{Problem, damaged};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own limit.
const MAX_LENGTH: u32 = 10_000;
/// Headers are padded to a multiple of these bytes.
const ALIGNMENT: usize = 64;
/// NumPy leaves space for a first axis of so many digits, so that arrays can grow in place.
const GROWTH_DIGITS: usize = 21;

#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// The length of the header itself.
    pub(super) length: usize,
}

impl Header {
    pub(super) fn read(reader: &mut dyn Read) -> Result<Self, Problem> {
        let start = read_bytes(reader, 8, 8)?;
        if !start.starts_with(MAGIC) {
            return damaged("no .npy file: it does not begin with \\x93NUMPY");
        }
        let (size, length) = match (start[6], start[7]) {
            (1, 0) => (2, array::<2>(reader).map(|b| u16::from_le_bytes(b).into())?),
            (2 | 3, 0) => (4, array::<4>(reader).map(u32::from_le_bytes)?),
            (major, minor) => {
                return Err(Problem::refused(
                    format!("version {major}.{minor} of the .npy format; 1.0, 2.0 and 3.0 are read"),
                    "save it with np.save of a NumPy that writes one of these",
                ));
            }
        };
        if length > MAX_LENGTH {
            return damaged(format!("a header of {length} bytes; NumPy allows {MAX_LENGTH}"));
        }
        let text = read_bytes(reader, length.into(), length.into())?;
        let fields = Literals::of(&text).fields()?;
        let (dtype, big_endian) = format(&fields.descr)?;
        Ok(Self {
            dtype,
            big_endian,
            fortran_order: fields.fortran_order,
            shape: fields.shape,
            length: start.len() + size + text.len(),
        })
    }

    /// The bytes of a header as NumPy writes it, for little-endian numbers in row-major order.
    pub(super) fn write(dtype: Dtype, shape: &[usize]) -> Result<Vec<u8>, Problem> {
        let descr = match dtype {
            Dtype::BOOL => "|b1",
            Dtype::U8 => "|u1",
            Dtype::I8 => "|i1",
            Dtype::U16 => "<u2",
            Dtype::I16 => "<i2",
            Dtype::U32 => "<u4",
            Dtype::I32 => "<i4",
            Dtype::U64 => "<u8",
            Dtype::I64 => "<i8",
            Dtype::F16 => "<f2",
            Dtype::F32 => "<f4",
            Dtype::F64 => "<f8",
            other => {
                return Err(Problem::refused(
                    format!("NumPy has no format for {other:?}"),
                    "convert it to F32, or save it as safetensors",
                ));
            }
        };
        let lengths = match shape {
            [n] => format!("({n},)"),
            _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
        };
        let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {lengths}, }}");
        if let Some(first) = shape.first() {
            text.push_str(&" ".repeat(GROWTH_DIGITS.saturating_sub(first.to_string().len())));
        }
        // Magic, version, length of the text, and the end of its line.
        let unpadded = MAGIC.len() + 2 + 2 + text.len() + 1;
        // NumPy adds a whole block if nothing is missing.
        text.push_str(&" ".repeat(ALIGNMENT - unpadded % ALIGNMENT));
        text.push('\n');
        let Ok(length) = u16::try_from(text.len()) else {
            return Err(Problem::refused(format!("{} axes are too many for a .npy file", shape.len()), "reshape it"));
        };
        Ok([MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat())
    }
}

fn array<const N: usize>(reader: &mut dyn Read) -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The format that NumPy's `descr` names, and whether it is big-endian.
fn format(descr: &str) -> Result<(Dtype, bool), Problem> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let (order, kind) = if "<>=|".contains(order) { (order, kind) } else { ("=", descr) };
    let dtype = match kind {
        "b1" => Dtype::BOOL,
        "u1" => Dtype::U8,
        "i1" => Dtype::I8,
        "u2" => Dtype::U16,
        "i2" => Dtype::I16,
        "u4" => Dtype::U32,
        "i4" => Dtype::I32,
        "u8" => Dtype::U64,
        "i8" => Dtype::I64,
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        _ => return Err(no_numbers(descr, kind)),
    };
    Ok((dtype, order == ">"))
}

/// The refusal of a format that is not read.
fn no_numbers(descr: &str, kind: &str) -> Problem {
    let what = match kind.chars().next() {
        Some('O') => {
            return Problem::refused(
                "an array of Python objects, that is a pickle: to read it, code would have to run",
                "in Python, save numbers: np.save(FILE, array.astype('f4'))",
            );
        }
        Some('S' | 'a' | 'U') => "text",
        Some('V') => "raw bytes or records",
        Some('c') => "complex numbers",
        Some('M' | 'm') => "dates or times",
        Some('f' | 'g') => "long doubles",
        _ => "an unknown format",
    };
    Problem::refused(
        format!("an array of {what} ('{}')", descr.escape_debug()),
        "in Python, save it as numbers of one of the formats f2, f4, f8, i1 to i8, u1 to u8 or bool: array.astype('f4')",
    )
}

struct Fields {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// A reader of the Python literals that occur in headers.
struct Literals<'a>(&'a [u8]);

impl<'a> Literals<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The dictionary.
    fn fields(mut self) -> Result<Fields, Problem> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.accept(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            match key {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                other => return damaged(format!("its header has an unknown field '{}'", other.escape_debug())),
            }
            if !self.accept(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        if !self.0.trim_ascii().is_empty() {
            return damaged("its header goes on after the dictionary");
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Fields { descr, fortran_order, shape }),
            _ => damaged("its header lacks one of descr, fortran_order and shape"),
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        let rest = self.0.trim_ascii_start();
        let rest = rest.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        if self.accept(byte) { Ok(()) } else { self.unexpected(&format!("'{}'", char::from(byte))) }
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, Problem> {
        let rest = String::from_utf8_lossy(self.0.trim_ascii_start());
        let found: String = rest.chars().take(20).collect();
        damaged(format!("its header has '{}' in place of {expected}", found.escape_debug()))
    }

    fn string(&mut self) -> Result<&'a str, Problem> {
        let rest = self.0.trim_ascii_start();
        if let Some((&quote @ (b'\'' | b'"'), rest)) = rest.split_first()
            && let Some(end) = rest.iter().position(|&byte| byte == quote)
            && let Ok(text) = str::from_utf8(&rest[..end])
        {
            self.0 = &rest[end + 1..];
            return Ok(text);
        }
        self.unexpected("text in quotation marks")
    }

    fn descr(&mut self) -> Result<String, Problem> {
        if matches!(self.0.trim_ascii_start().first(), Some(b'[' | b'(')) {
            return Err(Problem::refused(
                "an array of records (a structured dtype)",
                "in Python, save each of its fields: np.savez(FILE, **{name: array[name] for name in array.dtype.names})",
            ));
        }
        self.string().map(str::to_owned)
    }

    fn boolean(&mut self) -> Result<bool, Problem> {
        let rest = self.0.trim_ascii_start();
        for (text, value) in [("True", true), ("False", false)] {
            if let Some(rest) = rest.strip_prefix(text.as_bytes()) {
                self.0 = rest;
                return Ok(value);
            }
        }
        self.unexpected("True or False")
    }

    fn tuple(&mut self) -> Result<Vec<usize>, Problem> {
        let mut numbers = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            let rest = self.0.trim_ascii_start();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse().ok());
            let Some(number) = number else { return self.unexpected("the length of an axis") };
            numbers.push(number);
            // Python 2 wrote long integers as 3L.
            self.0 = rest[digits..].strip_prefix(b"L").unwrap_or(&rest[digits..]);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Header, Problem> {
        let bytes = [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
        Header::read(&mut &bytes[..])
    }

    fn error(text: &str) -> String {
        match read(text).unwrap_err() {
            Problem::Damaged(why) => why,
            Problem::Refused { what, help } => format!("{what}; {help}"),
            Problem::Io(error) => error.to_string(),
        }
    }

    #[test]
    fn headers_may_be_written_as_any_python_literal() {
        let expected = |shape: &[usize], length| Header {
            dtype: Dtype::F64,
            big_endian: true,
            fortran_order: true,
            shape: shape.to_vec(),
            length,
        };
        for (text, shape) in [
            ("{'descr': '>f8', 'fortran_order': True, 'shape': (3, 4), }   \n", &[3, 4][..]),
            ("{\"shape\":(3L,),\"descr\":\">f8\",\"fortran_order\":True}", &[3]),
            (" { 'fortran_order' : True , 'shape' : ( ) , 'descr' : '>f8' } ", &[]),
        ] {
            assert_eq!(read(text).unwrap(), expected(shape, 10 + text.len()), "{text}");
        }
    }

    #[test]
    fn headers_that_are_none_say_where() {
        for (text, expected) in [
            ("", "its header has '' in place of '{'"),
            ("[1]", "its header has '[1]' in place of '{'"),
            ("{'descr': '<f4'}", "its header lacks one of descr, fortran_order and shape"),
            ("{'order': 1}", "its header has an unknown field 'order'"),
            ("{'shape': (-1,)}", "its header has '-1,)}' in place of the length of an axis"),
            (
                "{'shape': (99999999999999999999,)}",
                "its header has '99999999999999999999' in place of the length of an axis",
            ),
            ("{'fortran_order': 1}", "its header has '1}' in place of True or False"),
            ("{'descr': 3}", "its header has '3}' in place of text in quotation marks"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + {}", "its header goes on after the dictionary"),
            ("{'descr': '<f4' 'shape': ()}", "its header has ''shape': ()}' in place of '}'"),
        ] {
            // Single quotes are escaped for display.
            assert_eq!(error(text).replace("\\'", "'"), expected, "{text}");
        }
    }

    #[test]
    fn formats_that_are_no_numbers_are_named() {
        const HELP: &str = "in Python, save it as numbers of one of the formats f2, f4, f8, i1 to i8, u1 to u8 or bool: array.astype('f4')";
        for (descr, what) in [
            ("<U5", "text"),
            ("|S3", "text"),
            ("<c8", "complex numbers"),
            ("<M8[ns]", "dates or times"),
            ("<f16", "long doubles"),
            ("|V2", "raw bytes or records"),
            ("bfloat16", "an unknown format"),
            ("", "an unknown format"),
        ] {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ()}}");
            assert_eq!(error(&text), format!("an array of {what} ('{descr}'); {HELP}"));
        }
        assert_eq!(
            error("{'descr': '|O', 'fortran_order': False, 'shape': ()}"),
            "an array of Python objects, that is a pickle: to read it, code would have to run; \
             in Python, save numbers: np.save(FILE, array.astype('f4'))"
        );
        assert_eq!(
            error("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': ()}"),
            "an array of records (a structured dtype); in Python, save each of its fields: \
             np.savez(FILE, **{name: array[name] for name in array.dtype.names})"
        );
    }
}
