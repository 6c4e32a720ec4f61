//! Rows of elementwise ops, reductions, views and indexing.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Device, Key, Purpose, Tensor64, TensorOf};

use super::{NONE, POSITIVE, UNIT, WIDE, beside, sigmoid};
use crate::reference as r;
use crate::row::Row;

pub fn arithmetic() -> Vec<Row> {
    vec![
        row!("add", [[2, 3], [2, 3]], WIDE, |x| &x[0] + &x[1], |x| r::zip(x, &[2, 3], |a, b| a + b)),
        row!("add, a row", [[2, 3, 2], [3, 1]], WIDE, |x| &x[0] + &x[1], |x| r::zip(x, &[2, 3, 2], |a, b| a + b)),
        row!("sub, a scalar", [NONE, [4]], WIDE, |x| &x[0] - &x[1], |x| r::zip(x, &[4], |a, b| a - b)),
        row!("mul, outer", [[3, 1], [1, 4]], WIDE, |x| &x[0] * &x[1], |x| r::zip(x, &[3, 4], |a, b| a * b)),
        row!("mul, of one element", [[1], [1]], WIDE, |x| &x[0] * &x[1], |x| r::zip(x, &[1], |a, b| a * b)),
        row!("div", [[5], [2, 5]], POSITIVE, |x| &x[0] / &x[1], |x| r::zip(x, &[2, 5], |a, b| a / b)),
        row!("numbers", [[7]], POSITIVE, |x| (2.0 * &x[0] + 1.0) - (3.0 - &x[0]) + 4.0 / &x[0] - &x[0] / 5.0, |x| {
            r::map(&x[0], |v| 2.0 * v + 1.0 - (3.0 - v) + 4.0 / v - v / 5.0)
        }),
        row!("maximum", [[2, 5], [5]], WIDE, |x| x[0].maximum(&x[1]), |x| r::zip(x, &[2, 5], f64::max)),
        row!("minimum", [[2, 5], [5]], WIDE, |x| x[0].minimum(&x[1]), |x| r::zip(x, &[2, 5], f64::min)),
        row!("power", [[2, 5], [5]], POSITIVE, |x| x[0].power(&x[1]), |x| r::zip(x, &[2, 5], f64::powf)),
        row!("atan2", [[2, 5], [2, 1]], WIDE, |x| x[0].atan2(&x[1]), |x| r::zip(x, &[2, 5], f64::atan2)),
        row!("remainder, times exp", [[2, 5], [5]], POSITIVE, |x| x[0].remainder(&x[1]) * (&x[0] + &x[1]).exp(), |x| {
            r::zip(x, &[2, 5], |a, b| (a - b * (a / b).floor()) * (a + b).exp())
        }),
    ]
}

