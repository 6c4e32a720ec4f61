//! Rows of ops that rearrange and select elements.

use chainrule_autograd::VarOf;
use chainrule_tensor::{PadMode, Tensor64, TensorOf};

use super::{WIDE, beside};
use crate::reference as r;
use crate::row::Row;

/// The element that a padded axis of length `len` has at place `i`, counted from the unpadded start.
fn inside(i: isize, len: isize, mode: PadMode) -> usize {
    (match mode {
        PadMode::Replicate => i.clamp(0, len - 1),
        PadMode::Circular => i.rem_euclid(len),
        PadMode::Reflect if i < 0 => -i,
        PadMode::Reflect if i >= len => 2 * (len - 1) - i,
        PadMode::Reflect => i,
    }) as usize
}

/// x (2,4) padded by (1,0) and (2,3) or less.
fn padded(x: &Tensor64, before: isize, columns: usize, mode: PadMode) -> Vec<f64> {
    r::pick(x, &[3, columns], |i| vec![inside(i[0] as isize - 1, 2, mode), inside(i[1] as isize - before, 4, mode)])
}

fn list() -> TensorOf<i32> {
    [2, 0, 2].into()
}

pub fn rearranging() -> Vec<Row> {
    vec![
        row!("stack", [[2, 3], [2, 3]], WIDE, |x| VarOf::stack(&[&x[0], &x[1], &x[0]], 1), |x| {
            r::indices(&[2, 3, 3]).iter().map(|i| x[i[1] % 2].at(&[i[0], i[2]])).collect()
        }),
        row!(
            "split, in reverse order",
            [[2, 5]],
            WIDE,
            |x| VarOf::concat(&x[0].split(2, 1).iter().rev().collect::<Vec<_>>(), 1),
            |x| r::pick(&x[0], &[2, 5], |i| vec![i[0], [4, 2, 3, 0, 1][i[1]]])
        ),
        row!(
            "chunk and unbind",
            [[2, 4]],
            WIDE,
            |x| {
                let halves = x[0].chunk(2, -1);
                &halves[0].unbind(0)[1] * &halves[1].unbind(0)[0]
            },
            |x| (0..2).map(|k| x[0].at(&[1, k]) * x[0].at(&[0, 2 + k])).collect()
        ),
        row!("repeat", [[2, 3]], WIDE, |x| x[0].repeat(&[2, 1, 3]), |x| {
            r::pick(&x[0], &[2, 2, 9], |i| vec![i[1], i[2] % 3])
        }),
        row!("roll", [[3, 4]], WIDE, |x| x[0].roll(&[1, -6], &[0, 1]), |x| {
            r::pick(&x[0], &[3, 4], |i| vec![(i[0] + 2) % 3, (i[1] + 6) % 4])
        }),
        row!("flip", [[2, 3, 2]], WIDE, |x| x[0].flip(&[0, -1]), |x| {
            r::pick(&x[0], &[2, 3, 2], |i| vec![1 - i[0], i[1], 1 - i[2]])
        }),
        row!("diagonal", [[3, 2, 4]], WIDE, |x| x[0].diagonal(1, 0, -1), |x| {
            r::pick(&x[0], &[2, 3], |i| vec![i[1], i[0], i[1] + 1])
        }),
        row!("unfold", [[2, 7]], WIDE, |x| x[0].unfold(1, 3, 2), |x| {
            r::pick(&x[0], &[2, 3, 3], |i| vec![i[0], 2 * i[1] + i[2]])
        }),
        row!("unfold along the first axis", [[5, 2]], WIDE, |x| x[0].unfold(0, 2, 1), |x| {
            r::pick(&x[0], &[4, 2, 2], |i| vec![i[0] + i[2], i[1]])
        }),
        row!("pad by reflection", [[2, 4]], WIDE, |x| x[0].pad_with(&[(1, 0), (2, 3)], PadMode::Reflect), |x| {
            padded(&x[0], 2, 9, PadMode::Reflect)
        }),
        row!("pad by replication", [[2, 4]], WIDE, |x| x[0].pad_with(&[(1, 0), (2, 0)], PadMode::Replicate), |x| {
            padded(&x[0], 2, 6, PadMode::Replicate)
        }),
        row!("pad in a circle", [[2, 4]], WIDE, |x| x[0].pad_with(&[(1, 0), (4, 3)], PadMode::Circular), |x| {
            padded(&x[0], 4, 11, PadMode::Circular)
        }),
        row!(
            "meshgrid",
            [[2], [3]],
            WIDE,
            |x| {
                let grid = VarOf::meshgrid(&[&x[0], &x[1]]);
                VarOf::stack(&[&grid[0], &grid[1]], 0)
            },
            |x| r::indices(&[2, 2, 3]).iter().map(|i| x[i[0]].at(&[i[1 + i[0]]])).collect()
        ),
        row!("index_select", [[2, 3]], WIDE, |x| x[0].index_select(1, &beside(&x[0], list())), |x| {
            r::pick(&x[0], &[2, 3], |i| vec![i[0], list().at(&[i[1]]) as usize])
        }),
        row!(
            "index by lists",
            [[3, 2, 2]],
            WIDE,
            |x| x[0].index(&[&beside(&x[0], [[-1], [0]]), &beside(&x[0], [1, 0, 1])]),
            |x| r::pick(&x[0], &[2, 3, 2], |i| vec![[2, 0][i[0]], [1, 0, 1][i[1]], i[2]])
        ),
        row!("masked_fill", [[2, 3]], WIDE, |x| x[0].masked_fill(&beside(&x[0], [1, 0, 1]), 0.7), |x| {
            r::indices(&[2, 3]).iter().map(|i| if i[1] == 1 { x[0].at(i) } else { 0.7 }).collect()
        }),
        row!("masked_select", [[2, 3]], WIDE, |x| x[0].masked_select(&beside(&x[0], [[1, 0, 1], [0, 0, 1]])), |x| {
            vec![x[0].at(&[0, 0]), x[0].at(&[0, 2]), x[0].at(&[1, 2])]
        }),
        row!("tril", [[2, 3, 4]], WIDE, |x| x[0].tril(1), |x| {
            r::indices(&[2, 3, 4]).iter().map(|i| if i[2] <= i[1] + 1 { x[0].at(i) } else { 0.0 }).collect()
        }),
        row!("triu", [[3, 4]], WIDE, |x| x[0].triu(-1), |x| {
            r::indices(&[3, 4]).iter().map(|i| if i[1] + 1 >= i[0] { x[0].at(i) } else { 0.0 }).collect()
        }),
    ]
}
