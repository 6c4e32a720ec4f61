//! Rows of the ops of layers.

use chainrule_tensor::{Conv2dOptions, Epilogue, Pool2dOptions, Tensor64};

use super::{WIDE, beside};
use crate::reference as r;
use crate::row::Row;

const CONV: Conv2dOptions = Conv2dOptions { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 1 };
const GROUPED: Conv2dOptions = Conv2dOptions { stride: [1, 2], padding: [0, 1], dilation: [1, 1], groups: 2 };
const POOL: Pool2dOptions = Pool2dOptions {
    kernel: [3, 3],
    stride: [2, 2],
    padding: [1, 1],
    dilation: [1, 1],
    ceil_mode: false,
    count_include_pad: false,
};
const DILATED: Pool2dOptions = Pool2dOptions { stride: [2, 1], dilation: [1, 2], ..POOL };
const CEIL: Pool2dOptions = Pool2dOptions { kernel: [2, 3], stride: [3, 2], ceil_mode: true, ..POOL };

fn largest(v: &[f64]) -> f64 {
    v.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub fn images() -> Vec<Row> {
    vec![
        row!("conv2d", [[2, 2, 4, 5], [3, 2, 3, 2], [3]], WIDE, |x| x[0].conv2d(&x[1], Some(&x[2]), CONV), |x| {
            r::conv2d(&x[0], &x[1], Some(&x[2]), &[2, 3, 2, 7], CONV)
        }),
        row!("conv2d in groups", [[1, 4, 3, 4], [2, 2, 2, 3]], WIDE, |x| x[0].conv2d(&x[1], None, GROUPED), |x| {
            r::conv2d(&x[0], &x[1], None, &[1, 2, 2, 2], GROUPED)
        }),
        row!(
            "conv2d 1x1",
            [[2, 3, 2, 2], [2, 3, 1, 1]],
            WIDE,
            |x| x[0].conv2d(&x[1], None, Conv2dOptions::default()),
            |x| { r::conv2d(&x[0], &x[1], None, &[2, 2, 2, 2], Conv2dOptions::default()) }
        ),
        row!(
            "conv2d input gradient",
            [[2, 3, 2, 7], [3, 2, 3, 2]],
            WIDE,
            |x| { x[0].conv2d_input_gradient(&x[1], [4, 5], CONV) },
            |x| r::conv2d_input_gradient(&x[0], &x[1], &[2, 2, 4, 5], CONV)
        ),
        row!(
            "conv2d with relu",
            [[2, 2, 4, 5], [3, 2, 3, 2], [3]],
            WIDE,
            |x| x[0].conv2d_with(&x[1], Some(&x[2]), CONV, Epilogue::RELU),
            |x| {
                let y = r::conv2d(&x[0], &x[1], Some(&x[2]), &[2, 3, 2, 7], CONV);
                y.iter().map(|y| y.max(0.0)).collect()
            }
        ),
        row!(
            "conv2d with a residual and relu",
            [[2, 2, 4, 5], [3, 2, 3, 2], [2, 3, 2, 7]],
            WIDE,
            |x| x[0].conv2d_with(&x[1], None, CONV, Epilogue::add_relu(&x[2])),
            |x| {
                let y = r::conv2d(&x[0], &x[1], None, &[2, 3, 2, 7], CONV);
                y.iter().zip(x[2].to_vec()).map(|(y, r)| (y + r).max(0.0)).collect()
            }
        ),
        row!(
            "conv2d weight gradient",
            [[2, 2, 4, 5], [2, 3, 2, 7]],
            WIDE,
            |x| { x[0].conv2d_weight_gradient(&x[1], [3, 2], CONV) },
            |x| r::conv2d_weight_gradient(&x[0], &x[1], &[3, 2, 3, 2], CONV)
        ),
        row!(
            "conv_transpose2d",
            [[1, 2, 2, 3], [2, 1, 3, 3], [2]],
            WIDE,
            |x| {
                let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], dilation: [1, 1], groups: 2 };
                x[0].conv_transpose2d(&x[1], Some(&x[2]), options, [1, 0])
            },
            |x| {
                let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], dilation: [1, 1], groups: 2 };
                let y =
                    Tensor64::from_slice(&r::conv2d_input_gradient(&x[0], &x[1], &[1, 2, 4, 5], options), [1, 2, 4, 5]);
                r::zip(&[y, x[2].reshape([2, 1, 1])], &[1, 2, 4, 5], |a, b| a + b)
            }
        ),
        // 3 is at least the vertical stride, 1 at least the horizontal one.
        row!(
            "conv_transpose2d, an output padding above the stride",
            [[1, 2, 2, 3], [2, 1, 2, 3], [1]],
            WIDE,
            |x| {
                let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], dilation: [4, 2], groups: 1 };
                x[0].conv_transpose2d(&x[1], Some(&x[2]), options, [3, 1])
            },
            |x| {
                let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], dilation: [4, 2], groups: 1 };
                let y =
                    Tensor64::from_slice(&r::conv2d_input_gradient(&x[0], &x[1], &[1, 1, 8, 8], options), [1, 1, 8, 8]);
                r::zip(&[y, x[2].reshape([1, 1, 1])], &[1, 1, 8, 8], |a, b| a + b)
            }
        ),
        row!("im2col", [[2, 2, 4, 5]], WIDE, |x| x[0].im2col([3, 2], CONV), |x| {
            let mut y = vec![0.0; 2 * 12 * 14];
            // A one-hot weight for each kernel element selects its row of the columns.
            r::for_each_product(&[2, 2, 4, 5], &[1, 2, 3, 2], &[2, 1, 2, 7], CONV, |at, cell, place| {
                let row = (cell[1] * 3 + cell[2]) * 2 + cell[3];
                y[(at[0] * 12 + row) * 14 + place[2] * 7 + place[3]] = x[0].at(&at);
            });
            y
        }),
        row!("col2im", [[2, 12, 14]], WIDE, |x| x[0].col2im([3, 2], [4, 5], CONV), |x| {
            let mut y = vec![0.0; 80];
            r::for_each_product(&[2, 2, 4, 5], &[1, 2, 3, 2], &[2, 1, 2, 7], CONV, |at, cell, place| {
                let row = (cell[1] * 3 + cell[2]) * 2 + cell[3];
                y[((at[0] * 2 + at[1]) * 4 + at[2]) * 5 + at[3]] += x[0].at(&[at[0], row, place[2] * 7 + place[3]]);
            });
            y
        }),
        row!("max_pool2d", [[1, 2, 4, 6]], WIDE, |x| x[0].max_pool2d(2), |x| {
            r::pool(&x[0], &[1, 2, 2, 3], [2, 2, 0], largest)
        }),
        row!("relu_max_pool2d", [[2, 2, 5, 6]], WIDE, |x| x[0].relu_max_pool2d(2), |x| {
            r::pool(&x[0], &[2, 2, 2, 3], [2, 2, 0], |v| v.iter().copied().fold(0.0, f64::max))
        }),
        row!("relu_max_pool2d, overlapping", [[2, 1, 5, 6]], WIDE, |x| x[0].relu_max_pool2d(POOL), |x| {
            r::pool(&x[0], &[2, 1, 3, 3], [3, 2, 1], |v| v.iter().copied().fold(0.0, f64::max))
        }),
        row!(
            "conv2d_relu_max_pool2d",
            [[3, 2, 4, 5], [3, 2, 3, 2], [3]],
            WIDE,
            |x| x[0].conv2d_relu_max_pool2d(&x[1], Some(&x[2]), CONV, 2),
            |x| {
                let z = r::conv2d(&x[0], &x[1], Some(&x[2]), &[3, 3, 2, 7], CONV);
                r::pool(&Tensor64::from_slice(&z, [3, 3, 2, 7]), &[3, 3, 1, 3], [2, 2, 0], |v| {
                    v.iter().copied().fold(0.0, f64::max)
                })
            }
        ),
        row!("max_pool2d, overlapping", [[2, 1, 5, 6]], WIDE, |x| x[0].max_pool2d(POOL), |x| {
            r::pool(&x[0], &[2, 1, 3, 3], [3, 2, 1], largest)
        }),
        row!("avg_pool2d", [[2, 1, 5, 6]], WIDE, |x| x[0].avg_pool2d(POOL), |x| {
            r::pool(&x[0], &[2, 1, 3, 3], [3, 2, 1], |v| v.iter().sum::<f64>() / v.len() as f64)
        }),
        row!(
            "avg_pool2d, padding counted",
            [[1, 2, 4, 4]],
            WIDE,
            |x| { x[0].avg_pool2d(Pool2dOptions { count_include_pad: true, ..POOL }) },
            |x| r::pool(&x[0], &[1, 2, 2, 2], [3, 2, 1], |v| v.iter().sum::<f64>() / 9.0)
        ),
        row!("max_pool2d, dilated", [[1, 2, 4, 6]], WIDE, |x| x[0].max_pool2d(DILATED), |x| {
            r::pool_with(&x[0], &[1, 2, 2, 4], DILATED, |v, _| largest(v))
        }),
        row!("max_pool2d, ceil mode", [[2, 1, 4, 6]], WIDE, |x| x[0].max_pool2d(CEIL), |x| {
            r::pool_with(&x[0], &[2, 1, 2, 4], CEIL, |v, _| largest(v))
        }),
        row!(
            "conv2d_relu_max_pool2d, dilated, ceil mode",
            [[2, 2, 4, 5], [3, 2, 3, 2], [3]],
            WIDE,
            |x| {
                let pool = Pool2dOptions { dilation: [1, 3], ceil_mode: true, ..2.into() };
                x[0].conv2d_relu_max_pool2d(&x[1], Some(&x[2]), CONV, pool)
            },
            |x| {
                let pool = Pool2dOptions { dilation: [1, 3], ceil_mode: true, ..2.into() };
                let z = r::conv2d(&x[0], &x[1], Some(&x[2]), &[2, 3, 2, 7], CONV);
                r::pool_with(&Tensor64::from_slice(&z, [2, 3, 2, 7]), &[2, 3, 1, 3], pool, |v, _| largest(v).max(0.0))
            }
        ),
        row!("adaptive_max_pool2d", [[2, 1, 5, 4]], WIDE, |x| x[0].adaptive_max_pool2d([3, 3]), |x| {
            let window = |i: usize, len: usize| i * len / 3..((i + 1) * len).div_ceil(3);
            let of = |i: &[usize]| {
                let cells = window(i[2], 5).flat_map(|r| window(i[3], 4).map(move |c| (r, c)));
                largest(&cells.map(|(r, c)| x[0].at(&[i[0], i[1], r, c])).collect::<Vec<_>>())
            };
            r::indices(&[2, 1, 3, 3]).iter().map(|i| of(i)).collect()
        }),
        row!("avg_pool2d, ceil mode", [[2, 1, 4, 6]], WIDE, |x| x[0].avg_pool2d(CEIL), |x| {
            r::pool_with(&x[0], &[2, 1, 2, 4], CEIL, |v, _| v.iter().sum::<f64>() / v.len() as f64)
        }),
        row!(
            "avg_pool2d, dilated, ceil mode, padding counted",
            [[1, 2, 4, 6]],
            WIDE,
            |x| x[0].avg_pool2d(Pool2dOptions { dilation: [2, 3], count_include_pad: true, ..CEIL }),
            |x| {
                r::pool_with(&x[0], &[1, 2, 2, 2], Pool2dOptions { dilation: [2, 3], ..CEIL }, |v, counted| {
                    v.iter().sum::<f64>() / counted as f64
                })
            }
        ),
        row!("adaptive_avg_pool2d", [[1, 2, 4, 6]], WIDE, |x| x[0].adaptive_avg_pool2d([2, 3]), |x| {
            r::pool(&x[0], &[1, 2, 2, 3], [2, 2, 0], |v| v.iter().sum::<f64>() / 4.0)
        }),
        row!("upsample_nearest2d", [[1, 2, 2, 3]], WIDE, |x| x[0].upsample_nearest2d([4, 5]), |x| {
            r::pick(&x[0], &[1, 2, 4, 5], |i| vec![i[0], i[1], i[2] / 2, i[3] * 3 / 5])
        }),
        row!("upsample_bilinear2d", [[1, 2, 3, 2]], WIDE, |x| x[0].upsample_bilinear2d([5, 4], false), |x| {
            r::bilinear(&x[0], [5, 4], false)
        }),
        row!("upsample_bilinear2d, corners", [[1, 1, 3, 3]], WIDE, |x| x[0].upsample_bilinear2d([5, 4], true), |x| {
            r::bilinear(&x[0], [5, 4], true)
        }),
    ]
}

