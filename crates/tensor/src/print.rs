//! Printing in `NumPy`'s format.

use std::fmt;

use crate::element::Element;
use crate::tensor::TensorOf;

/// The default number of digits after the decimal point.
const PRECISION: usize = 8;
/// A tensor with more elements is summarized.
const THRESHOLD: usize = 1000;
/// The number of elements shown at each end of an axis in a summary.
const EDGE: usize = 3;
/// The line width, including one column for the closing bracket.
const WIDTH: usize = 75;

/// Prints like `NumPy`'s `str(array)`: aligned columns, floats with the fewest digits that identify them, at most eight
/// after the decimal point, or three with `{:.3}`. A tensor of more than 1000 elements is summarized by the ends of each
/// axis.
///
/// A scalar is printed as a plain number, for which `{:.3}` means exactly three digits.
///
/// ```
/// use chainrule_tensor::Tensor;
/// assert_eq!(Tensor::from([[1.0, 2.5], [-3.0, 100.0]]).to_string(), "[[  1.    2.5]\n [ -3.  100. ]]");
/// ```
impl<T: Element> fmt::Display for TensorOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.numel() == 0 {
            return f.write_str("[]");
        }
        if self.rank() == 0 {
            let x = self.item();
            return match f.precision() {
                Some(digits) if is_float::<T>() => write!(f, "{:.digits$}", x.to_f64()),
                _ => f.write_str(&scalar(x)),
            };
        }
        let shown: Vec<Vec<usize>> = self.shape().iter().map(|&len| shown(len, self.numel() > THRESHOLD)).collect();
        let mut elements = vec![];
        collect(self, &shown, &mut vec![], &mut elements);
        let words = columns(&elements, f.precision().unwrap_or(PRECISION));
        let mut text = String::new();
        write_axis(&mut text, &shown, self.shape().dims(), 0, &mut words.into_iter());
        f.write_str(&text)
    }
}

/// The element type and the shape, then the elements as in `Display`.
impl<T: Element> fmt::Debug for TensorOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "TensorOf<{}> {}", T::NAME, self.shape())?;
        fmt::Display::fmt(self, f)
    }
}

fn is_float<T: Element>() -> bool {
    T::from_f64(0.5) != T::ZERO
}

/// The indices of an axis that are shown.
fn shown(len: usize, summary: bool) -> Vec<usize> {
    if summary && len > 2 * EDGE { (0..EDGE).chain(len - EDGE..len).collect() } else { (0..len).collect() }
}

/// Collects the shown elements in row-major order.
fn collect<T: Element>(x: &TensorOf<T>, shown: &[Vec<usize>], index: &mut Vec<usize>, out: &mut Vec<T>) {
    let Some(here) = shown.get(index.len()) else {
        return out.push(x.at(index));
    };
    for &i in here {
        index.push(i);
        collect(x, shown, index, out);
        index.pop();
    }
}

/// Writes an axis and its inner axes; `words` are the formatted elements.
fn write_axis(
    text: &mut String,
    shown: &[Vec<usize>],
    dims: &[usize],
    depth: usize,
    words: &mut impl Iterator<Item = String>,
) {
    let cut = shown[depth].len() < dims[depth];
    let inner = dims.len() - depth - 1;
    let indent = " ".repeat(depth + 1);
    // Each closing bracket at the end of the line takes a column.
    let width = WIDTH - 1 - depth;
    let mut column = indent.len();
    text.push('[');
    for k in 0..shown[depth].len() {
        let gap = (cut && k == EDGE).then(|| "...".to_owned());
        if inner > 0 {
            if let Some(gap) = gap {
                text.push_str(&gap);
                text.push_str(&"\n".repeat(inner));
                text.push_str(&indent);
            }
            write_axis(text, shown, dims, depth + 1, words);
            if k + 1 < shown[depth].len() {
                text.push_str(&"\n".repeat(inner));
                text.push_str(&indent);
            }
            continue;
        }
        for word in gap.into_iter().chain(words.next()) {
            if k > 0 {
                // The space before the word counts, unless the line is broken there.
                if column + 1 + word.len() > width {
                    text.truncate(text.trim_end_matches(' ').len());
                    text.push('\n');
                    text.push_str(&indent);
                    column = indent.len();
                } else {
                    text.push(' ');
                    column += 1;
                }
            }
            text.push_str(&word);
            column += word.len();
        }
    }
    text.push(']');
}

/// Formats a scalar: `1.5`, `2.0`, `1e+20`.
fn scalar<T: Element>(x: T) -> String {
    let size = x.to_f64().abs();
    if !is_float::<T>() || !size.is_finite() {
        return special(x);
    }
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        let text = x.to_string();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let Parts { whole, fraction, exponent } = scientific(x, usize::MAX);
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole}{point}{fraction}e{}", signed(exponent, 2))
}

/// Formats an integer, infinity or NaN.
fn special<T: Element>(x: T) -> String {
    if x.is_nan() { "nan".to_owned() } else { x.to_string() }
}

