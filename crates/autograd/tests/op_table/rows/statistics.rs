//! Rows of products, scans, norms and order statistics along axes.

use super::{POSITIVE, WIDE};
use crate::reference as r;
use crate::row::Row;

pub fn statistics() -> Vec<Row> {
    vec![
        row!("prod", [[2, 3, 2]], WIDE, |x| x[0].prod_axes(&[1], false), |x| {
            r::reduce(&x[0], &[1], |v| v.iter().product())
        }),
        row!("prod of all", [[3, 2]], WIDE, |x| x[0].prod(), |x| r::reduce(&x[0], &[0, 1], |v| v.iter().product())),
        row!("cumprod", [[2, 5]], WIDE, |x| x[0].cumprod(1), |x| {
            r::indices(&[2, 5]).iter().map(|i| (0..=i[1]).map(|k| x[0].at(&[i[0], k])).product()).collect()
        }),
        row!("cumsum", [[2, 5]], WIDE, |x| x[0].cumsum(1), |x| {
            r::indices(&[2, 5]).iter().map(|i| (0..=i[1]).map(|k| x[0].at(&[i[0], k])).sum()).collect()
        }),
        row!("cumsum along the first axis", [[6, 2]], WIDE, |x| x[0].cumsum(0), |x| {
            r::indices(&[6, 2]).iter().map(|i| (0..=i[0]).map(|k| x[0].at(&[k, i[1]])).sum()).collect()
        }),
        row!("logsumexp", [[2, 3, 2]], WIDE, |x| x[0].logsumexp(&[0, 2], false), |x| {
            r::reduce(&x[0], &[0, 2], |v| v.iter().map(|a| a.exp()).sum::<f64>().ln())
        }),
        row!("std", [[4, 3]], WIDE, |x| x[0].std_axes(&[0], 1, false), |x| r::reduce(&x[0], &[0], |v| {
            let mean = v.iter().sum::<f64>() / 4.0;
            (v.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 3.0).sqrt()
        })),
        row!("norm 1", [[2, 3]], WIDE, |x| x[0].norm_axes(1.0, &[1], true), |x| {
            r::reduce(&x[0], &[1], |v| v.iter().map(|a| a.abs()).sum())
        }),
        row!("norm 2", [[2, 3]], WIDE, |x| x[0].norm_axes(2.0, &[1], false), |x| {
            r::reduce(&x[0], &[1], |v| v.iter().map(|a| a * a).sum::<f64>().sqrt())
        }),
        row!("norm 3.5 of all", [[2, 3]], WIDE, |x| x[0].norm(3.5), |x| {
            r::reduce(&x[0], &[0, 1], |v| v.iter().map(|a| a.abs().powf(3.5)).sum::<f64>().powf(1.0 / 3.5))
        }),
        row!("norm 0.5", [[2, 3]], POSITIVE, |x| x[0].norm_axes(0.5, &[0], false), |x| {
            r::reduce(&x[0], &[0], |v| v.iter().map(|a| a.sqrt()).sum::<f64>().powi(2))
        }),
        row!("norm of the largest", [[3, 2]], WIDE, |x| x[0].norm_axes(f64::INFINITY, &[0], false), |x| {
            r::reduce(&x[0], &[0], |v| v.iter().fold(0.0, |m, a| a.abs().max(m)))
        }),
        row!("max_with_index", [[2, 5]], WIDE, |x| x[0].max_with_index(1, false).0, |x| {
            r::reduce(&x[0], &[1], |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        }),
        row!("min_with_index", [[4, 2]], WIDE, |x| x[0].min_with_index(0, true).0, |x| {
            r::reduce(&x[0], &[0], |v| v.iter().copied().fold(f64::INFINITY, f64::min))
        }),
        row!("sort", [[5]], WIDE, |x| x[0].sort(0, false).0, |x| {
            let mut sorted = x[0].to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted
        }),
        row!("sort, descending, the first axis", [[4, 1]], WIDE, |x| x[0].sort(0, true).0, |x| {
            let mut sorted = x[0].to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            sorted
        }),
    ]
}
