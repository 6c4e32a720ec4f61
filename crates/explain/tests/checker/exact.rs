//! The exact values of every kind of sheet, compared with autograd.

use std::collections::BTreeMap;

use chainrule_autograd::Var64;
use chainrule_explain::checker::Sheet;
use chainrule_tensor::{Conv2dOptions, Pool2dOptions, Tensor64};

/// The exact values that a sheet shows, to 10 digits, of every quantity of the first step.
fn exact(sheet: &str) -> BTreeMap<String, f64> {
    let blank = Sheet::parse(sheet).expect("a sheet");
    let answers = blank.names().into_iter().filter(|name| !name.meaning.starts_with("given"));
    let answers = answers.map(|name| format!("{} = \"\"\n", name.name)).collect::<Vec<_>>().concat();
    let report = Sheet::parse(&format!("{sheet}[answers]\n{answers}")).expect("a sheet").grade();
    report.lines.into_iter().map(|line| (line.name, line.exact.parse().expect("a number"))).collect()
}

#[track_caller]
fn agrees(all: &BTreeMap<String, f64>, name: &str, value: f64) {
    let exact = all[name];
    assert!((exact - value).abs() <= 1e-9 * value.abs() + 1e-15, "{name}: {exact}, autograd {value}");
}

/// Compares the derivatives with respect to elements named after the letter, in order.
#[track_caller]
fn gradients_agree(all: &BTreeMap<String, f64>, loss: &Var64, variable: &Var64, names: &[String]) {
    let gradient = loss.backward_keeping(&[variable])[variable].to_vec();
    assert_eq!(gradient.len(), names.len());
    for (name, value) in names.iter().zip(gradient) {
        agrees(all, &format!("dE_d{name}"), value);
    }
}

fn numbered(letter: &str, range: std::ops::RangeInclusive<usize>) -> Vec<String> {
    range.map(|n| format!("{letter}{n}")).collect()
}

fn grid(letter: &str, rows: usize, columns: usize) -> Vec<String> {
    (1..=rows).flat_map(|i| (1..=columns).map(move |j| format!("{letter}{i}{j}"))).collect()
}

fn parameter(name: &str, shape: [usize; 2], values: &[f64]) -> Var64 {
    Var64::parameter(name, Tensor64::from(values.to_vec()).reshape(shape))
}

#[test]
fn fully_connected_nets() {
    let x = Var64::constant([[0.6, -1.3]]);
    let (first, second) = ([0.7, -0.4, 0.9, 0.35, -0.2, 0.55], [1.1, -0.8, 0.45, 0.65, 0.3, -0.95]);
    let (b1, b2) = ([0.25, -0.55, 0.4], [0.85, -0.3]);
    for hidden in ["sigmoid", "tanh", "relu", "leaky-relu", "linear"] {
        for (loss, half, mean) in
            [("squared-error", true, false), ("squared-error", false, true), ("binary-cross-entropy", true, false)]
        {
            let [w, v] = [parameter("w", [3, 2], &first), parameter("v", [2, 3], &second)];
            let [b, c] = [parameter("b", [1, 3], &b1), parameter("c", [1, 2], &b2)];
            let net = x.matmul(&w.transpose(0, 1)) + &b;
            let h = match hidden {
                "sigmoid" => net.sigmoid(),
                "tanh" => net.tanh(),
                "relu" => net.relu(),
                "leaky-relu" => net.leaky_relu(0.01),
                _ => net,
            };
            let o = (h.matmul(&v.transpose(0, 1)) + &c).sigmoid();
            let t = Var64::constant([[0.2, 0.9]]);
            let e = if loss == "squared-error" {
                (&t - &o).square().sum() * if half { 0.5 } else { 1.0 }
            } else {
                -(&t * o.log() + (1.0 - &t) * (1.0 - &o).log()).sum()
            };
            let e = if mean { e / 2.0 } else { e };
            let reduction = if mean { "mean" } else { "sum" };
            let all = exact(&format!(
                "[net]\nlayers = [2, 3, 2]\nactivations = [\"{hidden}\", \"sigmoid\"]\n[loss]\nfunction = \"{loss}\"\n\
                 half = {half}\nreduction = \"{reduction}\"\n[given]\ni = [0.6, -1.3]\nw = {:?}\nb = {:?}\nt = [0.2, 0.9]\n",
                [first, second].concat(),
                [&b1[..], &b2[..]].concat(),
            ));
            agrees(&all, "E", e.item());
            gradients_agree(&all, &e, &w, &numbered("w", 1..=6));
            gradients_agree(&all, &e, &v, &numbered("w", 7..=12));
            gradients_agree(&all, &e, &b, &numbered("b", 1..=3));
            gradients_agree(&all, &e, &c, &numbered("b", 4..=5));
            gradients_agree(&all, &e, &o, &numbered("o", 1..=2));
            gradients_agree(&all, &e, &h, &numbered("h", 1..=3));
        }
    }
}

