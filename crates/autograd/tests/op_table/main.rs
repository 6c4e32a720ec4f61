//! The table of op tests: a row for each op, and all checks for each row.
//!
//! Each new op needs a row in `rows`: `every_rule_has_a_row` fails for rules that no row uses.

mod controls;
mod formulas;
mod mirror;
mod reference;
mod row;
#[expect(unused_braces, reason = "rustfmt puts braces around the long closures of the rows")]
mod rows;
mod tangents;

use std::collections::BTreeSet;
use std::path::PathBuf;

use chainrule_autograd::{CheckOptions, Operation, Var64, gradcheck_with, gradgradcheck_with};
use chainrule_tensor::{Float, Tensor, Tensor64, TensorOf, with_threads};
use row::{bent, near, parameters, value_and_gradients};

fn bits<T: Float>(x: &[TensorOf<T>]) -> Vec<u64> {
    x.iter().flat_map(TensorOf::to_vec).map(|v| v.to_f64().to_bits()).collect()
}

#[test]
fn forward_agrees_with_plain_loops() {
    for row in rows::all() {
        let y = (row.f64)(&parameters(&row.inputs())).value().clone();
        near(row.name, "forward", &y.to_vec(), &(row.reference)(&row.inputs()), 1e-12);
    }
}

#[test]
fn f32_agrees_with_f64() {
    for row in rows::all() {
        let single = value_and_gradients(row.f32, &row.inputs::<f32>());
        let double = value_and_gradients(row.f64, &row.inputs::<f64>());
        for (i, (a, b)) in single.iter().zip(&double).enumerate() {
            assert_eq!(a.shape(), b.shape());
            near(row.name, &format!("f32 output {i}"), &a.to_f64().to_vec(), &b.to_vec(), 2e-5);
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for row in rows::all() {
        let options = CheckOptions { name: Some(row.name.into()), ..CheckOptions::default() };
        gradcheck_with(|x| bent(&(row.f64)(x)), &row.inputs(), &options).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn second_gradients_agree_with_finite_differences() {
    for row in rows::all() {
        let options = CheckOptions { name: Some(row.name.into()), tolerance: 1e-5, ..CheckOptions::default() };
        gradgradcheck_with(|x| bent(&(row.f64)(x)), &row.inputs(), &options).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn third_gradients_of_elementwise_ops_agree_with_finite_differences() {
    let select = rows::all().into_iter().filter(|row| row.name == "select");
    for row in rows::arithmetic().into_iter().chain(rows::functions()).chain(select) {
        for i in 0..row.shapes.len() {
            let name = format!("{}: the gradient with respect to input {i}", row.name);
            // The second derivatives of a maximum are zero.
            let options =
                CheckOptions { name: Some(name), tolerance: 1e-5, allow_zero: true, ..CheckOptions::default() };
            let slope = |x: &[Var64]| bent(&(row.f64)(x)).sum().gradient(&x[i]);
            gradgradcheck_with(slope, &row.inputs(), &options).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn random_directions_agree_with_the_whole_jacobian() {
    for row in rows::all() {
        let options =
            CheckOptions { name: Some(row.name.into()), full_below: 0, tolerance: 1e-5, ..CheckOptions::default() };
        gradcheck_with(|x| bent(&(row.f64)(x)), &row.inputs(), &options).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn a_parent_used_twice_gets_the_sum_of_both_gradients() {
    for row in rows::all() {
        let inputs = row.inputs::<f64>();
        let once = parameters(&inputs);
        let single = (row.f64)(&once).sum().backward();
        let twice = parameters(&inputs);
        let double = ((row.f64)(&twice).sum() + 2.0 * (row.f64)(&twice).sum()).backward();
        for (a, b) in once.iter().zip(&twice) {
            let tripled: Vec<f64> = single[a].to_vec().iter().map(|g| 3.0 * g).collect();
            near(row.name, "used twice", &double[b].to_vec(), &tripled, 1e-12);
        }
    }
}

/// The same elements in another memory layout.
fn rearranged(x: &Tensor64, kind: usize) -> Tensor64 {
    let rank = x.rank();
    match kind {
        // The axes in reverse order in memory.
        0 => {
            let back: Vec<usize> = (0..rank).rev().collect();
            x.permute(&back).contiguous().permute(&back)
        }
        // Channels-last: the second axis is the last in memory.
        1 if rank >= 3 => {
            let last: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
            let mut back = vec![0; rank];
            for (to, &from) in last.iter().enumerate() {
                back[from] = to;
            }
            x.permute(&last).contiguous().permute(&back)
        }
        // Every second element of a wider tensor.
        2 if rank > 0 => {
            let axis = (rank - 1) as isize;
            let mut wide = Tensor64::full(x.shape().with(rank - 1, 2 * x.shape()[rank - 1] + 1), 99.0);
            wide.assign_slice(axis, 1, 2, x);
            wide.slice(axis, 1, x.shape()[rank - 1], 2)
        }
        // A negative stride along the first axis.
        3 if rank > 0 && x.shape()[0] > 0 => {
            let n = x.shape()[0];
            x.slice(0, n - 1, n, -1).contiguous().slice(0, n - 1, n, -1)
        }
        _ => x.clone(),
    }
}

#[test]
fn views_with_any_strides_give_the_same_results() {
    for row in rows::all() {
        let inputs = row.inputs::<f64>();
        let straight = value_and_gradients(row.f64, &inputs);
        for kind in 0..4 {
            let views: Vec<Tensor64> = inputs.iter().map(|x| rearranged(x, kind)).collect();
            assert_eq!(views, inputs);
            for (i, (a, b)) in value_and_gradients(row.f64, &views).iter().zip(&straight).enumerate() {
                assert_eq!(a.shape(), b.shape());
                near(row.name, &format!("view {kind}, output {i}"), &a.to_vec(), &b.to_vec(), 1e-12);
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let all = || -> Vec<Vec<u64>> {
        rows::all()
            .iter()
            .chain(&rows::large())
            .map(|row| bits(&value_and_gradients(row.f32, &row.inputs::<f32>())))
            .collect()
    };
    let (one, three) = (with_threads(1, all), with_threads(3, all));
    let names = rows::all().into_iter().chain(rows::large()).map(|row| row.name);
    for ((a, b), name) in one.iter().zip(&three).zip(names) {
        assert!(a == b, "{name}: one thread and three give different bits");
    }
}

#[test]
fn an_empty_batch_is_accepted() {
    for row in rows::batched() {
        let inputs: Vec<Tensor> = row.inputs::<f32>();
        let batch = inputs[0].narrow(0, 0..0);
        let y = (row.f32)(&parameters(&[&[batch][..], &inputs[1..]].concat())).value().clone();
        assert_eq!(y.shape()[0], 0, "{}", row.name);
    }
}

/// Calls `visit` with all operations that a variable was computed from, except those in `seen`.
fn each_operation(var: &Var64, seen: &mut BTreeSet<u64>, visit: &mut dyn FnMut(&Operation<f64>)) {
    let mut stack = vec![var.clone()];
    while let Some(var) = stack.pop() {
        let Some(op) = var.operation() else { continue };
        if seen.insert(var.id()) {
            visit(&op);
            stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
        }
    }
}

/// Calls `visit` with the operations of all rows, of their gradients and of their second gradients, which include all
/// backward ops.
fn every_graph(visit: &mut dyn FnMut(&Operation<f64>)) {
    for row in rows::all() {
        let mut seen = BTreeSet::new();
        let x = parameters(&row.inputs::<f64>());
        let y = bent(&(row.f64)(&x)).sum();
        each_operation(&y, &mut seen, visit);
        let of: Vec<&Var64> = x.iter().collect();
        for first in y.gradients(&of) {
            each_operation(&first, &mut seen, visit);
            let again = first.square().sum();
            let depends: Vec<&Var64> = of.iter().copied().filter(|x| leads_to(&again, x)).collect();
            for second in again.gradients(&depends) {
                each_operation(&second, &mut seen, visit);
            }
        }
    }
}

#[test]
fn every_rule_has_a_row() {
    let mut reached = BTreeSet::new();
    every_graph(&mut |op| {
        reached.insert(op.rule().name().to_owned());
    });
    let written = rule_names();
    assert!(written.len() > 50, "the sources of the ops are found: {}", written.len());
    let missing: Vec<&String> = written.difference(&reached).collect();
    assert!(missing.is_empty(), "no row reaches the rules {missing:?}");
}

#[test]
fn every_operation_has_the_place_of_its_call() {
    let mut elsewhere = BTreeSet::new();
    for row in rows::all() {
        let y = (row.f64)(&parameters(&row.inputs::<f64>()));
        each_operation(&y, &mut BTreeSet::new(), &mut |op| {
            let file = op.place().file().replace('\\', "/");
            if !file.contains("tests/op_table") {
                elsewhere.insert(format!("{}: {} was called in {}", row.name, op.rule().name(), op.place()));
            }
        });
    }
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

fn leads_to(root: &Var64, x: &Var64) -> bool {
    let mut stack = vec![root.clone()];
    let mut seen = BTreeSet::new();
    while let Some(var) = stack.pop() {
        if var.id() == x.id() {
            return true;
        }
        if seen.insert(var.id())
            && let Some(op) = var.operation()
        {
            stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
        }
    }
    false
}

/// The names of all rules, from the sources of the ops.
fn rule_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources exist").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).expect("a source is text");
            for after in text.split("fn name(&self) -> &'static str {").skip(1) {
                let body = after.split('}').next().unwrap_or_default();
                if let Some(name) = body.split('"').nth(1) {
                    names.insert(name.to_owned());
                }
            }
            for entry in text.split("\nfunction! {").skip(1) {
                let entry = entry.split("\n}").next().unwrap_or_default();
                let head = entry.split("fn ").nth(1).and_then(|head| head.split(" = ").next()).unwrap_or_default();
                let label = head.split("as \"").nth(1).map(|label| label.trim_end_matches('"'));
                let name = label.or_else(|| head.split('(').next()).unwrap_or_default();
                names.insert(name.to_owned());
                if entry.contains("curvature") {
                    names.insert(format!("{name} backward"));
                }
            }
            for after in text.split("describe! {").skip(1) {
                let name = after.split("name: \"").nth(1).and_then(|name| name.split('"').next());
                names.extend(name.map(ToOwned::to_owned));
            }
            // Two macros that define rules take the name as an argument.
            for after in text.split("\nrule!(").skip(1) {
                names.extend(after.split('"').nth(1).map(ToOwned::to_owned));
            }
        }
    }
    names
}