pub fn functions() -> Vec<Row> {
    vec![
        row!("exp", [[3, 2]], WIDE, |x| x[0].exp(), |x| r::map(&x[0], f64::exp)),
        row!("log", [[3, 2]], POSITIVE, |x| x[0].log(), |x| r::map(&x[0], f64::ln)),
        row!("sqrt", [[3, 2]], POSITIVE, |x| x[0].sqrt(), |x| r::map(&x[0], f64::sqrt)),
        row!("square", [[3, 2]], WIDE, |x| x[0].square(), |x| r::map(&x[0], |v| v * v)),
        row!("reciprocal", [[3, 2]], POSITIVE, |x| x[0].reciprocal(), |x| r::map(&x[0], |v| 1.0 / v)),
        row!("pow 1.7", [[3, 2]], POSITIVE, |x| x[0].pow(1.7), |x| r::map(&x[0], |v| v.powf(1.7))),
        row!("pow 3", [[3, 2]], WIDE, |x| x[0].pow(3.0), |x| r::map(&x[0], |v| v * v * v)),
        row!("pow -2", [[3, 2]], POSITIVE, |x| x[0].pow(-2.0), |x| r::map(&x[0], |v| 1.0 / (v * v))),
        row!("abs", [[3, 2]], WIDE, |x| x[0].abs(), |x| r::map(&x[0], f64::abs)),
        row!("clamp", [[4, 2]], WIDE, |x| x[0].clamp(-0.9, 1.1), |x| r::map(&x[0], |v| v.clamp(-0.9, 1.1))),
        row!("relu", [[4, 2]], WIDE, |x| x[0].relu(), |x| r::map(&x[0], |v| v.max(0.0))),
        row!("leaky_relu 0.1", [[4, 2]], WIDE, |x| x[0].leaky_relu(0.1), |x| {
            r::map(&x[0], |v| if v > 0.0 { v } else { 0.1 * v })
        }),
        row!("leaky_relu -1", [[4, 2]], WIDE, |x| x[0].leaky_relu(-1.0), |x| r::map(&x[0], f64::abs)),
        row!("elu 1.3", [[4, 2]], WIDE, |x| x[0].elu(1.3), |x| {
            r::map(&x[0], |v| if v > 0.0 { v } else { 1.3 * (v.exp() - 1.0) })
        }),
        row!("sigmoid", [[4, 2]], WIDE, |x| x[0].sigmoid(), |x| r::map(&x[0], sigmoid)),
        row!("tanh", [[4, 2]], WIDE, |x| x[0].tanh(), |x| r::map(&x[0], f64::tanh)),
        row!("softplus", [[4, 2]], WIDE, |x| x[0].softplus(), |x| r::map(&x[0], |v| v.exp().ln_1p())),
        row!("swish 1", [[4, 2]], WIDE, |x| x[0].swish(1.0), |x| r::map(&x[0], |v| v * sigmoid(v))),
        row!("swish 2.5", [[4, 2]], WIDE, |x| x[0].swish(2.5), |x| r::map(&x[0], |v| v * sigmoid(2.5 * v))),
        row!("mish", [[4, 2]], WIDE, |x| x[0].mish(), |x| r::map(&x[0], |v| v * v.exp().ln_1p().tanh())),
        // Φ by Simpson's rule, applied to the density.
        row!("gelu", [[4, 2]], WIDE, |x| x[0].gelu(), |x| r::map(&x[0], |v| {
            let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
            let n = 2000;
            let h = v / f64::from(n);
            let weight = |k: i32| if k == 0 || k == n { 1.0 } else { f64::from(2 + 2 * (k % 2)) };
            v * (0.5 + (0..=n).map(|k| weight(k) * density(f64::from(k) * h)).sum::<f64>() * h / 3.0)
        })),
        row!("gelu_tanh", [[4, 2]], WIDE, |x| x[0].gelu_tanh(), |x| r::map(&x[0], |v| {
            let u = std::f64::consts::FRAC_2_PI.sqrt() * (v + 0.044_715 * v * v * v);
            0.5 * v * (1.0 + u.tanh())
        })),
        row!("sin", [[4, 2]], WIDE, |x| x[0].sin(), |x| r::map(&x[0], f64::sin)),
        row!("cos", [[4, 2]], WIDE, |x| x[0].cos(), |x| r::map(&x[0], f64::cos)),
        row!("tan", [[4, 2]], UNIT, |x| x[0].tan(), |x| r::map(&x[0], f64::tan)),
        row!("asin", [[4, 2]], UNIT, |x| x[0].asin(), |x| r::map(&x[0], f64::asin)),
        row!("acos", [[4, 2]], UNIT, |x| x[0].acos(), |x| r::map(&x[0], f64::acos)),
        row!("atan", [[4, 2]], WIDE, |x| x[0].atan(), |x| r::map(&x[0], f64::atan)),
        row!("sinh", [[4, 2]], WIDE, |x| x[0].sinh(), |x| r::map(&x[0], f64::sinh)),
        row!("cosh", [[4, 2]], WIDE, |x| x[0].cosh(), |x| r::map(&x[0], f64::cosh)),
        row!("expm1", [[4, 2]], WIDE, |x| x[0].expm1(), |x| r::map(&x[0], f64::exp_m1)),
        row!("log1p", [[4, 2]], POSITIVE, |x| x[0].log1p(), |x| r::map(&x[0], f64::ln_1p)),
        row!("log2", [[4, 2]], POSITIVE, |x| x[0].log2(), |x| r::map(&x[0], f64::log2)),
        row!("log10", [[4, 2]], POSITIVE, |x| x[0].log10(), |x| r::map(&x[0], f64::log10)),
        row!("rsqrt", [[4, 2]], POSITIVE, |x| x[0].rsqrt(), |x| r::map(&x[0], |v| 1.0 / v.sqrt())),
        row!("floor, times exp", [[4, 2]], WIDE, |x| x[0].floor() * x[0].exp(), |x| r::map(&x[0], |v| v.floor()
            * v.exp())),
        row!("ceil, times exp", [[4, 2]], WIDE, |x| x[0].ceil() * x[0].exp(), |x| r::map(&x[0], |v| v.ceil()
            * v.exp())),
        row!("round, times exp", [[4, 2]], WIDE, |x| x[0].round() * x[0].exp(), |x| r::map(&x[0], |v| v
            .round_ties_even()
            * v.exp())),
        row!("trunc, times exp", [[4, 2]], WIDE, |x| x[0].trunc() * x[0].exp(), |x| r::map(&x[0], |v| v.trunc()
            * v.exp())),
        row!("sign, times exp", [[4, 2]], WIDE, |x| x[0].sign() * x[0].exp(), |x| r::map(&x[0], |v| v.signum()
            * v.exp())),
        row!("selu", [[4, 2]], WIDE, |x| x[0].selu(), |x| r::map(&x[0], |v| 1.050_700_987_355_480_5
            * if v > 0.0 { v } else { 1.673_263_242_354_377_2 * v.exp_m1() })),
        row!("relu6", [[4, 2]], WIDE, |x| x[0].relu6(), |x| r::map(&x[0], |v| v.clamp(0.0, 6.0))),
        row!("hardtanh", [[4, 2]], WIDE, |x| x[0].hardtanh(), |x| r::map(&x[0], |v| v.clamp(-1.0, 1.0))),
        row!("hardsigmoid", [[4, 2]], WIDE, |x| x[0].hardsigmoid(), |x| r::map(&x[0], |v| (v + 3.0).clamp(0.0, 6.0)
            / 6.0)),
        row!("hardswish", [[4, 2]], WIDE, |x| x[0].hardswish(), |x| r::map(&x[0], |v| v * (v + 3.0).clamp(0.0, 6.0)
            / 6.0)),
        row!("logsigmoid", [[4, 2]], WIDE, |x| x[0].logsigmoid(), |x| r::map(&x[0], |v| sigmoid(v).ln())),
        row!("softsign", [[4, 2]], WIDE, |x| x[0].softsign(), |x| r::map(&x[0], |v| v / (1.0 + v.abs()))),
        row!("celu 0.7", [[4, 2]], WIDE, |x| x[0].celu(0.7), |x| {
            r::map(&x[0], |v| if v > 0.0 { v } else { 0.7 * (v / 0.7).exp_m1() })
        }),
        // Simpson's rule.
        row!("erf", [[4, 2]], WIDE, |x| x[0].erf(), |x| r::map(&x[0], |v| {
            let n = 2000;
            let h = v / f64::from(n);
            let weight = |k: i32| if k == 0 || k == n { 1.0 } else { f64::from(2 + 2 * (k % 2)) };
            let at = |k: i32| std::f64::consts::FRAC_2_SQRT_PI * (-(f64::from(k) * h).powi(2)).exp();
            (0..=n).map(|k| weight(k) * at(k)).sum::<f64>() * h / 3.0
        })),
        row!("dropout", [[5, 4]], WIDE, |x| x[0].dropout(0.4, Key::new(3, Purpose::USER)), |x| {
            let mask = Tensor64::dropout_mask(Device::Cpu, Key::new(3, Purpose::USER), 0.4, [5, 4]);
            r::zip(&[x[0].clone(), mask], &[5, 4], |v, m| v * m)
        }),
    ]
}