/// Formats the elements in columns of equal width, with aligned decimal points.
fn columns<T: Element>(x: &[T], precision: usize) -> Vec<String> {
    let finite: Vec<T> = x.iter().copied().filter(|x| x.to_f64().is_finite()).collect();
    if !is_float::<T>() {
        let words: Vec<String> = x.iter().map(|&x| special(x)).collect();
        let width = longest(words.iter().map(String::as_str));
        return words.into_iter().map(|word| format!("{word:>width$}")).collect();
    }
    let by_exponent = needs_exponent(&finite);
    let split = |x: T| if by_exponent { scientific(x, precision) } else { positional(x, precision) };
    let parts: Vec<Parts> = finite.iter().map(|&x| split(x)).collect();
    let mut left = longest(parts.iter().map(|part| part.whole.as_str()));
    let digits = longest(parts.iter().map(|part| part.fraction.as_str()));
    let exponent = parts.iter().map(|part| part.exponent.abs().to_string().len().max(2)).max().unwrap_or(0);
    let right = if by_exponent { digits + 2 + exponent } else { digits };
    if finite.len() < x.len() {
        let negative = x.iter().any(|x| x.to_f64() == f64::NEG_INFINITY);
        left = left.max((3 + usize::from(negative)).saturating_sub(right + 1));
    }
    x.iter()
        .map(|&x| {
            if !x.to_f64().is_finite() {
                return format!("{:>1$}", special(x), left + right + 1);
            }
            if !by_exponent {
                let Parts { whole, fraction, .. } = positional(x, precision);
                return format!("{whole:>left$}.{fraction:<digits$}");
            }
            // All elements get the same number of correct digits, even if fewer would identify this one.
            let (decimal, power) = rounded(x, digits);
            let (whole, fraction) = decimal.split_once('.').unwrap_or((&decimal, ""));
            format!("{whole:>left$}.{fraction}e{}", signed(power, exponent))
        })
        .collect()
}

fn longest<'a>(words: impl Iterator<Item = &'a str>) -> usize {
    words.map(str::len).max().unwrap_or(0)
}

/// Whether finite floats are too large, too small or of too different magnitude to print without exponents.
fn needs_exponent<T: Element>(finite: &[T]) -> bool {
    let sizes = || finite.iter().map(|x| x.to_f64().abs()).filter(|&size| size != 0.0);
    let (smallest, largest) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    // Larger integers may need more digits than the type has: 6 for f32, else 8.
    let limit = if T::NAME == "f32" { 1e6 } else { 1e8 };
    // Compared in the element type, so that the f32 nearest to 0.0001 is not below it.
    largest >= limit
        || largest > 0.0
            && (T::from_f64(smallest) < T::from_f64(1e-4) || T::from_f64(largest / smallest) > T::from_f64(1e3))
}

/// A number's digits before the decimal point (with the sign), after it, and the decimal exponent.
struct Parts {
    whole: String,
    fraction: String,
    exponent: i32,
}

impl Parts {
    /// The parts of a decimal number, without trailing zeros.
    fn new(decimal: &str, exponent: i32) -> Self {
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
        Self { whole: whole.to_owned(), fraction: fraction.trim_end_matches('0').to_owned(), exponent }
    }
}

/// The fewest digits that identify the number, rounded to `precision` digits after the decimal point if there are more.
fn positional<T: Element>(x: T, precision: usize) -> Parts {
    let shortest = Parts::new(&x.to_string(), 0);
    if shortest.fraction.len() <= precision {
        return shortest;
    }
    Parts::new(&format!("{:.precision$}", x.to_f64()), 0)
}

/// As [`positional`], with one digit before the decimal point.
fn scientific<T: Element>(x: T, precision: usize) -> Parts {
    let text = x.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", &*text), |rest| ("-", rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let Some(first) = digits.find(|digit| digit != '0') else {
        return Parts::new(&format!("{sign}0"), 0);
    };
    let (lead, rest) = digits[first..].split_at(1);
    let shortest = Parts::new(&format!("{sign}{lead}.{rest}"), whole.len() as i32 - 1 - first as i32);
    if shortest.fraction.len() <= precision {
        return shortest;
    }
    let (decimal, exponent) = rounded(x, precision);
    Parts::new(&decimal, exponent)
}

/// A number rounded to one digit before and `digits` after the decimal point, and its decimal exponent.
fn rounded<T: Element>(x: T, digits: usize) -> (String, i32) {
    let text = format!("{:.digits$e}", x.to_f64());
    let (decimal, exponent) = text.split_once('e').expect("this format has an exponent");
    (decimal.to_owned(), exponent.parse().expect("an exponent is a small integer"))
}

/// Formats an exponent with its sign and at least `digits` digits.
fn signed(exponent: i32, digits: usize) -> String {
    format!("{}{:02$}", if exponent < 0 { '-' } else { '+' }, exponent.abs(), digits)
}

#[cfg(test)]
mod tests;
