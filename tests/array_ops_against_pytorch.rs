//! The ops that rearrange, reduce, multiply and pool against PyTorch's, in `f64`: values, gradients and second-order products
//! (`tests/reference/array_ops.py` has the expressions and generates the inputs). Where tensors have the op too, its values.

use chainrule::prelude::*;
use chainrule::tensor::{Compare, PadMode};
use serde_json::Value;

use crate::against_pytorch::{formula, near, numbers, sizes};

type OnVars = fn(&[Var64]) -> Var64;
type OnTensors = Option<fn(&[Tensor64]) -> Tensor64>;

/// The same expression on variables and on tensors, of which `Of` is the type.
macro_rules! both {
    ($of:ident, |$x:ident| $op:expr) => {{
        fn on_variables($x: &[Var64]) -> Var64 {
            type $of = Var64;
            $op
        }
        fn on_tensors($x: &[Tensor64]) -> Tensor64 {
            type $of = Tensor64;
            $op
        }
        (on_variables as OnVars, Some(on_tensors as fn(&[Tensor64]) -> Tensor64) as OnTensors)
    }};
    (|$x:ident| $op:expr) => {
        both!(_Of, |$x| $op)
    };
}

/// An op that only variables have.
fn variables(op: OnVars) -> (OnVars, OnTensors) {
    (op, None)
}

/// 1 where x is above a number.
fn above(x: &Tensor64, number: f64) -> TensorOf<u8> {
    x.compare(Compare::Greater, &Tensor64::scalar(number))
}

fn i() -> TensorOf<i32> {
    [[-1], [0]].into()
}

fn j() -> TensorOf<i32> {
    [1, 0, 1].into()
}

/// Widths for the last axes, from the last one, as PyTorch takes them.
fn widths(rank: usize, last: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut all = vec![(0, 0); rank - last.len()];
    all.extend(last.iter().rev());
    all
}

fn parts_and_views(expression: &str) -> Option<(OnVars, OnTensors)> {
    Some(match expression {
        "torch.stack([a, b], 1)" => both!(Of, |x| Of::stack(&[&x[0], &x[1]], 1)),
        "torch.cat(a.split(2, 0)[::-1], 0)" => {
            both!(Of, |x| Of::concat(&x[0].split(2, 0).iter().rev().collect::<Vec<_>>(), 0))
        }
        "torch.cat(a.split([1, 2], -1)[::-1], -1)" => {
            both!(Of, |x| Of::concat(&x[0].split_with_sizes(&[1, 2], -1).iter().rev().collect::<Vec<_>>(), -1))
        }
        "torch.cat(a.chunk(3, 0)[::-1], 0)" => {
            both!(Of, |x| Of::concat(&x[0].chunk(3, 0).iter().rev().collect::<Vec<_>>(), 0))
        }
        "a.unbind(1)[1]" => both!(|x| x[0].unbind(1)[1].clone()),
        "torch.stack(torch.meshgrid(a, b, indexing='ij'))" => {
            both!(Of, |x| Of::stack(&Of::meshgrid(&[&x[0], &x[1]]).iter().collect::<Vec<_>>(), 0))
        }
        "a.repeat(2, 3)" => both!(|x| x[0].repeat(&[2, 3])),
        "a.roll((1, -5), (0, 1))" => both!(|x| x[0].roll(&[1, -5], &[0, 1])),
        "a.roll(2)" => both!(|x| x[0].roll(&[2], &[])),
        "a.flip(0, -1)" => both!(|x| x[0].flip(&[0, -1])),
        "a.diagonal(1)" => both!(|x| x[0].diagonal(1, 0, 1)),
        "a.diagonal(-1, 0, 2)" => both!(|x| x[0].diagonal(-1, 0, 2)),
        "a.unfold(0, 2, 1)" => both!(|x| x[0].unfold(0, 2, 1)),
        "a.unfold(1, 3, 2)" => both!(|x| x[0].unfold(1, 3, 2)),
        "F.pad(a, (2, 1), mode='reflect')" => {
            both!(|x| x[0].pad_with(&widths(x[0].shape().rank(), &[(2, 1)]), PadMode::Reflect))
        }
        "F.pad(a, (2, 1), mode='replicate')" => {
            both!(|x| x[0].pad_with(&widths(x[0].shape().rank(), &[(2, 1)]), PadMode::Replicate))
        }
        "F.pad(a, (3, 2), mode='circular')" => {
            both!(|x| x[0].pad_with(&widths(x[0].shape().rank(), &[(3, 2)]), PadMode::Circular))
        }
        "F.pad(a, (1, 2, 2, 0), mode='reflect')" => {
            both!(|x| x[0].pad_with(&widths(x[0].shape().rank(), &[(1, 2), (2, 0)]), PadMode::Reflect))
        }
        "F.pad(a, (1, 2, 2, 0), mode='replicate')" => {
            both!(|x| x[0].pad_with(&widths(x[0].shape().rank(), &[(1, 2), (2, 0)]), PadMode::Replicate))
        }
        "a.index_select(1, J)" => both!(|x| x[0].index_select(1, &j())),
        "a[I, J]" => both!(|x| x[0].index(&[&i(), &j()])),
        "a[I]" => both!(|x| x[0].index(&[&i()])),
        "a.masked_fill(a > 0.3, 0.7)" => {
            (|x| x[0].masked_fill(&above(&x[0].value(), 0.3), 0.7), Some(|x| x[0].masked_fill(&above(&x[0], 0.3), 0.7)))
        }
        "a.masked_select(a > -0.3)" => {
            (|x| x[0].masked_select(&above(&x[0].value(), -0.3)), Some(|x| x[0].masked_select(&above(&x[0], -0.3))))
        }
        "a.tril(-1)" => both!(|x| x[0].tril(-1)),
        "a.triu(1)" => both!(|x| x[0].triu(1)),
        "torch.where(a > b, a, b)" => (
            |x| x[0].select(&x[0].value().compare(Compare::Greater, &x[1].value()), &x[1]),
            Some(|x| x[0].select(&x[0].compare(Compare::Greater, &x[1]), &x[1])),
        ),
        _ => return None,
    })
}

