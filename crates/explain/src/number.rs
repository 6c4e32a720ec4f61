//! Numbers and indices as text.

use std::fmt::Write;

/// A number with six significant digits, without zeros at the end: `0.0179862`, `-4`, `1.2e-7`.
pub(crate) fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { "0".into() } else { x.to_string() };
    }
    let scientific = format!("{x:.5e}");
    let (digits, exponent) = scientific.split_once('e').expect("it was printed with an exponent");
    let exponent: i32 = exponent.parse().expect("it was printed as a number");
    let trimmed = |text: &str| {
        let zeros = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        zeros.to_owned()
    };
    if (-5..6).contains(&exponent) {
        trimmed(&format!("{x:.*}", (5 - exponent) as usize))
    } else {
        format!("{}e{exponent}", trimmed(digits))
    }
}

/// The index of an element, `[0,0,1,1]`; nothing for a scalar.
pub(crate) fn index_text(index: &[usize]) -> String {
    let mut text = String::new();
    for (i, at) in index.iter().enumerate() {
        let _ = write!(text, "{}{at}", if i == 0 { '[' } else { ',' });
    }
    if !index.is_empty() {
        text.push(']');
    }
    text
}

/// A shape, `(8, 1, 3, 3)`, or `scalar`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    match shape {
        [] => "scalar".into(),
        [n] => format!("({n})"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The multi-index of element `i` in row-major order.
pub(crate) fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (slot, &len) in index.iter_mut().zip(shape).rev() {
        *slot = i % len;
        i /= len;
    }
    index
}

/// The position of an element in row-major order, or `None` if the index does not fit the shape.
pub(crate) fn ravel(index: &[usize], shape: &[usize]) -> Option<usize> {
    let inside = index.len() == shape.len() && index.iter().zip(shape).all(|(i, len)| i < len);
    inside.then(|| index.iter().zip(shape).fold(0, |flat, (i, len)| flat * len + i))
}

/// A sum whose rounding error does not grow with the number of terms (Neumaier, 1974).
pub(crate) fn accurate_sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for term in terms {
        let next = sum + term;
        lost += if sum.abs() >= term.abs() { (sum - next) + term } else { (term - next) + sum };
        sum = next;
    }
    // Infinities and NaN make the correction NaN.
    if lost.is_finite() { sum + lost } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_significant_digits() {
        for (x, text) in [
            (-0.017_986_209_962_091_5, "-0.0179862"),
            (4.0, "4"),
            (0.0, "0"),
            (123_456.7, "123457"),
            (1_234_567.0, "1.23457e6"),
            (1.2e-7, "1.2e-7"),
            (0.000_012_345_67, "0.0000123457"),
            (f64::NAN, "NaN"),
            (-100.0, "-100"),
        ] {
            assert_eq!(number(x), text);
        }
    }

    #[test]
    fn indices_are_row_major() {
        assert_eq!(unravel(7, &[2, 2, 3]), [1, 0, 1]);
        assert_eq!(ravel(&[1, 0, 1], &[2, 2, 3]), Some(7));
        assert_eq!(ravel(&[1, 2, 1], &[2, 2, 3]), None);
        assert_eq!(ravel(&[], &[]), Some(0));
        assert_eq!(index_text(&[1, 0]), "[1,0]");
    }

    #[test]
    fn a_sum_keeps_small_terms() {
        assert_eq!(accurate_sum([1e16, 1.0, -1e16]), 1.0);
        assert!(accurate_sum([f64::INFINITY, 1.0]).is_infinite());
    }
}