#[test]
fn softmax_with_cross_entropy() {
    let [w, b] =
        [parameter("w", [3, 2], &[0.7, -0.4, 0.9, 0.35, -0.2, 0.55]), parameter("b", [1, 3], &[0.25, -0.55, 0.4])];
    let z = Var64::constant([[0.6, -1.3]]).matmul(&w.transpose(0, 1)) + &b;
    let e = z.cross_entropy(&[1].into());
    let all = exact(
        "[net]\nlayers = [2, 3]\nactivations = [\"softmax\"]\n[loss]\nfunction = \"cross-entropy\"\n[given]\ni = [0.6, -1.3]\n\
         w = [0.7, -0.4, 0.9, 0.35, -0.2, 0.55]\nb = [0.25, -0.55, 0.4]\nt = [0, 1, 0]\n",
    );
    agrees(&all, "E", e.item());
    for (k, p) in z.softmax(1).value().to_vec().into_iter().enumerate() {
        agrees(&all, &format!("p{}", k + 1), p);
    }
    gradients_agree(&all, &e, &z, &numbered("z", 1..=3));
    gradients_agree(&all, &e, &w, &numbered("w", 1..=6));
    gradients_agree(&all, &e, &b, &numbered("b", 1..=3));
}

#[test]
fn convolution_with_pooling() {
    let image: Vec<f64> = (0..16).map(|n| f64::from((7 * n + 3) % 16) / 8.0 - 0.9).collect();
    let (kernel, v) = ([0.6, -0.35, 0.8, 0.45], [0.9, -0.7, 0.55, 1.2]);
    for pooling in ["max", "mean"] {
        let x = Var64::constant(Tensor64::from(image.clone()).reshape([1, 1, 4, 4]));
        let k = Var64::parameter("k", Tensor64::from(kernel).reshape([1, 1, 2, 2]));
        let head = Var64::parameter("v", Tensor64::from(v).reshape([1, 1, 2, 2]));
        let b = Var64::parameter("b", [0.15]);
        let a = x.conv2d(&k, Some(&b), Conv2dOptions::default()).tanh();
        let window = Pool2dOptions { stride: [1, 1], ..2.into() };
        let p = if pooling == "max" { a.max_pool2d(window) } else { a.avg_pool2d(window) };
        let e = (0.5 - (&p * &head).sum()).square() * 0.5;
        let rows =
            |values: &[f64], n: usize| values.chunks(n).map(|row| format!("{row:?}")).collect::<Vec<_>>().join(", ");
        let all = exact(&format!(
            "[convolution]\nactivation = \"tanh\"\nbias = true\npooling = \"{pooling}\"\n[given]\nx = [{}]\nk = [{}]\nb = 0.15\n\
             v = [{}]\nt = 0.5\n",
            rows(&image, 4),
            rows(&kernel, 2),
            rows(&v, 2)
        ));
        agrees(&all, "E", e.item());
        gradients_agree(&all, &e, &k, &grid("k", 2, 2));
        gradients_agree(&all, &e, &head, &grid("v", 2, 2));
        gradients_agree(&all, &e, &b, &["b".into()]);
        gradients_agree(&all, &e, &p, &grid("p", 2, 2));
        gradients_agree(&all, &e, &a, &grid("a", 3, 3));
    }
}

#[test]
fn batch_normalization() {
    let x = Var64::parameter("x", Tensor64::from([0.4, -1.1, 2.3, 0.9]).reshape([4, 1]));
    let [gamma, beta] = [Var64::parameter("gamma", [1.3]), Var64::parameter("beta", [-0.2])];
    let (y, _) = x.batch_norm(&gamma, &beta, 1e-3);
    let t = Var64::constant(Tensor64::from([1.0, 0.5, -0.5, 0.25]).reshape([4, 1]));
    let e = (t - &y).square().sum() * 0.5;
    let all = exact(
        "[batch-norm]\nepsilon = 1e-3\n[given]\nx = [0.4, -1.1, 2.3, 0.9]\ngamma = 1.3\nbeta = -0.2\nt = [1, 0.5, -0.5, 0.25]\n",
    );
    agrees(&all, "E", e.item());
    gradients_agree(&all, &e, &x, &numbered("x", 1..=4));
    gradients_agree(&all, &e, &y, &numbered("y", 1..=4));
    gradients_agree(&all, &e, &gamma, &["gamma".into()]);
    gradients_agree(&all, &e, &beta, &["beta".into()]);
}
