//! Numbers in flags.

/// A positive, finite number, such as a learning rate.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x > 0.0 && f64::is_finite(x) => Ok(x),
        _ => Err("expected a positive number, such as 0.001".into()),
    }
}
