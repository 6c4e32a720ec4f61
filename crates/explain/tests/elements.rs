//! Elements of gradients: sums of terms for ops of all kinds, and what is asked for wrongly.

use chainrule_autograd::{Operation, Rule, Var, Var64, VarOf, scope};
use chainrule_explain::{Explanation, Extent, explain, explain_element};
use chainrule_tensor::{Conv2dOptions, Float, Key, Purpose, Tensor, Tensor64, TensorOf};

fn random<T: Float>(stream: u32, shape: &[usize]) -> TensorOf<T> {
    TensorOf::random_normal(Key::new(7, Purpose::USER).at_step(stream), shape)
}

/// Checks that the terms of all elements of all variables add up to the engine's gradient.
fn all_terms_add_up<T: Float>(explanation: &Explanation<T>, step: usize) -> usize {
    let mut checked = 0;
    for (i, variable) in explanation.variables().iter().enumerate().filter(|(_, v)| v.gradient.is_some()) {
        if i + 1 == explanation.variables().len() {
            continue;
        }
        let count: usize = variable.shape.iter().product();
        for flat in (0..count).step_by(step) {
            let mut index = vec![0; variable.shape.len()];
            let mut rest = flat;
            for (slot, len) in index.iter_mut().zip(&variable.shape).rev() {
                *slot = rest % len;
                rest /= len;
            }
            let element = explanation.element_at(i, &index, Extent { depth: 1, terms: 4 }).unwrap();
            let limit = 8.0 * T::EPSILON.to_f64() * element.magnitude();
            let difference = (element.sum() - element.gradient).abs();
            assert!(difference <= limit, "{} {index:?}: {difference} > {limit}\n{element:?}", variable.name);
            assert!(element.terms.is_sorted_by(|a, b| a.product.abs() >= b.product.abs()));
            assert!(element.rest.count != 1, "a single term is listed");
            checked += 1;
        }
    }
    checked
}

/// Convolution, batch norm, a residual, pooling and a loss: the ops of a ResNet.
fn block<T: Float>() -> VarOf<T> {
    let x = VarOf::parameter("x", random::<T>(0, &[2, 2, 6, 6]));
    let (w1, w2) = (random::<T>(1, &[3, 2, 3, 3]), random::<T>(2, &[3, 3, 3, 3]));
    let (w1, w2) = (VarOf::parameter("w1", w1), VarOf::parameter("w2", w2));
    let gamma = VarOf::parameter("gamma", random::<T>(3, &[3]));
    let beta = VarOf::parameter("beta", random::<T>(4, &[3]));
    let same = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
    let h = x.conv2d(&w1, None, same).named("h");
    let (z, _) = h.batch_norm(&gamma, &beta, 1e-5);
    let y = (z.relu().conv2d(&w2, None, same) + &h).relu().max_pool2d(2);
    let w = VarOf::parameter("w", random::<T>(5, &[4, 27]));
    y.flatten().linear(&w, None).cross_entropy(&[1, 3].into())
}

#[test]
fn terms_add_up_to_the_gradient() {
    let explanation = explain(&block::<f64>());
    assert!(all_terms_add_up(&explanation, 7) > 150);
    assert!(all_terms_add_up(&explain(&block::<f32>()), 7) > 150);
    let h = &explanation.variables()[explanation.find("h").unwrap()];
    assert_eq!(h.arrivals.len(), 2, "the residual and the convolution");
}

#[test]
fn a_fused_op_is_explained_like_the_ops_it_replaces() {
    let x = Var64::parameter("x", random::<f64>(0, &[1, 2, 6, 6]));
    let w = Var64::parameter("w", random::<f64>(1, &[3, 2, 3, 3]));
    let b = Var64::parameter("b", [0.1, -0.2, 0.3]);
    let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
    let fused = explain(&x.conv2d_relu_max_pool2d(&w, Some(&b), options, 2).square().sum());
    assert!(all_terms_add_up(&fused, 3) > 20);
    let separate = explain(&x.conv2d(&w, Some(&b), options).relu().max_pool2d(2).square().sum());
    let all = Extent { depth: 1, terms: 100 };
    let [a, b] = [&fused, &separate].map(|explanation| explanation.element(&w, &[0, 1, 2, 0], all).unwrap());
    assert!((a.gradient - b.gradient).abs() < 1e-12);
    assert!(a.terms.len() <= 9, "of each of 9 windows, only the maximum reaches the output of the fused op");
    assert_eq!(b.terms.len(), 25, "those that no padding lies under");
}

