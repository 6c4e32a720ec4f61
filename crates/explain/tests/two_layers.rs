//! Every number of an explanation against a two-layer net written by hand, without tensors.

use chainrule_autograd::Var64;
use chainrule_explain::{Element, Explanation, Extent, Kind, Term, explain};

const X: [[f64; 2]; 3] = [[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]];
const T: [f64; 3] = [1.0, 0.0, 0.5];
const W1: [[f64; 2]; 2] = [[0.3, -0.6], [0.8, 0.1]];
const B1: [f64; 2] = [0.05, -0.2];
const W2: [f64; 2] = [1.2, -0.7];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// h = σ(x·W1ᵀ + b1), o = h·w2, E = ½ Σ (o − t)², with all derivatives by the chain rule.
struct ByHand {
    h: [[f64; 2]; 3],
    o: [f64; 3],
    e: f64,
    do_: [f64; 3],
    dh: [[f64; 2]; 3],
    /// The gradient of the argument of σ.
    da: [[f64; 2]; 3],
    dw1: [[f64; 2]; 2],
    db1: [f64; 2],
    dw2: [f64; 2],
}

fn by_hand() -> ByHand {
    let mut n = ByHand {
        h: [[0.0; 2]; 3],
        o: [0.0; 3],
        e: 0.0,
        do_: [0.0; 3],
        dh: [[0.0; 2]; 3],
        da: [[0.0; 2]; 3],
        dw1: [[0.0; 2]; 2],
        db1: [0.0; 2],
        dw2: [0.0; 2],
    };
    for s in 0..3 {
        for k in 0..2 {
            n.h[s][k] = sigmoid(X[s][0] * W1[k][0] + X[s][1] * W1[k][1] + B1[k]);
        }
        n.o[s] = n.h[s][0] * W2[0] + n.h[s][1] * W2[1];
        n.e += 0.5 * (n.o[s] - T[s]).powi(2);
        n.do_[s] = n.o[s] - T[s];
        for k in 0..2 {
            n.dw2[k] += n.do_[s] * n.h[s][k];
            n.dh[s][k] = n.do_[s] * W2[k];
            n.da[s][k] = n.dh[s][k] * n.h[s][k] * (1.0 - n.h[s][k]);
            n.db1[k] += n.da[s][k];
            for i in 0..2 {
                n.dw1[k][i] += n.da[s][k] * X[s][i];
            }
        }
    }
    n
}

fn explained() -> Explanation<f64> {
    let x = Var64::constant(X).named("x");
    let t = Var64::constant([[T[0]], [T[1]], [T[2]]]).named("t");
    let (w1, b1) = (Var64::parameter("w1", W1), Var64::parameter("b1", B1));
    let w2 = Var64::parameter("w2", [W2]);
    let a = x.linear(&w1, Some(&b1)).named("a");
    let h = a.sigmoid().named("h");
    let o = h.linear(&w2, None).named("o");
    explain(&(0.5 * (&o - &t).named("r").square().named("q").sum().named("s")).named("E"))
}

fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-14 * (1.0 + b.abs()), "{what}: {found:?}, by hand {expected:?}");
    }
}

/// Name, value and gradient of a variable.
type Expected<'a> = (&'a str, &'a [f64], Option<&'a [f64]>);

#[test]
fn all_values_and_gradients_are_those_by_hand() {
    let (explanation, n) = (explained(), by_hand());
    let residual: Vec<f64> = n.do_.to_vec();
    let a: Vec<f64> = n.h.as_flattened().iter().map(|h| (h / (1.0 - h)).ln()).collect();
    let q: Vec<f64> = residual.iter().map(|r| r * r).collect();
    let all: [Expected; 11] = [
        ("x", X.as_flattened(), None),
        ("t", &T, None),
        ("w1", W1.as_flattened(), Some(n.dw1.as_flattened())),
        ("b1", &B1, Some(&n.db1)),
        ("w2", &W2, Some(&n.dw2)),
        ("a", &a, Some(n.da.as_flattened())),
        ("h", n.h.as_flattened(), Some(n.dh.as_flattened())),
        ("o", &n.o, Some(&n.do_)),
        ("r", &residual, Some(&residual)),
        ("q", &q, Some(&[0.5; 3])),
        ("E", &[n.e], Some(&[1.0])),
    ];
    for (name, value, gradient) in all {
        let variable = &explanation.variables()[explanation.find(name).unwrap()];
        near(name, variable.value.elements.as_ref().unwrap(), value);
        match (&variable.gradient, gradient) {
            (Some(found), Some(expected)) => near(name, found.elements.as_ref().unwrap(), expected),
            (None, None) => assert_eq!(variable.kind, Kind::Constant),
            (found, _) => panic!("{name} has the gradient {found:?}"),
        }
        assert!((variable.value.norm - value.iter().map(|x| x * x).sum::<f64>().sqrt()).abs() < 1e-14);
    }
    assert_eq!(explanation.variables().len(), all.len() + 1, "and the sum of q");
    assert_eq!(explanation.variables().last().unwrap().name, "E");
    // Each arriving gradient is what the rule of that step returned.
    let ops: Vec<&str> = explanation.steps().iter().map(|step| step.op.as_str()).collect();
    assert_eq!(ops, ["multiply by number", "sum_to", "square", "sub", "linear", "sigmoid", "linear"]);
    let linear = &explanation.steps()[4];
    near("dh", linear.inputs[0].gradient.as_ref().unwrap().elements.as_ref().unwrap(), n.dh.as_flattened());
}

