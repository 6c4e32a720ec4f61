//! Inspecting a graph: names, scopes, attributes, identity of constants.

use std::collections::BTreeMap;

use chainrule_autograd::formula::Formula;
use chainrule_autograd::{Attribute, CrossEntropy};
use chainrule_autograd::{Operation, Reduction, Scope, Setting, Var64, no_grad, scope, scope_with};
use chainrule_tensor::{Conv2dOptions, Epilogue, Pool2dOptions, Tensor64};

/// The operations that a variable was computed from, from the newest to the oldest.
fn operations(var: &Var64) -> Vec<(String, Option<String>)> {
    let mut found = BTreeMap::new();
    let mut stack = vec![var.clone()];
    while let Some(var) = stack.pop() {
        let Some(op) = var.operation() else { continue };
        found.insert(var.id(), (op.rule().name().to_owned(), op.scope().map(Scope::path)));
        stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
    }
    found.into_values().rev().collect()
}

fn attributes(op: &Operation<f64>) -> BTreeMap<&'static str, Setting> {
    op.rule().attributes().into_iter().map(|attribute| (attribute.symbol, attribute.value)).collect()
}

#[test]
fn names_default_to_those_of_the_operations() {
    let w = Var64::parameter("w", [1.0, 2.0]).named("weight");
    assert_eq!(w.name(), "weight");
    let h = (2.0 * &w).named("h");
    assert_eq!((h.name(), h.clone().name()), ("h".into(), "h".into()));
    assert_eq!(h.clone().named("h1").name(), "h1");
    assert_eq!(h.name(), "h1", "all handles share it");
    assert_eq!(h.operation().unwrap().rule().name(), "multiply by number");
    assert_eq!((&h + &h).name(), "add");
    let sum = h.sum().named("loss");
    assert_eq!(format!("{sum:?}"), format!("loss: {:?}", sum.value()));
    let loss =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| h.backward())).expect_err("it has two elements");
    assert!(loss.downcast_ref::<String>().unwrap().starts_with("backward: 'h1' has shape (2,)"));
}

#[test]
fn constants_have_identities() {
    let (a, b) = (Var64::constant([1.0]), Var64::constant([1.0]));
    assert_eq!((a.name(), a.id()), ("constant".into(), a.clone().id()));
    assert_ne!(a.id(), b.id());
    let w = Var64::parameter("w", [3.0]);
    assert!(a.id() > w.id());
    let (first, second) = (&w * &a, &w * &a);
    let parent = |var: &Var64| var.operation().unwrap().parent(1).id();
    assert_eq!(parent(&first), parent(&second), "the same constant");

    let x = a.named("x");
    assert_eq!((x.name(), x.requires_grad(), x.value().to_vec()), ("x".into(), false, vec![1.0]));
    assert!(x.id() > w.id() && x.id() == x.clone().id());
    let loss = (&w * &x).sum();
    assert_eq!(loss.backward()[&w].to_vec(), [1.0]);
    assert_eq!(x.clone().named("y").name(), "y");
    assert_eq!(x.name(), "x", "the other handle is another constant");
}

#[test]
fn a_composed_op_is_a_scope_of_operations() {
    let (x, t) = (Var64::parameter("x", [[1.0, 2.0]]), Var64::constant([[0.0, 0.5]]));
    let found = |var: &Var64| -> Vec<String> {
        operations(var)
            .into_iter()
            .map(|(op, scope)| format!("{op} in {}", scope.unwrap_or("nothing".into())))
            .collect()
    };
    assert_eq!(found(&x.softmax(1)), ["exp in softmax", "log_softmax in softmax"]);
    let loss = x.sigmoid().mse_loss(&t, Reduction::Mean);
    assert_eq!(
        found(&loss)[2..],
        ["sum_to in mse_loss/mean", "square in mse_loss", "sub in mse_loss", "sigmoid in nothing"]
    );
    assert!(found(&x.var(1)).iter().all(|op| op.ends_with(" in var") || op.ends_with(" in var/mean")));
    let scope = loss.operation().unwrap().scope().unwrap().parent().unwrap();
    assert_eq!(scope.attributes(), [Attribute::new("reduction", "mean")]);

    let labels = [1].into();
    let loss = x.cross_entropy_with(&labels, &CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() });
    assert!(operations(&loss).iter().all(|(_, scope)| scope.as_ref().unwrap().starts_with("cross_entropy")));
}

#[test]
fn scopes_nest_and_close_after_a_panic() {
    let x = Var64::parameter("x", 2.0);
    let path = |var: &Var64| var.operation().unwrap().scope().map(Scope::path);
    let (inner, outer) = scope("net", || {
        let inner = scope_with("fc1", || vec![Attribute::new("features", 3_usize)], || 2.0 * &x);
        (inner, 2.0 * &x)
    });
    assert_eq!((path(&inner), path(&outer)), (Some("net/fc1".into()), Some("net".into())));
    let (first, second) = (scope("a", || 2.0 * &x), scope("a", || 2.0 * &x));
    let id = |var: &Var64| var.operation().unwrap().scope().unwrap().id();
    assert!(id(&first) < id(&second), "each call is a scope of its own");
    assert!(std::panic::catch_unwind(|| scope("broken", || panic!("inside"))).is_err());
    assert_eq!(path(&(2.0 * &x)), None);
    // While recording is off, no scope is opened and the attributes are not evaluated.
    let y = no_grad(|| scope_with("off", || unreachable!("no scope is opened"), || 2.0 * &x));
    assert!(y.operation().is_none());
}

