//! Arrays of numbers in the data of a page.

use chainrule_tensor::Scalar;
use serde::Serialize;

use crate::explanation::Numbers;

/// Numbers as JSON, or as the base64 of their bytes in little-endian order.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Array {
    Plain(Vec<f64>),
    Bytes { kind: &'static str, base64: String },
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl Array {
    /// Small arrays are plain, which anyone can read; large ones are bytes.
    pub fn of<T: Scalar>(values: &[T]) -> Self {
        let wide: Vec<f64> = values.iter().map(|x| x.to_f64()).collect();
        let finite = wide.iter().all(|x| x.is_finite());
        if wide.len() <= Numbers::LISTED && finite {
            return Self::Plain(wide);
        }
        if T::NAME == "f64" {
            return Self::bytes("f64", &wide.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        }
        Self::bytes("f32", &wide.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect::<Vec<_>>())
    }

    pub fn indices(values: &[usize]) -> Self {
        if values.len() <= Numbers::LISTED {
            return Self::Plain(values.iter().map(|&i| i as f64).collect());
        }
        Self::bytes("u32", &values.iter().flat_map(|&i| (i as u32).to_le_bytes()).collect::<Vec<_>>())
    }

    fn bytes(kind: &'static str, bytes: &[u8]) -> Self {
        Self::Bytes { kind, base64: base64(bytes) }
    }
}