/// The term of an element with this output.
fn term<'a>(element: &'a Element, output: &[usize]) -> &'a Term {
    element.terms.iter().find(|term| term.output == output).unwrap_or_else(|| panic!("no term {output:?}: {element:?}"))
}

#[test]
fn the_terms_of_a_weight_are_those_by_hand_up_to_the_loss() {
    let (explanation, n) = (explained(), by_hand());
    let (w1, index) = explanation.find_element("w1[1,0]").unwrap();
    let element = explanation.element_at(w1, &index, Extent { depth: 10, terms: 10 }).unwrap();
    assert_eq!((element.value, element.rest.count), (W1[1][0], 0));
    near("dw1[1,0]", &[element.gradient, element.sum()], &[n.dw1[1][0]; 2]);
    assert_eq!(element.terms.len(), 3, "one for each sample");
    let name = |term: &Term| {
        let factor = term.factor.as_ref()?;
        let index: Vec<String> = factor.index.iter().map(ToString::to_string).collect();
        Some(format!("{}[{}]", explanation.variables()[factor.variable].name, index.join(",")))
    };
    for s in 0..3 {
        // dw1[1,0] = Σₛ da[s,1] · x[s,0]
        let of_a = term(&element, &[s, 1]);
        near("da · x", &[of_a.dy, of_a.local, of_a.product], &[n.da[s][1], X[s][0], n.da[s][1] * X[s][0]]);
        assert_eq!(name(of_a), Some(format!("x[{s},0]")));
        // da[s,1] = dh[s,1] · h(1 − h)
        let a = of_a.next.as_ref().unwrap();
        near("a", &[a.gradient, a.value], &[n.da[s][1], (n.h[s][1] / (1.0 - n.h[s][1])).ln()]);
        let of_h = term(a, &[s, 1]);
        near("dh · σ′", &[of_h.dy, of_h.local], &[n.dh[s][1], n.h[s][1] * (1.0 - n.h[s][1])]);
        // dh[s,1] = do[s] · w2[1]
        let of_o = term(of_h.next.as_ref().unwrap(), &[s, 0]);
        near("do · w2", &[of_o.dy, of_o.local], &[n.do_[s], W2[1]]);
        assert_eq!((name(of_o), name(of_h)), (Some("w2[0,1]".into()), None), "σ′ is no element of a variable");
        // do = dr · 1, dr = dq · 2r, dq = ds · 1, ds = dE · ½
        let of_r = term(of_o.next.as_ref().unwrap(), &[s, 0]);
        near("dr · 1", &[of_r.dy, of_r.local], &[n.do_[s], 1.0]);
        let of_q = term(of_r.next.as_ref().unwrap(), &[s, 0]);
        near("dq · 2r", &[of_q.dy, of_q.local], &[0.5, 2.0 * n.do_[s]]);
        let of_sum = term(of_q.next.as_ref().unwrap(), &[]);
        near("ds · 1", &[of_sum.dy, of_sum.local], &[0.5, 1.0]);
        let of_e = term(of_sum.next.as_ref().unwrap(), &[]);
        near("dE · ½", &[of_e.dy, of_e.local], &[1.0, 0.5]);
        let loss = of_e.next.as_ref().unwrap();
        assert_eq!((loss.gradient, loss.terms.len()), (1.0, 0));
    }
}

#[test]
fn formulas_have_the_numbers_by_hand() {
    let (explanation, n) = (explained(), by_hand());
    let sigmoid = &explanation.steps()[5];
    assert_eq!(sigmoid.op, "sigmoid");
    let at = sigmoid.at.as_ref().unwrap();
    let largest = n.dh.as_flattened().iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert_eq!(n.dh[at[0]][at[1]].abs(), largest, "the element with the largest gradient is shown");
    let (dh, h) = (n.dh[at[0]][at[1]], n.h[at[0]][at[1]]);
    let rule = sigmoid.inputs[0].rule.as_ref().unwrap();
    assert_eq!(rule.symbols, "dx = dy · y(1 − y)");
    let text = rule.numbers.as_ref().unwrap();
    let parsed = chainrule_autograd::formula::Expression::parse(text).unwrap();
    let value = parsed.evaluate(&|_| None).unwrap();
    assert!((value - dh * h * (1.0 - h)).abs() < 2e-6, "{text} is {value}");
    let linear = &explanation.steps()[6];
    assert_eq!(linear.inputs[1].rule.as_ref().unwrap().shapes.as_deref(), Some("(3, 2)ᵀ·(3, 2)"));
    assert_eq!((linear.at.as_ref(), linear.formula.shapes.as_deref()), (None, Some("(3, 2)·(2, 2)ᵀ")));
    let square = &explanation.steps()[2];
    assert_eq!(square.inputs[0].rule.as_ref().unwrap().symbols, "dx = dy · 2x");
}
