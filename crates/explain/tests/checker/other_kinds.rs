//! Mistakes in softmax, convolutions, batch normalization and optimizers, with wrong values computed by hand.

use chainrule_explain::checker::MistakeKind as Kind;

use crate::{Kept, answers, only_wrong};

/// Checks the sheet with the last value wrong, kept to 3 and to 5 digits.
#[track_caller]
fn last_is_wrong(sheet: &str, values: &[(&str, f64)], kind: Kind) {
    let values: Vec<(String, f64)> = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    for digits in [3, 5] {
        let text = format!("{sheet}[answers]\n{}", answers(&values, Kept::Rounded(digits)));
        only_wrong(&text, &values.last().expect("a value").0, kind);
    }
}

#[test]
fn softmax() {
    for (z, label) in [([0.8_f64, -0.35, 1.7], 0), ([-0.6, 1.25, 0.3], 2)] {
        // Weights 1 for the own input, so that z are the inputs.
        let t: Vec<u8> = (0..3).map(|k| u8::from(k == label)).collect();
        let sheet = format!(
            "[net]\nlayers = [3, 3]\nactivations = [\"softmax\"]\nbiases = \"none\"\n[loss]\nfunction = \"cross-entropy\"\n[given]\n\
             i = {z:?}\nw = [1, 0, 0, 0, 1, 0, 0, 0, 1]\nt = {t:?}\n"
        );
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| z.exp() / sum).collect();
        let forward = [("p1", p[0]), ("p2", p[1]), ("p3", p[2])];
        let other = (label + 1) % 3;
        let name = |k: usize| ["dE_dz1", "dE_dz2", "dE_dz3"][k];
        let with = |last: (&'static str, f64)| [&forward[..], &[last]].concat();
        let right = with((name(label), p[label] - 1.0));
        last_is_wrong(&sheet, &with((name(label), 1.0 - p[label])), Kind::Sign);
        last_is_wrong(&sheet, &with((name(label), p[label])), Kind::TermForgotten);
        // The own input alone gives −t·(1 − p), which is 0 for an output that is not the label.
        only_wrong(&format!("{sheet}[answers]\n{} = \"0\"\n", name(other)), name(other), Kind::OwnInputOnly);
        last_is_wrong(&sheet, &with((name(other), -p[other])), Kind::Sign);
        last_is_wrong(&sheet, &with(("E", -p[label].log10())), Kind::DecimalLogarithm);
        last_is_wrong(&sheet, &with(("E", p[label].ln())), Kind::Sign);
        last_is_wrong(
            &sheet,
            &[&right[..], &[("dE_dw1", if label == 0 { p[0] - 1.0 } else { p[0] })]].concat(),
            Kind::FactorForgotten,
        );
    }
}

#[test]
fn convolutions() {
    for seed in [3, 5] {
        let x: Vec<Vec<f64>> =
            (0..4).map(|i| (0..4).map(|j| f64::from((7 * (4 * i + j) + seed) % 17) / 8.0 - 0.95).collect()).collect();
        let k = [[0.62, -0.35], [0.84, 0.47]];
        let (v, t, b) = ([[0.9, -0.7], [0.55, 1.2]], 0.3, 0.22);
        let sheet = format!(
            "[convolution]\nactivation = \"tanh\"\nbias = true\n[given]\nx = {x:?}\nk = {k:?}\nb = {b}\nv = {v:?}\nt = {t}\n"
        );
        let at = |k: &dyn Fn(usize, usize) -> f64, i: usize, j: usize| -> f64 {
            let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
            cells.iter().map(|&(m, n)| k(m, n) * x[i + m][j + n]).sum()
        };
        let z = |i: usize, j: usize| at(&|m, n| k[m][n], i, j) + b;
        last_is_wrong(&sheet, &[("z11", at(&|m, n| k[1 - m][1 - n], 0, 0) + b)], Kind::KernelFlipped);
        last_is_wrong(&sheet, &[("z11", z(0, 0) - b)], Kind::BiasForgotten);

        let a = |i: usize, j: usize| z(i, j).tanh();
        let window = |i: usize, j: usize| [a(i, j), a(i, j + 1), a(i + 1, j), a(i + 1, j + 1)];
        let max = |i: usize, j: usize| window(i, j).into_iter().fold(f64::MIN, f64::max);
        let mut forward: Vec<(String, f64)> = Vec::new();
        for i in 0..3 {
            for j in 0..3 {
                forward.push((format!("a{}{}", i + 1, j + 1), a(i, j)));
            }
        }
        let with = |more: &[(&str, f64)]| -> Vec<(String, f64)> {
            forward.iter().cloned().chain(more.iter().map(|(name, value)| ((*name).to_owned(), *value))).collect()
        };
        let check = |more: &[(&str, f64)], kind: Kind| {
            let values = with(more);
            let values: Vec<(&str, f64)> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            last_is_wrong(&sheet, &values, kind);
        };
        check(&[("p11", window(0, 0).iter().sum::<f64>() / 4.0)], Kind::WrongPooling);

        let o: f64 = [(0, 0), (0, 1), (1, 0), (1, 1)].iter().map(|&(i, j)| v[i][j] * max(i, j)).sum();
        let dp = |i: usize, j: usize| -(t - o) * v[i][j];
        // The gradient of the middle of the map, which lies in all four windows, without asking where the largest is.
        let all: f64 = [(0, 0), (0, 1), (1, 0), (1, 1)].iter().map(|&(i, j)| dp(i, j)).sum();
        let stated = [("dE_dp11", dp(0, 0)), ("dE_dp12", dp(0, 1)), ("dE_dp21", dp(1, 0)), ("dE_dp22", dp(1, 1))];
        check(&[&stated[..], &[("dE_da22", all)]].concat(), Kind::MaskForgotten);
    }
}

