//! Rows with large tensors, which kernels divide among threads.

use chainrule_tensor::{Conv2dOptions, Epilogue, Key, Purpose, Tensor64, TensorOf};

use super::{POSITIVE, WIDE, beside};
use crate::row::Row;

/// Rows whose work is divided among threads.
pub fn large() -> Vec<Row> {
    fn unchecked(_: &[Tensor64]) -> Vec<f64> {
        Vec::new()
    }
    vec![
        row!("large add", [[64, 512], [512]], WIDE, |x| &x[0] + &x[1], |x| unchecked(x)),
        row!("large sum", [[7, 20_001]], WIDE, |x| x[0].sum_axes(&[1], false), |x| unchecked(x)),
        row!("large matmul", [[130, 257], [257, 140]], WIDE, |x| x[0].matmul(&x[1]), |x| unchecked(x)),
        row!(
            "large conv2d",
            [[19, 8, 14, 14], [16, 8, 3, 3], [16]],
            WIDE,
            |x| { x[0].conv2d(&x[1], Some(&x[2]), Conv2dOptions::padded(1)) },
            |x| unchecked(x)
        ),
        row!(
            "large conv2d_relu_max_pool2d",
            [[35, 3, 28, 28], [8, 3, 3, 3], [8]],
            WIDE,
            |x| { x[0].conv2d_relu_max_pool2d(&x[1], Some(&x[2]), Conv2dOptions::padded(1), 2) },
            |x| unchecked(x)
        ),
        row!("large max_pool2d", [[19, 8, 28, 28]], WIDE, |x| x[0].max_pool2d(2), |x| unchecked(x)),
        row!(
            "large batch_norm",
            [[33, 6, 16, 16], [6], [6]],
            POSITIVE,
            |x| x[0].batch_norm(&x[1], &x[2], 1e-5).0,
            |x| { unchecked(x) }
        ),
        row!(
            "large batch_norm with a residual and relu",
            [[33, 6, 16, 16], [6], [6], [33, 6, 16, 16]],
            WIDE,
            |x| x[0].batch_norm_with(&x[1], &x[2], 1e-5, Epilogue::add_relu(&x[3])).0,
            |x| { unchecked(x) }
        ),
        row!(
            "large conv2d and batch_norm with relu",
            [[33, 8, 12, 12], [16, 8, 3, 3], [16], [16]],
            WIDE,
            |x| {
                let y = x[0].conv2d_with(&x[1], None, Conv2dOptions::padded(1), Epilogue::CHANNEL_STATS);
                y.batch_norm_with(&x[2], &x[3], 1e-5, Epilogue::RELU).0
            },
            |x| unchecked(x)
        ),
        row!("large log_softmax", [[999, 24]], WIDE, |x| x[0].log_softmax(1), |x| unchecked(x)),
        row!(
            "large cross_entropy",
            [[7, 24, 19, 33]],
            WIDE,
            |x| x[0].cross_entropy(&beside(&x[0], TensorOf::from_fn([7, 19, 33], |i| (i * 7 % 24) as i32))),
            |x| unchecked(x)
        ),
        row!("large dropout", [[301, 299]], WIDE, |x| x[0].dropout(0.3, Key::new(1, Purpose::USER)), |x| unchecked(x)),
        row!("large upsample", [[9, 8, 16, 16]], WIDE, |x| x[0].upsample_bilinear2d([32, 32], false), |x| unchecked(x)),
    ]
}