fn reductions(expression: &str) -> Option<(OnVars, OnTensors)> {
    Some(match expression {
        "a.prod()" => (|x| x[0].prod(), Some(|x| x[0].prod(&[], false))),
        "a.prod(1)" => (|x| x[0].prod_axes(&[1], false), Some(|x| x[0].prod(&[1], false))),
        "a.cumprod(0)" => both!(|x| x[0].cumprod(0)),
        "a.cumsum(1)" => both!(|x| x[0].cumsum(1)),
        "a.std()" => (|x| x[0].std(1), Some(|x| x[0].std(&[], 1, false))),
        "a.std(1, correction=0)" => (|x| x[0].std_axes(&[1], 0, false), Some(|x| x[0].std(&[1], 0, false))),
        "a.var((0, 1), keepdim=True)" => (|x| x[0].var_axes(&[0, 1], 1, true), Some(|x| x[0].var(&[0, 1], 1, true))),
        "torch.linalg.vector_norm(a)" => variables(|x| x[0].norm(2.0)),
        "torch.linalg.vector_norm(a, 1, 0)" => variables(|x| x[0].norm_axes(1.0, &[0], false)),
        "torch.linalg.vector_norm(a, 3.5, (0, 1), keepdim=True)" => variables(|x| x[0].norm_axes(3.5, &[0, 1], true)),
        "torch.linalg.vector_norm(a, 0.5, 1)" => variables(|x| x[0].norm_axes(0.5, &[1], false)),
        "torch.linalg.vector_norm(a, torch.inf, 0)" => variables(|x| x[0].norm_axes(f64::INFINITY, &[0], false)),
        "torch.linalg.vector_norm(a, -torch.inf)" => variables(|x| x[0].norm(f64::NEG_INFINITY)),
        "a.logsumexp((0, 1))" => both!(|x| x[0].logsumexp(&[0, 1], false)),
        "a.logsumexp(1, keepdim=True)" => both!(|x| x[0].logsumexp(&[1], true)),
        "a.max(1).values" => both!(|x| x[0].max_with_index(1, false).0),
        "a.min(0, keepdim=True).values" => both!(|x| x[0].min_with_index(0, true).0),
        "a.sort(dim=0, stable=True).values" => both!(|x| x[0].sort(0, false).0),
        "a.sort(dim=-1, descending=True, stable=True).values" => both!(|x| x[0].sort(-1, true).0),
        _ => return None,
    })
}

fn products(expression: &str) -> Option<(OnVars, OnTensors)> {
    let equation = expression.strip_prefix("torch.einsum('").and_then(|rest| rest.split('\'').next());
    Some(match expression {
        "a @ b" => both!(|x| x[0].matmul(&x[1])),
        "a.dot(b)" => variables(|x| x[0].dot(&x[1])),
        "torch.outer(a, b)" => both!(|x| x[0].outer(&x[1])),
        "torch.lerp(a, b, 0.3)" => variables(|x| x[0].lerp(&x[1], 0.3)),
        "torch.lerp(a, b, 0.8)" => variables(|x| x[0].lerp(&x[1], 0.8)),
        "torch.lerp(a, b, c)" => variables(|x| x[0].lerp_with(&x[1], &x[2])),
        _ => match equation? {
            "ij,jk" => variables(|x| Var64::einsum("ij,jk", &[&x[0], &x[1]])),
            "bij,bjk->bik" => variables(|x| Var64::einsum("bij,bjk->bik", &[&x[0], &x[1]])),
            "ij,ijk,kl->li" => variables(|x| Var64::einsum("ij,ijk,kl->li", &[&x[0], &x[1], &x[2]])),
            "iij->ji" => variables(|x| Var64::einsum("iij->ji", &[&x[0]])),
            "ii" => variables(|x| Var64::einsum("ii", &[&x[0]])),
            "ij,kj->k" => variables(|x| Var64::einsum("ij,kj->k", &[&x[0], &x[1]])),
            "i,j,k->kij" => variables(|x| Var64::einsum("i,j,k->kij", &[&x[0], &x[1], &x[2]])),
            _ => return None,
        },
    })
}

