//! Rows of the losses.

use chainrule_autograd::{CrossEntropy, NllLoss, Reduction, VarOf};
use chainrule_tensor::{Tensor64, TensorOf};

use super::{WIDE, beside, sigmoid};
use crate::reference as r;
use crate::row::Row;

fn labels() -> TensorOf<i32> {
    [2, 0, 1].into()
}

pub fn losses() -> Vec<Row> {
    vec![
        row!("cross_entropy", [[3, 4]], WIDE, |x| x[0].cross_entropy(&beside(&x[0], labels())), |x| {
            let log_p = r::log_softmax(&x[0]);
            vec![-(0..3).map(|n| log_p[n * 4 + labels().at(&[n]) as usize]).sum::<f64>() / 3.0]
        }),
        row!(
            "cross_entropy, weighted and smoothed",
            [[3, 4]],
            WIDE,
            |x| {
                let weights: [f64; 4] = [1.0, 2.0, 0.5, 3.0];
                let options = CrossEntropy {
                    weights: Some(beside(&x[0], weights.map(T::from_f64))),
                    label_smoothing: 0.2,
                    ..CrossEntropy::default()
                };
                x[0].cross_entropy_with(&beside(&x[0], labels()), &options)
            },
            |x| {
                let (w, log_p) = ([1.0, 2.0, 0.5, 3.0], r::log_softmax(&x[0]));
                let label = |n: usize| labels().at(&[n]) as usize;
                let q = |n: usize, c: usize| if c == label(n) { 0.8 * w[c] } else { 0.0 } + 0.05 * w[c];
                let total: f64 = r::indices(&[3, 4]).iter().map(|i| -q(i[0], i[1]) * log_p[i[0] * 4 + i[1]]).sum();
                vec![total / (0..3).map(|n| w[label(n)]).sum::<f64>()]
            }
        ),
        row!(
            "cross_entropy of pixels, each",
            [[2, 3, 1, 2]],
            WIDE,
            |x| {
                let options = CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() };
                x[0].cross_entropy_with(&beside(&x[0], [[[2, 0]], [[1, 1]]]), &options)
            },
            |x| {
                let label = [[2, 0], [1, 1]];
                r::indices(&[2, 1, 2])
                    .iter()
                    .map(|i| {
                        let at = |c: usize| x[0].at(&[i[0], c, 0, i[2]]);
                        (0..3).map(|c| at(c).exp()).sum::<f64>().ln() - at(label[i[0]][i[2]])
                    })
                    .collect()
            }
        ),
        row!("soft_cross_entropy", [[3, 4], [3, 4]], (0.1, 0.9), |x| x[0].soft_cross_entropy(&x[1]), |x| {
            let terms = r::log_softmax(&x[0]).into_iter().zip(x[1].to_vec());
            vec![-terms.map(|(log_p, t)| t * log_p).sum::<f64>() / 3.0]
        }),
        row!(
            "soft_cross_entropy of pixels, weighted and smoothed, each",
            [[2, 3, 1, 2], [2, 3, 1, 2]],
            (0.1, 0.9),
            |x| {
                let options = CrossEntropy {
                    weights: Some(beside(&x[0], [1.0, 2.0, 0.5].map(T::from_f64))),
                    label_smoothing: 0.2,
                    reduction: Reduction::None,
                    ..CrossEntropy::default()
                };
                x[0].soft_cross_entropy_with(&x[1], &options)
            },
            |x| {
                let w = [1.0, 2.0, 0.5];
                let loss = |i: Vec<usize>| {
                    let at = |x: &Tensor64, c: usize| x.at(&[i[0], c, 0, i[2]]);
                    let ln_sum = (0..3).map(|c| at(&x[0], c).exp()).sum::<f64>().ln();
                    let q = |c: usize| 0.8 * at(&x[1], c) + 0.2 / 3.0;
                    (0..3).map(|c| w[c] * q(c) * (ln_sum - at(&x[0], c))).sum()
                };
                r::indices(&[2, 1, 2]).into_iter().map(loss).collect()
            }
        ),
        row!("mse_loss", [[3, 2], [3, 2]], WIDE, |x| x[0].mse_loss(&x[1], Reduction::Mean), |x| {
            vec![r::zip(x, &[3, 2], |a, b| (a - b).powi(2)).iter().sum::<f64>() / 6.0]
        }),
        row!("bce_loss", [[6], [6]], (0.1, 0.9), |x| x[0].bce_loss(&x[1], Reduction::Sum), |x| {
            vec![r::zip(x, &[6], |p, t| -t * p.ln() - (1.0 - t) * (1.0 - p).ln()).iter().sum::<f64>()]
        }),
        row!("bce_with_logits", [[6], [6]], (0.1, 0.9), |x| { x[0].bce_with_logits(&x[1], Reduction::None) }, |x| {
            r::zip(x, &[6], |v, t| -t * sigmoid(v).ln() - (1.0 - t) * (1.0 - sigmoid(v)).ln())
        }),
        row!(
            "bce_with_logits, weighted",
            [[6], [6]],
            (0.1, 0.9),
            |x| {
                let weight = TensorOf::scalar(T::from_f64(3.0));
                x[0].bce_with_logits_weighted(&x[1], &weight, Reduction::None)
            },
            |x| r::zip(x, &[6], |v, t| -3.0 * t * sigmoid(v).ln() - (1.0 - t) * (1.0 - sigmoid(v)).ln())
        ),
        row!(
            "cross_entropy, weighted and smoothed, with an ignored label",
            [[3, 4]],
            WIDE,
            |x| {
                let weights: [f64; 4] = [1.0, 2.0, 0.5, 3.0];
                let options = CrossEntropy {
                    weights: Some(beside(&x[0], weights.map(T::from_f64))),
                    label_smoothing: 0.2,
                    ignore_index: Some(-100),
                    ..CrossEntropy::default()
                };
                x[0].cross_entropy_with(&beside(&x[0], [2, -100, 1]), &options)
            },
            |x| {
                let (w, log_p) = ([1.0, 2.0, 0.5, 3.0], r::log_softmax(&x[0]));
                let loss = |n: usize, label: usize| {
                    let q = |c: usize| if c == label { 0.8 * w[c] } else { 0.0 } + 0.05 * w[c];
                    -(0..4).map(|c| q(c) * log_p[n * 4 + c]).sum::<f64>()
                };
                vec![(loss(0, 2) + loss(2, 1)) / (w[2] + w[1])]
            }
        ),
        row!("nll_loss", [[3, 4]], WIDE, |x| x[0].nll_loss(&beside(&x[0], labels())), |x| {
            vec![-(0..3).map(|n| x[0].at(&[n, labels().at(&[n]) as usize])).sum::<f64>() / 3.0]
        }),
        row!(
            "nll_loss of pixels, weighted, with an ignored label",
            [[2, 3, 1, 2]],
            WIDE,
            |x| {
                let options = NllLoss {
                    weights: Some(beside(&x[0], [1.0, 2.0, 0.5].map(T::from_f64))),
                    ignore_index: Some(255),
                    ..NllLoss::default()
                };
                x[0].nll_loss_with(&beside(&x[0], [[[2, 255]], [[1, 1]]]), &options)
            },
            |x| {
                let sum = 0.5 * x[0].at(&[0, 2, 0, 0]) + 2.0 * (x[0].at(&[1, 1, 0, 0]) + x[0].at(&[1, 1, 0, 1]));
                vec![-sum / 4.5]
            }
        ),
        row!("l1_loss", [[3, 2], [3, 2]], WIDE, |x| x[0].l1_loss(&x[1], Reduction::None), |x| {
            r::zip(x, &[3, 2], |a, b| (a - b).abs())
        }),
        row!("huber_loss", [[3, 4], [3, 4]], WIDE, |x| x[0].huber_loss(&x[1], Reduction::Mean, 0.9), |x| {
            let loss = |d: f64| if d <= 0.9 { d * d / 2.0 } else { 0.9 * (d - 0.45) };
            vec![r::zip(x, &[3, 4], |a, b| loss((a - b).abs())).iter().sum::<f64>() / 12.0]
        }),
        row!("smooth_l1_loss", [[3, 4], [3, 4]], WIDE, |x| x[0].smooth_l1_loss(&x[1], Reduction::Sum, 0.9), |x| {
            let loss = |d: f64| if d <= 0.9 { d * d / 1.8 } else { d - 0.45 };
            vec![r::zip(x, &[3, 4], |a, b| loss((a - b).abs())).iter().sum::<f64>()]
        }),
        row!("kl_div", [[2, 3], [2, 3]], (0.1, 0.9), |x| x[0].kl_div(&x[1], Reduction::None, false), |x| {
            r::zip(x, &[2, 3], |a, t| t * (t.ln() - a))
        }),
        row!("kl_div, logarithms", [[2, 3], [2, 3]], WIDE, |x| x[0].kl_div(&x[1], Reduction::Mean, true), |x| {
            vec![r::zip(x, &[2, 3], |a, t| t.exp() * (t - a)).iter().sum::<f64>() / 6.0]
        }),
        row!(
            "hinge_embedding_loss",
            [[6]],
            WIDE,
            |x| {
                let target = VarOf::constant(beside(&x[0], [1.0, -1.0, -1.0, -1.0, 1.0, -1.0].map(T::from_f64)));
                x[0].hinge_embedding_loss(&target, Reduction::None, 0.8)
            },
            |x| {
                let target = [1.0, -1.0, -1.0, -1.0, 1.0, -1.0];
                let loss = |(x, t): (f64, f64)| if t > 0.0 { x } else { (0.8 - x).max(0.0) };
                x[0].to_vec().into_iter().zip(target).map(loss).collect()
            }
        ),
        row!(
            "margin_ranking_loss",
            [[6], [6], [6]],
            WIDE,
            |x| x[0].margin_ranking_loss(&x[1], &x[2], Reduction::None, 0.3),
            |x| (0..6).map(|i| (0.3 - x[2].at(&[i]) * (x[0].at(&[i]) - x[1].at(&[i]))).max(0.0)).collect()
        ),
        row!(
            "cosine_embedding_loss",
            [[3, 4], [3, 4]],
            WIDE,
            |x| {
                let target = VarOf::constant(beside(&x[0], [1.0, -1.0, -1.0].map(T::from_f64)));
                x[0].cosine_embedding_loss(&x[1], &target, Reduction::None, -0.9)
            },
            |x| {
                let cosine = cosines(x, [3, 4]);
                vec![1.0 - cosine[0], (cosine[1] + 0.9).max(0.0), (cosine[2] + 0.9).max(0.0)]
            }
        ),
        row!("cosine_similarity", [[2, 5], [2, 5]], WIDE, |x| x[0].cosine_similarity(&x[1], 1, 1e-8), |x| cosines(
            x,
            [2, 5]
        )),
    ]
}

/// The cosines of the rows of both.
fn cosines(x: &[Tensor64], [n, d]: [usize; 2]) -> Vec<f64> {
    let dot = |a: &Tensor64, b: &Tensor64, n: usize| (0..d).map(|i| a.at(&[n, i]) * b.at(&[n, i])).sum::<f64>();
    (0..n).map(|n| dot(&x[0], &x[1], n) / (dot(&x[0], &x[0], n) * dot(&x[1], &x[1], n)).sqrt()).collect()
}