pub fn normalizations() -> Vec<Row> {
    vec![
        row!("batch_norm", [[3, 2, 2, 2], [2], [2]], WIDE, |x| x[0].batch_norm(&x[1], &x[2], 0.1).0, |x| {
            let xhat = Tensor64::from_slice(&r::normalized(&x[0], 0.1), [3, 2, 2, 2]);
            r::indices(&[3, 2, 2, 2]).iter().map(|i| x[1].at(&[i[1]]) * xhat.at(i) + x[2].at(&[i[1]])).collect()
        }),
        row!("batch_norm of features", [[5, 3], [3], [3]], WIDE, |x| x[0].batch_norm(&x[1], &x[2], 1e-5).0, |x| {
            let xhat = Tensor64::from_slice(&r::normalized(&x[0], 1e-5), [5, 3]);
            r::indices(&[5, 3]).iter().map(|i| x[1].at(&[i[1]]) * xhat.at(i) + x[2].at(&[i[1]])).collect()
        }),
        row!(
            "batch_norm at inference",
            [[3, 2, 2], [2], [2]],
            WIDE,
            |x| {
                let of = |v: [f64; 2]| beside(&x[0], v.map(T::from_f64));
                x[0].batch_norm_inference(&x[1], &x[2], &of([0.25, -0.5]), &of([2.0, 0.5]), 1e-5)
            },
            |x| {
                let (mean, variance) = ([0.25, -0.5], [2.0, 0.5f64]);
                r::indices(&[3, 2, 2])
                    .iter()
                    .map(|i| {
                        (x[0].at(i) - mean[i[1]]) / (variance[i[1]] + 1e-5).sqrt() * x[1].at(&[i[1]]) + x[2].at(&[i[1]])
                    })
                    .collect()
            }
        ),
        row!(
            "batch_norm with a residual",
            [[3, 2, 2, 2], [2], [2], [3, 2, 2, 2]],
            WIDE,
            |x| x[0].batch_norm_with(&x[1], &x[2], 0.1, Epilogue::add(&x[3])).0,
            |x| {
                let y = r::batch_norm(&r::normalized(&x[0], 0.1), x);
                y.iter().zip(x[3].to_vec()).map(|(y, r)| y + r).collect()
            }
        ),
        row!(
            "batch_norm with relu",
            [[3, 2, 2, 2], [2], [2]],
            WIDE,
            |x| { x[0].batch_norm_with(&x[1], &x[2], 0.1, Epilogue::RELU).0 },
            |x| r::batch_norm(&r::normalized(&x[0], 0.1), x).iter().map(|y| y.max(0.0)).collect()
        ),
        row!(
            "batch_norm with a residual and relu",
            [[3, 2, 2, 2], [2], [2], [3, 2, 2, 2]],
            WIDE,
            |x| { x[0].batch_norm_with(&x[1], &x[2], 0.1, Epilogue::add_relu(&x[3])).0 },
            |x| {
                let y = r::batch_norm(&r::normalized(&x[0], 0.1), x);
                y.iter().zip(x[3].to_vec()).map(|(y, r)| (y + r).max(0.0)).collect()
            }
        ),
        row!(
            "batch_norm at inference with a residual and relu",
            [[3, 2, 2], [2], [2], [3, 2, 2]],
            WIDE,
            |x| {
                let of = |v: [f64; 2]| beside(&x[0], v.map(T::from_f64));
                let (mean, variance) = (of([0.25, -0.5]), of([2.0, 0.5]));
                x[0].batch_norm_inference_with([&x[1], &x[2]], [&mean, &variance], 1e-5, Epilogue::add_relu(&x[3]))
            },
            |x| {
                let (mean, variance) = ([0.25, -0.5], [2.0, 0.5f64]);
                let xhat = |i: &Vec<usize>| (x[0].at(i) - mean[i[1]]) / (variance[i[1]] + 1e-5).sqrt();
                let xhat: Vec<f64> = r::indices(&[3, 2, 2]).iter().map(xhat).collect();
                r::batch_norm(&xhat, x).iter().zip(x[3].to_vec()).map(|(y, r)| (y + r).max(0.0)).collect()
            }
        ),
        row!("channel_sum", [[2, 3, 2, 2]], WIDE, |x| x[0].channel_sum(), |x| {
            let channel = |c: usize| r::indices(&[2, 3, 2, 2]).into_iter().filter(move |i| i[1] == c);
            (0..3).map(|c| channel(c).map(|i| x[0].at(&i)).sum()).collect()
        }),
        row!(
            "conv2d and batch_norm",
            [[2, 4, 4, 3], [4, 4, 3, 3], [4], [4]],
            WIDE,
            |x| {
                let y = x[0].conv2d_with(&x[1], None, Conv2dOptions::padded(1), Epilogue::CHANNEL_STATS);
                y.batch_norm(&x[2], &x[3], 0.1).0
            },
            |x| r::batch_norm_of_conv2d(x, &[2, 4, 4, 3], Conv2dOptions::padded(1), 0.1)
        ),
        row!(
            "conv2d and batch_norm with a residual and relu",
            [[2, 4, 4, 3], [4, 4, 3, 3], [4], [4], [2, 4, 4, 3]],
            WIDE,
            |x| {
                let y = x[0].conv2d_with(&x[1], None, Conv2dOptions::padded(1), Epilogue::CHANNEL_STATS);
                y.batch_norm_with(&x[2], &x[3], 0.1, Epilogue::add_relu(&x[4])).0
            },
            |x| {
                let y = r::batch_norm_of_conv2d(x, &[2, 4, 4, 3], Conv2dOptions::padded(1), 0.1);
                y.iter().zip(x[4].to_vec()).map(|(y, r)| (y + r).max(0.0)).collect()
            }
        ),
        row!("log_softmax", [[3, 4]], WIDE, |x| x[0].log_softmax(1), |x| r::log_softmax(&x[0])),
        row!("softmax along the first axis", [[4, 3]], WIDE, |x| x[0].softmax(0), |x| {
            let across = Tensor64::from_slice(&r::log_softmax(&x[0].transpose(0, 1)), [3, 4]);
            r::pick(&across, &[4, 3], |i| vec![i[1], i[0]]).iter().map(|v| v.exp()).collect()
        }),
    ]
}