fn windows(expression: &str) -> Option<(OnVars, OnTensors)> {
    const UNEVEN: Pool2dOptions = Pool2dOptions {
        kernel: [2, 3],
        stride: [3, 2],
        padding: [1, 0],
        dilation: [1, 1],
        ceil_mode: true,
        count_include_pad: false,
    };
    Some(match expression {
        "F.max_pool2d(a, 2, 2, 1, dilation=2)" => {
            variables(|x| x[0].max_pool2d(Pool2dOptions { padding: [1, 1], dilation: [2, 2], ..2.into() }))
        }
        "F.max_pool2d(a, 3, 2, 1, ceil_mode=True)" => variables(|x| {
            x[0].max_pool2d(Pool2dOptions { stride: [2, 2], padding: [1, 1], ceil_mode: true, ..3.into() })
        }),
        "F.max_pool2d(a, (2, 3), (3, 2), (1, 0), (2, 1), ceil_mode=True)" => {
            variables(|x| x[0].max_pool2d(Pool2dOptions { dilation: [2, 1], ..UNEVEN }))
        }
        "F.avg_pool2d(a, 3, 2, 1, ceil_mode=True)" => variables(|x| {
            x[0].avg_pool2d(Pool2dOptions { stride: [2, 2], padding: [1, 1], ceil_mode: true, ..3.into() })
        }),
        "F.avg_pool2d(a, (2, 3), (3, 2), (1, 0), ceil_mode=True, count_include_pad=False)" => {
            variables(|x| x[0].avg_pool2d(UNEVEN))
        }
        "F.adaptive_max_pool2d(a, (3, 2))" => variables(|x| x[0].adaptive_max_pool2d([3, 2])),
        "F.adaptive_avg_pool2d(a, (3, 2))" => variables(|x| x[0].adaptive_avg_pool2d([3, 2])),
        _ => return None,
    })
}

/// Value, gradients and second-order products of a case.
fn check(case: &Value, what: &str, op: OnVars, on_tensors: OnTensors) {
    let shapes: Vec<Vec<usize>> = case["shapes"].as_array().expect("shapes").iter().map(sizes).collect();
    let values: Vec<Tensor64> = match case.get("values") {
        Some(values) => vec![Tensor64::from_slice(&numbers(values), shapes[0].clone())],
        None => shapes.iter().enumerate().map(|(k, shape)| formula(shape, 1 + k)).collect(),
    };
    let x: Vec<Var64> = values.iter().map(|value| Var64::parameter("x", value)).collect();
    let of: Vec<&Var64> = x.iter().collect();
    let y = op(&x);
    assert_eq!(y.shape().to_vec(), sizes(&case["y_shape"]), "{what}");
    near(&format!("{what}: y"), &y.value(), &case["y"]);
    if let Some(on_tensors) = on_tensors {
        assert_eq!(on_tensors(&values), *y.value(), "{what}: tensors");
    }
    let loss = (Var64::constant(formula(&y.shape(), 4)) * (&y + y.square() / 2.0)).sum();
    let first = loss.gradients(&of);
    let along = first.iter().enumerate().map(|(k, g)| (g * Var64::constant(formula(&g.shape(), 5 + k))).sum());
    let along = along.reduce(|a, b| a + b).expect("an input");
    for (k, (g, x)) in first.iter().zip(&of).enumerate() {
        near(&format!("{what}: gradient {k}"), &g.value(), &case["first"][k]);
        let second = along.gradient(x);
        near(&format!("{what}: second product {k}"), &second.value(), &case["second"][k]);
    }
}

#[test]
fn array_ops_agree_with_pytorch_to_the_second_order() {
    let reference: Value = serde_json::from_str(include_str!("reference/array_ops.json")).expect("JSON");
    let cases = reference["cases"].as_array().expect("cases");
    for case in cases {
        let expression = case["expression"].as_str().expect("an expression");
        let what = format!("{expression} of {}", case["shapes"]);
        let (op, on_tensors) = parts_and_views(expression)
            .or_else(|| reductions(expression))
            .or_else(|| products(expression))
            .or_else(|| windows(expression))
            .unwrap_or_else(|| panic!("the reference has an expression '{expression}' that this test does not know"));
        check(case, &what, op, on_tensors);
    }
    assert!(cases.len() > 190, "{}", cases.len());
}
