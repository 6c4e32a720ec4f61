//! Forward mode: the tangents of all rows against reverse mode and against finite differences.

use chainrule_autograd::{Operation, Rule, Tangent, TangentSource, Var64, VarOf, jvp, vjp};
use chainrule_tensor::{Binary, Float, Tensor64, Unary};

use crate::row::{bent, parameters, spread};
use crate::rows;

/// Numbers of mixed signs in the shape of each tensor.
fn directions(like: &[Tensor64], salt: usize) -> Vec<Tensor64> {
    like.iter().enumerate().map(|(i, x)| spread(&x.shape(), (-1.0, 1.3), salt + 2 * i)).collect()
}

fn constants(values: &[Tensor64]) -> Vec<Var64> {
    values.iter().map(Var64::constant).collect()
}

fn dot(a: &[Var64], b: &[Var64]) -> Var64 {
    a.iter().zip(b).map(|(a, b)| (a * b).sum()).reduce(|a, b| a + b).expect("at least one")
}

/// The first element at which two lists of numbers differ by more than a part of the largest.
fn differs(what: &str, a: &[f64], b: &[f64], tolerance: f64) -> Result<(), String> {
    let scale = a.iter().chain(b).fold(1e-3f64, |m, v| m.max(v.abs()));
    let wrong = a.iter().zip(b).position(|(a, b)| (a - b).abs() > tolerance * scale || a.is_nan() != b.is_nan());
    wrong.map_or(Ok(()), |i| Err(format!("{what}: element {i} is {} and {}", a[i], b[i])))
}

/// Checks the tangent along all inputs, and along each alone, against reverse mode, `⟨u, J·v⟩ = ⟨Jᵀ·u, v⟩`, and against
/// central differences.
fn check_tangents(f: &dyn Fn(&[Var64]) -> Var64, inputs: &[Tensor64]) -> Result<(), String> {
    let x = parameters(inputs);
    let y = f(&x);
    let u = Var64::constant(directions(&[y.value().clone()], 5).remove(0));
    let (_, uj) = vjp(f, &constants(inputs), &u);
    let v = directions(inputs, 1);
    let all = 0..inputs.len();
    for which in all.clone().map(|i| i..i + 1).chain(std::iter::once(all)) {
        let seeds = constants(&v[which.clone()]);
        let pairs: Vec<(&Var64, &Var64)> = x[which.clone()].iter().zip(&seeds).collect();
        let tangent = y.tangent(&pairs).value;
        let forward = (&tangent * &u).sum().item();
        let reverse = dot(&uj[which.clone()], &seeds).item();
        differs(&format!("⟨u, J·v⟩ and ⟨Jᵀ·u, v⟩ of inputs {which:?}"), &[forward], &[reverse], 1e-11)?;
        let h = 1e-5;
        let moved = |h: f64| {
            let mut at = inputs.to_vec();
            for i in which.clone() {
                at[i] = at[i].binary(Binary::Add, &v[i].unary(Unary::Mul(h)));
            }
            f(&parameters(&at)).value().clone()
        };
        let difference = moved(h).binary(Binary::Sub, &moved(-h)).unary(Unary::Mul(0.5 / h));
        let what = format!("J·v and the central difference of inputs {which:?}");
        differs(&what, &tangent.value().to_vec(), &difference.to_vec(), 1e-6)?;
    }
    Ok(())
}

#[test]
fn tangents_agree_with_reverse_mode_and_finite_differences() {
    for row in rows::all() {
        check_tangents(&|x| bent(&(row.f64)(x)), &row.inputs()).unwrap_or_else(|e| panic!("{}: {e}", row.name));
    }
}

#[test]
fn tangents_of_gradients_agree_with_reverse_mode_and_finite_differences() {
    for row in rows::all() {
        let gradient = |x: &[Var64]| {
            let y = bent(&(row.f64)(x));
            let c = Var64::constant(spread(&y.shape(), (0.5, 1.5), 7));
            let gradients = (y * c).sum().gradients(&x.iter().collect::<Vec<_>>());
            let flat: Vec<Var64> = gradients.iter().map(|g| g.reshape(g.shape().numel())).collect();
            Var64::concat(&flat.iter().collect::<Vec<_>>(), 0)
        };
        check_tangents(&gradient, &row.inputs()).unwrap_or_else(|e| panic!("{}: {e}", row.name));
    }
}