#[test]
fn operations_have_attributes() {
    let x = Var64::parameter("x", Tensor64::from_fn([1, 2, 4, 4], |i| i as f64));
    let w = Var64::parameter("w", Tensor64::from_fn([2, 1, 2, 2], |i| i as f64));
    let of = |var: &Var64| attributes(&var.operation().unwrap());
    let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], groups: 2, ..Conv2dOptions::default() };
    let conv = of(&x.conv2d(&w, None, options));
    assert_eq!(conv["s"], Setting::Integers(vec![2, 1]));
    assert_eq!((&conv["pad"], &conv["groups"]), (&Setting::Integers(vec![1, 0]), &Setting::Integer(2)));
    let pool = of(&x.max_pool2d(Pool2dOptions { padding: [1, 1], ..2.into() }));
    assert_eq!((&pool["window"], &pool["pad"]), (&Setting::Integers(vec![2, 2]), &Setting::Integers(vec![1, 1])));
    assert_eq!(of(&x.adaptive_avg_pool2d([1, 2]))["size"], Setting::Integers(vec![1, 2]));
    assert_eq!(of(&x.upsample_bilinear2d([8, 8], true))["align_corners"], Setting::Flag(true));
    assert_eq!(of(&(&x + 3.5))["s"], Setting::Number(3.5));
    assert_eq!(of(&x.permute(&[0, 2, 3, 1]))["order"], Setting::Integers(vec![0, 2, 3, 1]));
    assert_eq!(of(&x.slice(-1, 1, 2, 2))["step"], Setting::Integer(2));
    assert_eq!(of(&x.pad(&[(0, 0), (0, 0), (1, 2), (0, 0)], 0.5))["value"], Setting::Number(0.5));
    let losses = x
        .reshape([2, 16])
        .cross_entropy_with(&[3, 0].into(), &CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() });
    assert_eq!(of(&losses)["label"], Setting::Indices([3, 0].into()));
    assert_eq!(of(&x.leaky_relu(0.1))["α"], Setting::Number(0.1));
}

#[test]
fn formulas_name_only_inputs_that_were_recorded() {
    let image = |name: &str, shape: [usize; 4]| Var64::parameter(name, Tensor64::ones(shape));
    let (x, w, r) = (image("x", [1, 2, 4, 4]), image("w", [2, 2, 1, 1]), image("r", [1, 2, 4, 4]));
    let (b, rows, matrix) = (Var64::parameter("b", [0.5, 0.5]), x.reshape([4, 8]), w.reshape([2, 2]));
    let parts = rows.slice(1, 0, 2, 1);
    for bias in [None, Some(&b)] {
        let pooled = x.conv2d_relu_max_pool2d(&w, bias, Conv2dOptions::default(), 2);
        let mut found = vec![(parts.linear(&matrix, bias), bias, None), (pooled, bias, None)];
        for residual in [None, Some(&r)] {
            for relu in [false, true] {
                let epilogue = Epilogue { residual, relu, ..Epilogue::NONE };
                found.push((x.conv2d_with(&w, bias, Conv2dOptions::default(), epilogue), bias, residual));
                found.push((x.batch_norm_with(&b, &b, 0.1, epilogue).0, Some(&b), residual));
            }
        }
        for (y, bias, residual) in found {
            let op = y.operation().unwrap();
            let formula = Formula::parse(op.rule().formula()).unwrap();
            let derivative = Formula::parse(op.rule().derivative()).unwrap();
            let symbols: Vec<String> = formula.symbols().into_iter().chain(derivative.symbols()).collect();
            let names = |symbol: &str| symbols.iter().any(|known| known == symbol);
            assert_eq!(names("b") || names("β"), bias.is_some(), "{formula}; {derivative}");
            assert_eq!(names("r"), residual.is_some(), "{formula}; {derivative}");
            assert_eq!(derivative.inputs().len(), op.parents(), "{derivative}");
        }
    }
}

#[test]
fn a_derivative_is_shown_with_numbers() {
    let y = Var64::parameter("x", 0.0).sigmoid();
    let op = y.operation().unwrap();
    let derivative = Formula::parse(op.rule().derivative()).unwrap();
    let numbers = |name: &str| match name {
        "y" => Some(y.item().to_string()),
        "dy" => Some("-0.25".into()),
        _ => None,
    };
    assert_eq!(derivative.with_numbers(&numbers).to_string(), "dx = (−0.25) · 0.5(1 − 0.5)");
}
