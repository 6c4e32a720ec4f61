//! Answers as they were written: numbers with the digits that were kept, or formulas.

use std::collections::BTreeSet;

use chainrule_autograd::formula::{Expression, Formula};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Nothing was filled in.
    Blank,
    /// A number and one unit of its last digit.
    Number { value: f64, unit: f64 },
    /// A formula in the names of the sheet.
    Formula(Box<Symbolic>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symbolic {
    pub expression: Expression,
    /// The names that it uses.
    pub symbols: BTreeSet<String>,
}

impl Answer {
    /// Reads an answer; `name` is shown in errors.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text == "?" {
            return Ok(Self::Blank);
        }
        if let Some((value, unit)) = number(text) {
            return if value.is_finite() {
                Ok(Self::Number { value, unit })
            } else {
                Err(format!("{name} = {text}: the number is too large"))
            };
        }
        let formula = Formula::parse(&format!("{name} = {text}"))
            .map_err(|error| format!("{name}: neither a number nor a formula (write products as 'a*b'):\n{error}"))?;
        // The name on the left is no free symbol; an answer in terms of itself is found by its own name.
        let symbols = Formula::parse(&format!("answer = {text}")).map(|formula| formula.symbols()).unwrap_or_default();
        let [equation] = formula.equations() else {
            return Err(format!("{name} = {text}: expected one number (with a decimal point) or one formula"));
        };
        let expression = equation.right.clone();
        if symbols.is_empty() {
            let value = expression.evaluate(&|_| None).map_err(|error| format!("{name} = {text}: {error}"))?;
            return if value.is_finite() {
                Ok(Self::Number { value, unit: 1e-12 * value.abs() })
            } else {
                Err(format!("{name} = {text}: this is not a finite number"))
            };
        }
        Ok(Self::Formula(Box::new(Symbolic { expression, symbols })))
    }
}

/// The value of a number in decimal notation and one unit of its last digit: `-0.00120` is −0.0012 and 10⁻⁵. A power of
/// ten can be written `e-3` or `·10^-3`, a decimal point as a comma.
fn number(text: &str) -> Option<(f64, f64)> {
    let mut text = text.replace(['−', '–'], "-").replace('_', "").replace(',', ".");
    text.retain(|c| c != ' ');
    for sign in ["*10^", "·10^", "×10^", "x10^"] {
        text = text.replace(sign, "e");
    }
    let text = text.to_ascii_lowercase();
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.trim_matches(['(', ')']).parse::<i32>().ok()?),
        None => (&*text, 0),
    };
    let digits = mantissa.trim_start_matches(['-', '+']);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    if !numeric(whole) || !numeric(decimals) || whole.len() + decimals.len() == 0 {
        return None;
    }
    if mantissa.len() - digits.len() > 1 {
        return None;
    }
    let value: f64 = format!("{mantissa}e{exponent}").parse().ok()?;
    if value == 0.0 && decimals.is_empty() {
        // A plain 0 is exact: a number is not rounded to 0.
        return Some((0.0, 0.0));
    }
    let unit: f64 = format!("1e{}", exponent.saturating_sub(decimals.len() as i32)).parse().ok()?;
    Some((value, unit))
}

/// The number of significant digits.
pub(super) fn significant(value: f64, unit: f64) -> i32 {
    if value == 0.0 || unit == 0.0 { 17 } else { (value.abs().log10().floor() - unit.log10().round()) as i32 + 1 }
}

/// One unit of the last of so many significant digits.
pub(super) fn significant_unit(x: f64, digits: usize) -> f64 {
    if x == 0.0 { 0.0 } else { 10f64.powi(x.abs().log10().floor() as i32 + 1 - digits as i32) }
}

/// A number with so many significant digits, in plain notation if that is short.
pub(super) fn shown(x: f64, digits: usize) -> String {
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    let exponent: i32 =
        (format!("{x:.*e}", digits - 1).split_once('e')).and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if !(-6..=9).contains(&exponent) {
        return format!("{x:.*e}", digits - 1);
    }
    let text = format!("{x:.*}", (digits as i32 - 1 - exponent).max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_were_kept_count() {
        for (text, value, unit) in [
            ("-0.001272", -0.001_272, 1e-6),
            ("0.00120", 0.0012, 1e-5),
            ("4", 4.0, 1.0),
            ("4.", 4.0, 1.0),
            (".5", 0.5, 0.1),
            ("+1.2e-3", 1.2e-3, 1e-4),
            ("−1,25", -1.25, 0.01),
            ("1.27·10^-3", 1.27e-3, 1e-5),
            ("1.27 * 10^(-3)", 1.27e-3, 1e-5),
            ("1_000.5", 1000.5, 0.1),
            ("0.00", 0.0, 0.01),
            ("0", 0.0, 0.0),
        ] {
            assert_eq!(number(text), Some((value, unit)), "{text}");
        }
        for text in ["h1", "1/8", "-", "--1", "1e", "e5", "", "0x10", "1.2.3", "nan", "inf"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(significant(-0.001_272, 1e-6), 4);
        assert_eq!(significant(4.0, 1.0), 1);
    }

    #[test]
    fn other_answers_are_formulas() {
        assert_eq!(Answer::parse("w", " "), Ok(Answer::Blank));
        assert_eq!(Answer::parse("w", "1/8"), Ok(Answer::Number { value: 0.125, unit: 0.125e-12 }));
        let Ok(Answer::Formula(formula)) = Answer::parse("dE_dw5", "-(1-o)*o*(1-o)*h1") else { panic!("a formula") };
        assert_eq!(formula.symbols, BTreeSet::from(["h1".to_owned(), "o".to_owned()]));
        let error = Answer::parse("w", "2 + * x").expect_err("an error");
        assert!(error.contains("w: neither a number nor a formula") && error.contains("at character 9"), "{error}");
        assert!(Answer::parse("w", "a, b = 1").is_err());
        assert!(Answer::parse("w", "1/0").is_err());
        assert!(Answer::parse("w", "1e999").is_err());
    }

    #[test]
    fn numbers_are_shown_with_so_many_digits() {
        for (x, text) in [(0.982_013_79, "0.98201"), (4.0, "4"), (-1.234_567e-9, "-1.2346e-9"), (12.5, "12.5")] {
            assert_eq!(shown(x, 5), text);
        }
        assert_eq!(shown(123_456.0, 3), "123456");
    }
}
