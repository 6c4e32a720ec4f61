//! Rows of products of vectors and matrices.

use chainrule_autograd::VarOf;
use chainrule_tensor::Tensor64;

use super::WIDE;
use crate::reference as r;
use crate::row::Row;

pub fn products() -> Vec<Row> {
    vec![
        row!("matmul", [[3, 4], [4, 2]], WIDE, |x| x[0].matmul(&x[1]), |x| r::matmul(&x[0], &x[1])),
        row!("matmul of vectors", [[1, 5], [5, 1]], WIDE, |x| x[0].matmul(&x[1]), |x| r::matmul(&x[0], &x[1])),
        row!("matmul, batches", [[2, 1, 2, 3], [3, 3, 2]], WIDE, |x| x[0].matmul(&x[1]), |x| {
            let plane =
                |t: &Tensor64, lead: &[usize]| lead.iter().fold(t.clone(), |t, &i| t.narrow(0, i..i + 1).squeeze(0));
            r::indices(&[2, 3])
                .iter()
                .flat_map(|i| r::matmul(&plane(&x[0], &[i[0], 0]), &plane(&x[1], &[i[1]])))
                .collect()
        }),
        row!("matmul, a vector and batches", [[3], [2, 3, 2]], WIDE, |x| x[0].matmul(&x[1]), |x| {
            r::indices(&[2, 2])
                .iter()
                .map(|i| (0..3).map(|k| x[0].at(&[k]) * x[1].at(&[i[0], k, i[1]])).sum())
                .collect()
        }),
        row!("matmul, a matrix and a vector", [[4, 3], [3]], WIDE, |x| x[0].matmul(&x[1]), |x| {
            r::matmul(&x[0], &x[1].unsqueeze(1))
        }),
        row!("dot", [[5], [5]], WIDE, |x| x[0].dot(&x[1]), |x| r::matmul(&x[0].unsqueeze(0), &x[1].unsqueeze(1))),
        row!("outer", [[3], [4]], WIDE, |x| x[0].outer(&x[1]), |x| r::matmul(&x[0].unsqueeze(1), &x[1].unsqueeze(0))),
        row!(
            "einsum, a chain",
            [[2, 3], [2, 3, 2], [2, 4]],
            WIDE,
            |x| VarOf::einsum("ij,ijk,kl->li", &[&x[0], &x[1], &x[2]]),
            |x| {
                let term = |i: &[usize]| x[0].at(&[i[1], i[2]]) * x[1].at(&[i[1], i[2], i[3]]) * x[2].at(&[i[3], i[0]]);
                let sum = |i: &[usize]| r::indices(&[3, 2]).iter().map(|j| term(&[i, &j[..]].concat())).sum();
                r::indices(&[4, 2]).iter().map(|i| sum(i)).collect()
            }
        ),
        row!("einsum of a diagonal", [[3, 2, 3]], WIDE, |x| VarOf::einsum("iji->i", &[&x[0]]), |x| {
            (0..3).map(|i| (0..2).map(|j| x[0].at(&[i, j, i])).sum()).collect()
        }),
        row!("linear", [[3, 4], [2, 4], [2]], WIDE, |x| x[0].linear(&x[1], Some(&x[2])), |x| {
            r::zip(
                &[Tensor64::from_slice(&r::matmul(&x[0], &x[1].transpose(0, 1)), [3, 2]), x[2].clone()],
                &[3, 2],
                |a, b| a + b,
            )
        }),
        row!("linear without bias", [[1, 3], [5, 3]], WIDE, |x| x[0].linear(&x[1], None), |x| {
            r::matmul(&x[0], &x[1].transpose(0, 1))
        }),
    ]
}
