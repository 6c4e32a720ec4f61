//! The teaching walk is the engine's walk, and each broken law is visible where it should be.

use chainrule_explain::laws::{Experiment, Gradients, Law, Net, backward, break_law, tiny_cnn, two_neurons};

#[test]
fn with_all_laws_kept_the_gradients_are_the_engines_to_the_bit() {
    for net in [two_neurons(), tiny_cnn()] {
        let values: Vec<_> = net.start.iter().map(|(_, value)| value.clone()).collect();
        let parameters = net.parameters(&values);
        let loss = (net.loss)(&parameters);
        let walk = backward(&loss, None, &Gradients::new(), net.lr).expect("no law is broken");
        let engine = loss.backward();
        for parameter in &parameters {
            assert_eq!(walk[&parameter.id()].1.to_vec(), engine[parameter].to_vec(), "{}", parameter.name());
        }
    }
}

fn first_wrong(law: Law, net: &Net) -> Option<(Experiment, String)> {
    let experiment = break_law(law, net, 20);
    let name = experiment.wrong().next()?.name.clone();
    Some((experiment, name))
}

#[test]
fn a_broken_law_shows_first_where_it_applies() {
    let expected = [
        (Law::SigmoidDerivative, Some("o_in"), "z2"),
        (Law::Accumulate, None, "a"),
        (Law::TopologicalOrder, None, "a"),
        (Law::StaleGradients, Some("w6"), "c"),
        (Law::Unbroadcast, None, "c"),
        (Law::Transpose, None, "f"),
        (Law::UpdateTooEarly, Some("h2"), "f"),
    ];
    assert_eq!(expected.map(|(law, ..)| law), Law::ALL);
    for (law, in_two_neurons, in_cnn) in expected {
        let found = first_wrong(law, &two_neurons()).map(|(_, name)| name);
        assert_eq!(found.as_deref(), in_two_neurons, "{}", law.name());
        let (experiment, name) = first_wrong(law, &tiny_cnn()).expect("each law matters in a CNN");
        assert_eq!(name, in_cnn, "{}", law.name());
        assert_eq!(experiment.first, Some(if law == Law::StaleGradients { 2 } else { 1 }), "{}", law.name());
        for row in &experiment.rows {
            let scale = row.right.abs().max(1e-3);
            assert!((row.right - row.difference).abs() < 1e-6 * scale, "{}: {row:?}", law.name());
        }
    }
}

#[test]
fn shapes_catch_a_missing_transpose_unless_all_are_equal() {
    let mut net = tiny_cnn();
    // Three classes instead of eight.
    net.start[3].1 = net.start[3].1.narrow(1, 0..3);
    net.start[4].1 = net.start[4].1.narrow(0, 0..3);
    net.loss = |w| {
        let [_, _, _, v, c] = w else { unreachable!("five parameters") };
        let f = chainrule_autograd::Var64::parameter("f", chainrule_tensor::Tensor64::ones([8, 8]));
        (f.matmul(v) + c).square().sum()
    };
    let experiment = break_law(Law::Transpose, &net, 3);
    let text = experiment.caught.expect("(8, 3) · (8, 3) does not fit");
    assert!(text.contains("the gradient of f (8, 8) would be the product (8, 3) · (8, 3)"), "{text}");
    assert_eq!(experiment.first, Some(1));
}

#[test]
fn a_report_names_the_place_and_the_losses() {
    let text = break_law(Law::SigmoidDerivative, &two_neurons(), 10).report().to_text();
    assert!(
        text.contains("The first wrong gradient is that of o_in") && text.contains("the rule of sigmoid"),
        "{text}"
    );
    // The ratio of the slopes: σ(o)(1 − σ(o)) / (o(1 − o)), by hand.
    let o = 1.0 / (1.0 + (-4.0f64).exp());
    let s = 1.0 / (1.0 + (-o).exp());
    assert!(text.contains(&format!("{:.4}", s * (1.0 - s) / (o * (1.0 - o)))), "{text}");
    let text = break_law(Law::Accumulate, &two_neurons(), 10).report().to_text();
    assert!(text.contains("Nothing changes: no value of this net is used twice"), "{text}");
}