/// An op of a user whose rule works on tensors, so that dx is not recorded as a function of dy.
struct Triple;

impl<T: Float> Rule<T> for Triple {
    fn name(&self) -> &'static str {
        "triple"
    }
    fn formula(&self) -> &'static str {
        "three times x"
    }
    fn derivative(&self) -> &'static str {
        "three times dy"
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let three = TensorOf::scalar(T::from_f64(3.0));
        vec![Some(VarOf::constant(dy.value().binary(chainrule_tensor::Binary::Mul, &three)))]
    }
}

#[test]
fn an_op_of_the_user_is_explained() {
    let x = Var64::parameter("x", [1.0, -2.0]);
    let y = VarOf::record(x.value().unary(chainrule_tensor::Unary::Mul(3.0)), [&x], Triple);
    let explanation = explain(&y.square().sum());
    let element = explanation.element(&x, &[1], Extent::default()).unwrap();
    assert_eq!((element.gradient, element.terms.len()), (-36.0, 1));
    let term = &element.terms[0];
    assert_eq!((term.output.as_slice(), term.dy, term.local), (&[1][..], -12.0, 3.0));
    let step = &explanation.steps()[term.step];
    assert_eq!((step.op.as_str(), step.derivative.as_str(), step.at.as_ref()), ("triple", "three times dy", None));
    assert!(explanation.page("triple").to_html().contains("three times dy"), "a page needs no formula that parses");
}

#[test]
fn one_use_for_each_operand() {
    let x = Var64::parameter("x", 3.0);
    let loss = &x * &x + &x;
    let element = explain_element(&loss, &x, &[]).unwrap();
    assert_eq!(element.gradient, 7.0);
    let products: Vec<f64> = element.terms.iter().map(|term| term.product).collect();
    assert_eq!(products, [3.0, 3.0, 1.0]);
    let inputs: Vec<usize> = element.terms[..2].iter().map(|term| term.input).collect();
    assert_eq!(inputs, [0, 1]);
}

#[test]
fn local_derivatives_of_products_are_named() {
    let x = Var64::parameter("x", random::<f64>(0, &[1, 2, 5, 5]));
    let w = Var64::parameter("w", random::<f64>(1, &[3, 2, 3, 3]));
    let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], ..Conv2dOptions::default() };
    let explanation = explain(&x.conv2d(&w, None, options).square().sum());
    let all = Extent { depth: 1, terms: 100 };
    // y[n,o,i,j] = Σ w[o,c,p,q] · x[n, c, 2i + p − 1, j + q]
    for term in explanation.element(&w, &[1, 0, 2, 1], all).unwrap().terms {
        let [n, o, i, j] = term.output[..] else { panic!("an output has four axes") };
        assert_eq!((n, o), (0, 1));
        let factor = term.factor.expect("it is an element of x");
        assert_eq!(factor.index, [0, 0, 2 * i + 1, j + 1]);
        assert_eq!(x.value().at(&factor.index), term.local);
    }
    for term in explanation.element(&x, &[0, 1, 2, 2], all).unwrap().terms {
        let [_, o, i, j] = term.output[..] else { panic!("an output has four axes") };
        assert_eq!(term.factor.expect("it is an element of w").index, [o, 1, 3 - 2 * i, 2 - j]);
    }
    // Elements of a constant, which is not a node of the graph, are distinguished even if they are equal.
    let (ones, v) = (Var64::constant(Tensor64::ones([3, 2])), Var64::parameter("v", [[0.5, 0.5]]));
    for term in explain(&ones.linear(&v, None).square().sum()).element(&v, &[0, 1], all).unwrap().terms {
        assert_eq!(term.factor.expect("it is an element of the constant").index, [term.output[0], 1]);
    }
    let (a, b) = (Var64::parameter("a", 3.0), Var64::parameter("b", 1.0));
    let sum = explain(&(&a + &b));
    assert_eq!(sum.element(&a, &[], all).unwrap().terms[0].factor, None, "the 1 of a sum is not b");
    let quotient = explain(&(&a / &b));
    assert_eq!(quotient.element(&a, &[], all).unwrap().terms[0].factor, None, "1/b is not b, though both are 1");
}

