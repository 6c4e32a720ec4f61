//! Rows of the ops that reduce over processes, all of which have the same data here.

use chainrule_tensor::Epilogue;

use super::WIDE;
use crate::mirror::three;
use crate::reference as r;
use crate::row::Row;

pub fn synchronized() -> Vec<Row> {
    vec![
        row!("all_reduce", [[3, 4]], WIDE, |x| x[0].all_reduce(&three()), |x| {
            x[0].to_vec().iter().map(|v| v + v + v).collect()
        }),
        row!(
            "batch_norm_synchronized",
            [[3, 2, 2, 2], [2], [2]],
            WIDE,
            |x| x[0].batch_norm_synchronized(&x[1], &x[2], 0.1, Epilogue::NONE, &three()).0,
            |x| r::batch_norm(&r::normalized(&x[0], 0.1), x)
        ),
        row!(
            "batch_norm_synchronized with relu",
            [[5, 3], [3], [3]],
            WIDE,
            |x| x[0].batch_norm_synchronized(&x[1], &x[2], 0.1, Epilogue::RELU, &three()).0,
            |x| r::batch_norm(&r::normalized(&x[0], 0.1), x).iter().map(|y| y.max(0.0)).collect()
        ),
        row!(
            "batch_norm_synchronized with a residual",
            [[3, 2, 2, 2], [2], [2], [3, 2, 2, 2]],
            WIDE,
            |x| x[0].batch_norm_synchronized(&x[1], &x[2], 0.1, Epilogue::add(&x[3]), &three()).0,
            |x| {
                let y = r::batch_norm(&r::normalized(&x[0], 0.1), x);
                y.iter().zip(x[3].to_vec()).map(|(y, r)| y + r).collect()
            }
        ),
        row!(
            "batch_norm_synchronized with a residual and relu",
            [[3, 2, 2, 2], [2], [2], [3, 2, 2, 2]],
            WIDE,
            |x| x[0].batch_norm_synchronized(&x[1], &x[2], 0.1, Epilogue::add_relu(&x[3]), &three()).0,
            |x| {
                let y = r::batch_norm(&r::normalized(&x[0], 0.1), x);
                y.iter().zip(x[3].to_vec()).map(|(y, r)| (y + r).max(0.0)).collect()
            }
        ),
    ]
}