#[test]
fn tangents_can_be_differentiated() {
    for row in rows::all() {
        let inputs = row.inputs();
        let x = parameters(&inputs);
        let of: Vec<&Var64> = x.iter().collect();
        let f = |x: &[Var64]| bent(&(row.f64)(x));
        let v = constants(&directions(&inputs, 1));
        let (y, jv) = jvp(f, &x, &v);
        let u = Var64::constant(directions(&[y.value().clone()], 5).remove(0));
        let forward = (jv * &u).sum().gradients(&of);
        let reverse = dot(&vjp(f, &x, &u).1, &v).gradients(&of);
        for (a, b) in forward.iter().zip(&reverse) {
            differs("the gradient of ⟨u, J·v⟩", &a.value().to_vec(), &b.value().to_vec(), 1e-11)
                .unwrap_or_else(|e| panic!("{}: {e}", row.name));
        }
    }
}

#[test]
fn f32_tangents_agree_with_f64() {
    for row in rows::all() {
        let tangent = jvp(row.f64, &parameters(&row.inputs()), &constants(&directions(&row.inputs(), 1))).1;
        let v: Vec<_> = directions(&row.inputs(), 1).iter().map(|v| VarOf::constant(v.to_f32())).collect();
        let single = jvp(row.f32, &parameters(&row.inputs()), &v).1;
        differs("f32 and f64", &single.value().to_f64().to_vec(), &tangent.value().to_vec(), 5e-5)
            .unwrap_or_else(|e| panic!("{}: {e}", row.name));
    }
}

/// The source of the tangent of a row's last operation.
fn source(name: &str) -> TangentSource {
    let row = rows::all().into_iter().find(|row| row.name == name).expect("a row");
    let y = (row.f64)(&parameters(&row.inputs()));
    let op = y.operation().expect("it is recorded");
    let dx: Vec<Option<Var64>> = (0..op.parents()).map(|i| Some(Var64::constant(&*op.parent(i).value()))).collect();
    op.tangent(&dx).source
}

#[test]
fn tangents_tell_whether_they_are_independent_of_the_rule() {
    for name in [
        "add",
        "div",
        "matmul",
        "linear",
        "conv2d",
        "select",
        "max_pool2d",
        "conv2d_relu_max_pool2d",
        "log_softmax",
        "sum",
        "permute",
        "avg_pool2d",
        "relu",
        "conv2d with relu",
        "mean of all",
    ] {
        assert_eq!(source(name), TangentSource::Forward, "{name}");
    }
    for name in ["sigmoid", "leaky_relu 0.1", "exp"] {
        assert_eq!(source(name), TangentSource::Slope, "{name}");
    }
    assert_eq!(source("batch_norm"), TangentSource::Backward);
}

/// The square, with a tangent times a factor.
struct Square(f64);

impl<T: Float> Rule<T> for Square {
    fn name(&self) -> &'static str {
        "square"
    }
    fn formula(&self) -> &'static str {
        "y = x²"
    }
    fn derivative(&self) -> &'static str {
        "dx = 2x · dy"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(2.0 * op.parent(0) * dy)]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        dx[0].as_ref().map(|dx| Tangent::forward(2.0 * self.0 * (op.parent(0) * dx)))
    }
}

#[test]
fn a_wrong_tangent_is_detected() {
    let square = |factor| move |x: &[Var64]| VarOf::record(x[0].value().unary(Unary::Square), [&x[0]], Square(factor));
    let inputs = [Tensor64::from([0.5, -1.25, 2.0])];
    check_tangents(&square(1.0), &inputs).unwrap();
    for factor in [1.01, 0.0, -1.0, f64::NAN] {
        let text = check_tangents(&square(factor), &inputs).expect_err("a wrong tangent");
        assert!(text.contains("⟨Jᵀ·u, v⟩"), "{text}");
    }
}
