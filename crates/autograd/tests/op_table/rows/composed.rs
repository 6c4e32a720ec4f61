//! Rows of the ops of layers that are composed of other ops.

use chainrule_tensor::{Tensor64, TensorOf};

use super::{WIDE, beside};
use crate::reference as r;
use crate::row::Row;

/// x with each of so many rows of consecutive elements brought to mean 0 and variance 1.
fn standardized(x: &Tensor64, rows: usize, eps: f64) -> Vec<f64> {
    let all = x.to_vec();
    let standard = |row: &[f64]| {
        let m = row.len() as f64;
        let mean = row.iter().sum::<f64>() / m;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / m;
        row.iter().map(|v| (v - mean) / (variance + eps).sqrt()).collect::<Vec<_>>()
    };
    all.chunks(all.len() / rows).flat_map(standard).collect()
}

pub fn composed() -> Vec<Row> {
    vec![
        row!("layer_norm", [[3, 5], [5], [5]], WIDE, |x| x[0].layer_norm(5, Some(&x[1]), Some(&x[2]), 0.1), |x| {
            let xhat = standardized(&x[0], 3, 0.1);
            (0..15).map(|i| xhat[i] * x[1].at(&[i % 5]) + x[2].at(&[i % 5])).collect()
        }),
        row!(
            "layer_norm over two axes",
            [[2, 3, 4], [3, 4]],
            WIDE,
            |x| x[0].layer_norm([3, 4], Some(&x[1]), None, 1e-5),
            |x| {
                let weight = x[1].to_vec();
                standardized(&x[0], 2, 1e-5).iter().enumerate().map(|(i, v)| v * weight[i % 12]).collect()
            }
        ),
        row!("group_norm", [[2, 4, 3], [4], [4]], WIDE, |x| x[0].group_norm(2, Some(&x[1]), Some(&x[2]), 0.1), |x| {
            let xhat = standardized(&x[0], 4, 0.1);
            let channel = |i: usize| [i / 3 % 4];
            (0..24).map(|i| xhat[i] * x[1].at(&channel(i)) + x[2].at(&channel(i))).collect()
        }),
        row!("prelu", [[2, 3, 4], [3]], WIDE, |x| x[0].prelu(&x[1]), |x| {
            let slope = |i: &[usize]| if x[0].at(i) > 0.0 { 1.0 } else { x[1].at(&[i[1]]) };
            r::indices(&[2, 3, 4]).iter().map(|i| x[0].at(i) * slope(i)).collect()
        }),
        row!("embedding", [[4, 3]], WIDE, |x| x[0].embedding(&beside(&x[0], TensorOf::from([[2, 0], [2, 3]]))), |x| {
            r::pick(&x[0], &[2, 2, 3], |i| vec![[[2, 0], [2, 3]][i[0]][i[1]], i[2]])
        }),
        row!("pixel_shuffle", [[2, 8, 2, 1]], WIDE, |x| x[0].pixel_shuffle(2), |x| {
            r::pick(&x[0], &[2, 2, 4, 2], |i| vec![i[0], 4 * i[1] + i[2] % 2 * 2 + i[3] % 2, i[2] / 2, i[3] / 2])
        }),
        row!("pixel_unshuffle", [[1, 2, 3, 6]], WIDE, |x| x[0].pixel_unshuffle(3), |x| {
            r::pick(&x[0], &[1, 18, 1, 2], |i| vec![i[0], i[1] / 9, 3 * i[2] + i[1] % 9 / 3, 3 * i[3] + i[1] % 3])
        }),
    ]
}