#[test]
fn batch_norms() {
    for x in [[0.4_f64, -1.1, 2.3, 0.9], [1.7, 0.2, -0.6, 3.1]] {
        let (gamma, beta, t) = (1.3, -0.4, [1.0, 0.5, -0.5, 0.25]);
        let sheet =
            format!("[batch-norm]\nepsilon = 0.01\n[given]\nx = {x:?}\ngamma = {gamma}\nbeta = {beta}\nt = {t:?}\n");
        let mu = x.iter().sum::<f64>() / 4.0;
        let squares: f64 = x.iter().map(|x| (x - mu).powi(2)).sum();
        let var = squares / 4.0;
        let std = (var + 0.01).sqrt();
        let xhat = x.map(|x| (x - mu) / std);
        let dy: Vec<f64> = (0..4).map(|k| -(t[k] - (gamma * xhat[k] + beta))).collect();
        let dxhat: Vec<f64> = dy.iter().map(|dy| dy * gamma).collect();
        last_is_wrong(&sheet, &[("mu", mu), ("var", squares / 3.0)], Kind::UnbiasedVariance);
        last_is_wrong(&sheet, &[("mu", mu), ("var", var), ("std", var + 0.01)], Kind::RootForgotten);
        let forward = [("mu", mu), ("var", var), ("std", std), ("xhat1", xhat[0])];
        last_is_wrong(&sheet, &[&forward[..], &[("y1", gamma * xhat[0])]].concat(), Kind::BiasForgotten);
        let backward = [
            &forward[..],
            &[("xhat2", xhat[1]), ("xhat3", xhat[2]), ("xhat4", xhat[3])],
            &[("dE_dxhat1", dxhat[0]), ("dE_dxhat2", dxhat[1]), ("dE_dxhat3", dxhat[2]), ("dE_dxhat4", dxhat[3])],
        ]
        .concat();
        // As if mean and variance were constants.
        last_is_wrong(&sheet, &[&backward[..], &[("dE_dx1", dxhat[0] / std)]].concat(), Kind::OnePathOnly);
        // The variance is taken into account, the mean is not.
        let dvar: f64 = (0..4).map(|k| dxhat[k] * (x[k] - mu) * -0.5 / std.powi(3)).sum();
        let without_mean = dxhat[0] / std + dvar * 2.0 * (x[0] - mu) / 4.0;
        last_is_wrong(
            &sheet,
            &[&backward[..], &[("dE_dvar", dvar), ("dE_dx1", without_mean)]].concat(),
            Kind::PathDropped,
        );
    }
}