pub fn reductions() -> Vec<Row> {
    vec![
        row!("sum", [[2, 3, 2]], WIDE, |x| x[0].sum(), |x| r::reduce(&x[0], &[0, 1, 2], |v| v.iter().sum())),
        row!("sum over the middle", [[2, 3, 2]], WIDE, |x| x[0].sum_axes(&[1], true), |x| {
            r::reduce(&x[0], &[1], |v| v.iter().sum())
        }),
        row!("sum over the outside", [[2, 3, 2]], WIDE, |x| x[0].sum_axes(&[0, -1], false), |x| {
            r::reduce(&x[0], &[0, 2], |v| v.iter().sum())
        }),
        row!("mean", [[2, 3]], WIDE, |x| x[0].mean_axes(&[-1], false), |x| {
            r::reduce(&x[0], &[1], |v| v.iter().sum::<f64>() / 3.0)
        }),
        row!("mean of all", [[7]], WIDE, |x| x[0].mean(), |x| r::reduce(&x[0], &[0], |v| v.iter().sum::<f64>() / 7.0)),
        row!("var", [[3, 4]], WIDE, |x| x[0].var_axes(&[0], 1, false), |x| r::reduce(&x[0], &[0], |v| {
            let mean = v.iter().sum::<f64>() / 3.0;
            v.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 2.0
        })),
        row!("var of all", [[5]], WIDE, |x| x[0].var(0), |x| r::reduce(&x[0], &[0], |v| {
            let mean = v.iter().sum::<f64>() / 5.0;
            v.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 5.0
        })),
        row!("max", [[2, 5]], WIDE, |x| x[0].max_axes(&[1], false), |x| {
            r::reduce(&x[0], &[1], |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        }),
        row!("min of all", [[2, 5]], WIDE, |x| x[0].min(), |x| {
            r::reduce(&x[0], &[0, 1], |v| v.iter().copied().fold(f64::INFINITY, f64::min))
        }),
    ]
}

pub fn views() -> Vec<Row> {
    vec![
        row!("reshape", [[2, 6]], WIDE, |x| x[0].reshape([3, 4]), |x| x[0].to_vec()),
        row!("flatten, squeeze, unsqueeze", [[2, 1, 3]], WIDE, |x| x[0].squeeze(1).unsqueeze(-1).flatten(), |x| {
            x[0].to_vec()
        }),
        row!("permute", [[2, 3, 4]], WIDE, |x| x[0].permute(&[2, 0, 1]), |x| {
            r::pick(&x[0], &[4, 2, 3], |i| vec![i[1], i[2], i[0]])
        }),
        row!("transpose", [[2, 3]], WIDE, |x| x[0].transpose(0, -1), |x| r::pick(&x[0], &[3, 2], |i| vec![i[1], i[0]])),
        row!("slice backwards", [[2, 7]], WIDE, |x| x[0].slice(-1, 5, 3, -2), |x| {
            r::pick(&x[0], &[2, 3], |i| vec![i[0], 5 - 2 * i[1]])
        }),
        row!("narrow", [[5, 2]], WIDE, |x| x[0].narrow(0, 1..4), |x| r::pick(&x[0], &[3, 2], |i| vec![i[0] + 1, i[1]])),
        row!("broadcast_to", [[3, 1]], WIDE, |x| x[0].broadcast_to([2, 3, 2]), |x| {
            r::pick(&x[0], &[2, 3, 2], |i| vec![i[1], 0])
        }),
        row!("sum_to", [[2, 3, 2]], WIDE, |x| x[0].sum_to([3, 1]), |x| r::reduce(&x[0], &[0, 2], |v| v.iter().sum())),
        row!("concat", [[2, 2], [2, 3]], WIDE, |x| VarOf::concat(&[&x[0], &x[1], &x[0]], 1), |x| {
            r::indices(&[2, 7])
                .iter()
                .map(|i| match i[1] {
                    c @ 0..2 => x[0].at(&[i[0], c]),
                    c @ 2..5 => x[1].at(&[i[0], c - 2]),
                    c => x[0].at(&[i[0], c - 5]),
                })
                .collect()
        }),
        row!("pad", [[2, 3]], WIDE, |x| x[0].pad(&[(1, 0), (0, 2)], 0.5), |x| {
            r::indices(&[3, 5])
                .iter()
                .map(|i| if i[0] >= 1 && i[1] < 3 { x[0].at(&[i[0] - 1, i[1]]) } else { 0.5 })
                .collect()
        }),
    ]
}

fn index() -> TensorOf<i32> {
    [[2, 0], [2, 1], [0, 0]].into()
}

pub fn indexing() -> Vec<Row> {
    vec![
        row!("gather", [[3, 2]], WIDE, |x| x[0].gather(0, &beside(&x[0], index())), |x| {
            r::pick(&x[0], &[3, 2], |i| vec![index().at(i) as usize, i[1]])
        }),
        row!("scatter_add", [[3, 2]], WIDE, |x| x[0].scatter_add(0, &beside(&x[0], index()), [4, 2]), |x| {
            let mut y = vec![0.0; 8];
            for i in r::indices(&[3, 2]) {
                y[index().at(&i) as usize * 2 + i[1]] += x[0].at(&i);
            }
            y
        }),
        row!("lerp", [[2, 3], [3]], WIDE, |x| x[0].lerp(&x[1], 0.3) + x[0].lerp(&x[1], 0.8), |x| {
            r::zip(x, &[2, 3], |a, b| 0.9 * a + 1.1 * b)
        }),
        row!("lerp_with", [[2, 3], [3], [2, 1]], (0.1, 0.9), |x| x[0].lerp_with(&x[1], &x[2]), |x| {
            r::indices(&[2, 3])
                .iter()
                .map(|i| {
                    let (a, b, w) = (x[0].at(i), x[1].at(&[i[1]]), x[2].at(&[i[0], 0]));
                    a + w * (b - a)
                })
                .collect()
        }),
        row!("select", [[2, 3], [3]], WIDE, |x| x[0].select(&beside(&x[0], [[1, 0, 1], [0, 0, 1]]), &x[1]), |x| {
            let mask = [[1, 0, 1], [0, 0, 1]];
            r::indices(&[2, 3])
                .iter()
                .map(|i| if mask[i[0]][i[1]] == 1 { x[0].at(i) } else { x[1].at(&[i[1]]) })
                .collect()
        }),
    ]
}