#[test]
fn a_sum_over_uses_is_shown_with_its_numbers() {
    let x = Var64::parameter("x", 3.0);
    let document = explain(&(&x * &x + &x)).scalars();
    let text = document.to_text();
    let sum = text.lines().find(|line| line.contains("sum of 3 uses")).unwrap_or_else(|| panic!("{text}"));
    let words: Vec<&str> = sum.split_whitespace().collect();
    assert_eq!(words, ["∂L/∂x", "sum", "of", "3", "uses", "1", "+", "3", "+", "3", "7"]);
    assert!(document.to_markdown().contains("| **∂L/∂x** |"), "{}", document.to_markdown());
}

#[test]
fn empty_tensors_are_explained() {
    let x = Var64::parameter("x", Tensor64::zeros([0, 2]));
    let w = Var64::parameter("w", 2.0);
    let explanation = explain(&(x.exp().sum() + &w));
    assert_eq!(explanation.variables()[0].value.count, 0);
    assert!(explanation.scalars().to_text().contains("exp") && explanation.page("empty").to_html().contains("exp"));
}

#[test]
fn blocked_paths_are_named() {
    let x = Var64::parameter("x", [-1.0, 2.0]);
    let explanation = explain(&x.relu().sum());
    let element = explanation.element(&x, &[0], Extent::default()).unwrap();
    assert_eq!((element.gradient, element.terms.len(), element.blocked.len()), (0.0, 0, 1));
    assert_eq!(explanation.steps()[element.blocked[0].step].op, "relu");
    let text = explanation.tree_text(&element).to_text();
    assert!(text.contains("relu: no path, all local derivatives are 0"), "{text}");
}

#[test]
fn small_terms_are_summed_and_counted() {
    let w = Var64::parameter("w", 2.0);
    let x = Var64::constant(Tensor64::from_fn(20, |i| (i + 1) as f64));
    let element = explain_element(&(&w * &x).sum(), &w, &[]).unwrap();
    let listed: Vec<f64> = element.terms.iter().map(|term| term.product).collect();
    assert_eq!(listed, [20.0, 19.0, 18.0, 17.0, 16.0]);
    assert_eq!((element.rest.count, element.rest.sum, element.gradient), (15, 120.0, 210.0));
}

#[test]
fn bad_questions_are_answered_with_what_exists() {
    let x = Var::constant(Tensor::ones([2, 2])).named("x");
    let w = Var::parameter("net.weight", Tensor::ones([2, 2]));
    let explanation = explain(&(&x * &w).sum());
    let error = |text: &str| explanation.find_element(text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error("net.bias[0]"),
        "explain: the loss does not depend on 'net.bias'\n  help: these have a gradient: net.weight (2, 2), mul (2, 2), sum_to scalar"
    );
    assert_eq!(
        error("net.weight[0,2]"),
        "explain: net.weight[0,2] does not exist\n  net.weight has the shape (2, 2)\n  rule: 2 numbers, each below the length of its axis"
    );
    assert_eq!(
        error("net.weight[0,a]"),
        "explain: 'net.weight[0,a]' is not an element\n  rule: a name and an index, such as conv1.weight[0,0,1,1]; for a scalar the name alone"
    );
    let (position, index) = explanation.find_element("x[0, 1]").unwrap();
    let constant = explanation.element_at(position, &index, Extent::default()).unwrap_err().to_string();
    assert!(constant.starts_with("explain: 'x' has no gradient, since it is a constant or frozen\n"), "{constant}");
    let other = Var::parameter("other", 1.0);
    assert!(explanation.element(&other, &[], Extent::default()).is_err());
}

#[test]
fn frozen_parameters_and_scopes() {
    let (a, b) = (Var64::parameter("a", 2.0), Var64::parameter("b", 5.0));
    a.set_frozen(true);
    let loss = scope("net", || (&a * &b).square());
    let explanation = explain(&loss);
    assert!(explanation.variables()[explanation.find("a").unwrap()].gradient.is_none());
    assert!(explanation.steps().iter().all(|step| step.scope.as_deref() == Some("net")));
    let c = Var64::parameter("c", 1.0);
    let frozen_part = (2.0 * &c).named("d");
    let loss = &frozen_part * &b;
    c.set_frozen(true);
    let explanation = explain(&loss);
    let d = &explanation.variables()[explanation.find("d").unwrap()];
    assert_eq!(d.gradient.as_ref().unwrap().elements, Some(vec![5.0]), "the walk ends at d");
    let data = serde_json::to_value(&explanation).unwrap();
    assert_eq!(data["steps"][0]["op"], "mul");
    assert_eq!(data["variables"].as_array().unwrap().len(), explanation.variables().len());
}