/// A linear unit of one weight, two steps.
#[test]
fn optimizers() {
    for (x, w, t, lr) in [(1.5, 0.6, 2.3, 0.2), (-0.8, 1.4, 0.7, 0.3)] {
        let net = format!(
            "[net]\nlayers = [1, 1]\nactivations = [\"linear\"]\nbiases = \"none\"\n[given]\ni = {x}\nw1 = {w}\nt = {t}\n"
        );
        let g = |w: f64| -(t - w * x) * x;
        let momentum = |convention: &str| {
            format!("[update]\noptimizer = \"momentum\"\nconvention = \"{convention}\"\nlr = {lr}\nsteps = 2\n{net}")
        };
        let first = |v: f64, new: f64| vec![("step1.dE_dw1", g(w)), ("step1.v_w1", v), ("step1.w1_new", new)];
        let check = |sheet: &str, values: &[(&str, f64)], kind: Kind| {
            // Step and name are separate in the file.
            let tables = |step: &str, digits: usize| -> String {
                values
                    .iter()
                    .filter_map(|(name, value)| Some((name.strip_prefix(step)?, Kept::Rounded(digits).text(*value))))
                    .map(|(name, value)| format!("{name} = \"{value}\"\n"))
                    .collect::<Vec<_>>()
                    .concat()
            };
            for digits in [3, 5] {
                let text = format!(
                    "{sheet}[answers.step1]\n{}[answers.step2]\n{}",
                    tables("step1.", digits),
                    tables("step2.", digits)
                );
                only_wrong(&text, values.last().expect("a value").0, kind);
            }
        };

        // PyTorch: v = 0.9·v + g, w = w − lr·v.
        let v1 = g(w);
        let w1 = w - lr * v1;
        let start = first(v1, w1);
        let g2 = ("step2.dE_dw1", g(w1));
        let v2 = 0.9 * v1 + g(w1);
        check(
            &momentum("pytorch"),
            &[&start[..], &[g2, ("step2.v_w1", 0.9 * v1 - lr * g(w1))]].concat(),
            Kind::OtherMomentum,
        );
        check(&momentum("pytorch"), &[&start[..], &[g2, ("step2.v_w1", g(w1))]].concat(), Kind::TermForgotten);
        check(
            &momentum("pytorch"),
            &[&start[..], &[g2, ("step2.v_w1", v2), ("step2.w1_new", w1 - v2)]].concat(),
            Kind::RateForgotten,
        );
        check(
            &momentum("pytorch"),
            &[&start[..], &[g2, ("step2.v_w1", v2), ("step2.w1_new", w1 + lr * v2)]].concat(),
            Kind::Sign,
        );
        // The classical one: v = 0.9·v − lr·g, w = w + v; the same first step.
        let v1 = -lr * g(w);
        let start = first(v1, w1);
        check(
            &momentum("classical"),
            &[&start[..], &[g2, ("step2.v_w1", 0.9 * v1 + g(w1))]].concat(),
            Kind::OtherMomentum,
        );
        check(&momentum("classical"), &[&start[..], &[g2, ("step2.v_w1", 0.9 * v1 + lr * g(w1))]].concat(), Kind::Sign);

        let adam = format!("[update]\noptimizer = \"adam\"\nlr = {lr}\nbeta1 = 0.8\nbeta2 = 0.9\nsteps = 2\n{net}");
        let (m, v) = (0.2 * g(w), 0.1 * g(w) * g(w));
        let start = [("step1.dE_dw1", g(w)), ("step1.m_w1", m), ("step1.v_w1", v)];
        check(&adam, &[&start[..2], &[("step1.v_w1", 0.1 * g(w))]].concat(), Kind::SquareForgotten);
        check(&adam, &[&start[..], &[("step1.mhat_w1", m)]].concat(), Kind::NoBiasCorrection);
        let hats = [&start[..], &[("step1.mhat_w1", m / 0.2), ("step1.vhat_w1", v / 0.1)]].concat();
        let without_root = w - lr * (m / 0.2) / (v / 0.1 + 1e-8);
        check(&adam, &[&hats[..], &[("step1.w1_new", without_root)]].concat(), Kind::RootForgotten);
        let adam_w1 = w - lr * g(w).signum();
        let m2 = 0.8 * m + 0.2 * g(adam_w1);
        let second =
            [&hats[..], &[("step1.w1_new", adam_w1), ("step2.dE_dw1", g(adam_w1)), ("step2.m_w1", m2)]].concat();
        check(&adam, &[&second[..], &[("step2.mhat_w1", m2)]].concat(), Kind::NoBiasCorrection);
    }
}
