//! Gradients at kinks, ties and ends of domains: those of PyTorch 2.15, except where a row says why not.

use chainrule_autograd::{Var64, VarOf};
use chainrule_tensor::{Float, TensorOf};

const INF: f64 = f64::INFINITY;

fn gradient<T: Float>(f: impl Fn(&VarOf<T>) -> VarOf<T>, x: &[f64]) -> Vec<f64> {
    let x = VarOf::<T>::parameter("x", TensorOf::from(x.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>()));
    f(&x).sum().backward()[&x].to_f64().to_vec()
}

#[track_caller]
fn same(name: &str, found: &[f64], expected: &[f64]) {
    let equal = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(equal),
        "{name}: {found:?}, not {expected:?}"
    );
}

/// Name, function, points, and the gradients there.
type Row<'a, T> = (&'a str, fn(&VarOf<T>) -> VarOf<T>, &'a [f64], &'a [f64]);

fn functions<T: Float>() {
    let rows: [Row<T>; 22] = [
        ("relu", |x| x.relu(), &[0.0, -0.0, INF, -INF], &[0.0, 0.0, 1.0, 0.0]),
        ("leaky_relu", |x| x.leaky_relu(0.25), &[0.0, INF, -INF], &[0.25, 1.0, 0.25]),
        ("elu", |x| x.elu(2.0), &[0.0, INF, -INF], &[2.0, 1.0, 0.0]),
        ("abs", |x| x.abs(), &[0.0, -0.0], &[0.0, -0.0]),
        ("clamp", |x| x.clamp(-1.0, 1.0), &[-1.0, 1.0, 0.0, 2.0, f64::NAN], &[0.0, 0.0, 1.0, 0.0, 0.0]),
        ("clamp to a point", |x| x.clamp(1.0, 1.0), &[1.0, 0.0], &[0.0, 0.0]),
        ("clamp from below", |x| x.clamp(0.0, INF), &[0.0, 1.0], &[0.0, 1.0]),
        ("sqrt", |x| x.sqrt(), &[0.0, -1.0], &[INF, f64::NAN]),
        ("log", |x| x.log(), &[0.0, -1.0], &[INF, -1.0]),
        ("reciprocal", |x| x.reciprocal(), &[0.0], &[-INF]),
        ("square", |x| x.square(), &[0.0], &[0.0]),
        ("pow 0", |x| x.pow(0.0), &[0.0, INF], &[0.0, 0.0]),
        ("pow 0.5", |x| x.pow(0.5), &[0.0], &[INF]),
        ("pow 1", |x| x.pow(1.0), &[0.0, INF], &[1.0, 1.0]),
        ("pow 1.5", |x| x.pow(1.5), &[0.0], &[0.0]),
        ("pow 2", |x| x.pow(2.0), &[0.0, INF], &[0.0, INF]),
        ("pow 3", |x| x.pow(3.0), &[0.0, -0.0], &[0.0, 0.0]),
        ("pow -1", |x| x.pow(-1.0), &[0.0, -0.0], &[-INF, -INF]),
        ("sigmoid", |x| x.sigmoid(), &[0.0, INF, -INF], &[0.25, 0.0, 0.0]),
        ("softplus", |x| x.softplus(), &[0.0, INF, -INF], &[0.5, 1.0, 0.0]),
        // PyTorch gives NaN for ±∞. These are the limits: in the tails the weight of x vanishes faster than x grows.
        ("swish", |x| x.swish(1.0), &[0.0, INF, -INF], &[0.5, 1.0, 0.0]),
        ("gelu", |x| x.gelu(), &[0.0, INF, -INF], &[0.5, 1.0, 0.0]),
    ];
    for (name, f, x, expected) in rows {
        same(&format!("{name} in {}", T::NAME), &gradient(f, x), expected);
    }
}

#[test]
fn functions_at_kinks_and_at_ends_of_domains() {
    functions::<f32>();
    functions::<f64>();
}

#[test]
fn ties_of_two() {
    let at = |a: &[f64], b: &[f64], f: fn(&Var64, &Var64) -> Var64| {
        let (a, b) = (Var64::parameter("a", a.to_vec()), Var64::parameter("b", b.to_vec()));
        let g = f(&a, &b).sum().backward();
        [g[&a].to_vec(), g[&b].to_vec()]
    };
    let (a, b) = ([1.0, 2.0, f64::NAN, 0.0], [1.0, 3.0, 1.0, f64::NAN]);
    assert_eq!(at(&a, &b, Var64::maximum), [[0.5, 0.0, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0]]);
    assert_eq!(at(&a, &b, Var64::minimum), [[0.5, 1.0, 1.0, 1.0], [0.5, 0.0, 1.0, 1.0]]);
}

#[test]
fn ties_of_many() {
    let tied = [1.0, 3.0, 3.0];
    assert_eq!(gradient::<f64>(VarOf::max, &tied), [0.0, 0.5, 0.5]);
    assert_eq!(gradient::<f64>(VarOf::min, &[1.0, 1.0, 3.0]), [0.5, 0.5, 0.0]);
    // In a window the first maximum gets everything, in torch.nn.MaxPool2d too.
    let pool = |x: &Var64| x.reshape([1, 1, 2, 2]).max_pool2d(2);
    assert_eq!(gradient::<f64>(pool, &[1.0, 3.0, 3.0, 3.0]), [0.0, 1.0, 0.0, 0.0]);
}
