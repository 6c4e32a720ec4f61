//! Parsing, printing and evaluation of formulas, and the positions of errors.

use super::*;

#[track_caller]
fn parsed(text: &str) -> Formula {
    Formula::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn value(text: &str) -> f64 {
    let values = [("x", 3.0), ("y", 0.25), ("h1", 0.5), ("w_ij", 4.0), ("p", 2.0), ("dy", -2.0)];
    let at = |name: &str| values.iter().find(|&&(known, _)| known == name).map(|&(_, value)| value);
    Expression::parse(text).unwrap_or_else(|e| panic!("{e}")).evaluate(&at).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn printing_restores_the_text() {
    for text in [
        "y = 1/(1 + e⁻ˣ)",
        "dx = dy · y(1 − y)",
        "dx = dy where x > 0, else 0",
        "da = dy where a > b, dy/2 where a = b, else 0; db = dy where a < b, dy/2 where a = b, else 0",
        "dx = dy · p·xᵖ⁻¹",
        "dx = dy · (s + βx·s(1 − s)), s = σ(βx)",
        "d(dy) = dz · (1 − t²)(u′ + x/2·u″ − x·t·u′²), u = √(2/π)·(x + 0.044715x³)",
        "dx = γ/√(var + ε) · (dy − dβ/m − x̂·dγ/m)",
        "dp = dy · (p − t) / (p(1 − p)), dt = dy · (ln(1 − p) − ln p)",
        "dx = −s · dy / x²",
        "dx = dy / 2y",
        "dx = col2im(wᵀ · dy), dw = Σₙ dy · im2col(x)ᵀ, db[o] = Σ_{n,i,j} dy[n,o,i,j]",
        "y[n,o,i,j] = b[o] + Σ_{c,p,q} x[n, c, s·i + d·p − pad, s·j + d·q − pad] · w[o,c,p,q]",
        "dx[…,k,…] = Σ_{i : index[i] = k} dy[…,i,…]",
        "y[n,c,i,j] = max_{p ∈ window} x[n, c, s·i + p, s·j + q]",
        "dx = dy where lo ≤ x ≤ hi, else 0",
        "y = |x|, z = ⌊x/2⌋",
        "dx = dy where x > 0 and y > 0 or x < −1, else 0",
        "dxᵢ = (Σ dy) · x",
        "y = (−x)², z = (x/y)², u = (x²)³, v = −x²",
        "y = x^(βx)",
        "y = 2·(−3), z = a − (−b)",
    ] {
        assert_eq!(parsed(text).to_string(), text);
    }
}

#[test]
fn ascii_and_other_spellings_are_parsed() {
    for (written, shown) in [
        ("y = -(1-o)*o*(1-o)*h1", "y = −(1 − o)·o·(1 − o)·h₁"),
        ("y = 1/(1 + e^(-x))", "y = 1/(1 + e⁻ˣ)"),
        ("y = x^2 * w_1", "y = x² · w₁"),
        ("u'' = x", "u″ = x"),
        ("y = dy where x <= 1 and x != 0, else x", "y = dy where x ≤ 1 and x ≠ 0, else x"),
        ("y = x[..., i]", "y = x[…,i]"),
    ] {
        assert_eq!(parsed(written).to_string(), shown);
    }
}

#[test]
fn values_follow_the_conventions_of_mathematics() {
    for (text, expected) in [
        ("2 + 3 · 4 − 6/2", 11.0),
        ("−x²", -9.0),
        ("2^3^2 / 2", 256.0),
        ("x − 1 − 1", 1.0),
        ("12 / x / 2", 2.0),
        ("12 / x·2", 8.0),
        ("12/x*2", 8.0),
        ("1/2x", 1.0 / 6.0),
        ("2 · x/y", 24.0),
        ("xᵖ⁻¹", 3.0),
        ("x(1 − x)(2 − x)", 6.0),
        ("h₁ + h_1 + h1", 1.5),
        ("wᵢⱼ", 4.0),
        ("√(x + 1)·p", 4.0),
        ("√x²", 3.0),
        ("ln e", 1.0),
        ("ln 2x − ln(2x)", 0.0),
        ("x exp(0)", 3.0),
        ("|−x| + ⌊2.5⌋ + ⌈2.5⌉", 8.0),
        ("max(x, y) + min(x, y)", 3.25),
        ("sign dy · sign 0", -0.0),
        ("σ(0) + Φ(0)", 1.0),
        ("p where 0 < x ≤ 3 and y ≠ 0, else 0", 2.0),
        ("p where x < 0 or y < 0, x where y = 0.25, else 0", 3.0),
        ("1e-3 · 2e3", 2.0),
        ("dy(1 − y)", -1.5),
        ("cos π + tanh 0", -1.0),
    ] {
        let value = value(text);
        assert!((value - expected).abs() < 1e-15, "{text} = {value}, not {expected}");
    }
}

#[test]
fn printing_preserves_the_value() {
    for text in ["12 / x·2", "12 / x / p", "x · p/y", "(x + y)(x − y)", "x/(p/y)", "x − (y − p)", "−(x + y)", "(−x)²"]
    {
        let shown = Expression::parse(text).unwrap().to_string();
        assert_eq!(value(&shown).to_bits(), value(text).to_bits(), "{text} is shown as {shown}");
    }
}

#[test]
fn parse_errors_have_messages_and_positions() {
    for (text, position, message) in [
        ("dx = the part of dy", 9, "(a product of two names is written 'a · b'), not 'part'"),
        ("y = 2 + · x", 8, "expected a number, a name or '(', not '·'"),
        ("y = (x + 1", 10, "expected ')' or an operator, but the formula ends"),
        ("y = x ? 1", 6, "unexpected character '?'"),
        ("dx = dy where x > 0", 19, "expected ', else …' or another case after the condition, but the formula ends"),
        (
            "dx = dy where x > 0, 1",
            22,
            "expected 'where' and a condition, or 'else' before the last value, but the formula ends",
        ),
        (
            "dx = dy where x > 0, db = 1",
            24,
            "expected 'where' and a condition, or 'else' before the last value, not '='",
        ),
        ("y", 1, "expected an equation 'y = …', but the formula ends"),
        ("x̂ = Σ_{n dy", 10, "expected an operator (a product of two names is written 'a · b'), not 'dy'"),
        ("y = x[1", 7, "expected ']' or ',', but the formula ends"),
        ("y = x 2", 6, "expected an operator (a product is written 'a · b'), not '2'"),
    ] {
        let error = Formula::parse(text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(error.position(), position, "{error}");
    }
    let shown = Formula::parse("x̂ = ? + 1").expect_err("a question").to_string();
    assert_eq!(shown, "formula: unexpected character '?'\n  at character 6\n  x̂ = ? + 1\n      ^");
}

#[test]
fn evaluation_errors() {
    let at = |name: &str| (name == "x").then_some(1.0);
    for (text, error) in [
        ("y = q", EvaluationError::Unknown("q".into())),
        ("z = x", EvaluationError::NoEquation("y".into())),
        ("y = a, a = b, b = a", EvaluationError::Circular("a".into())),
        ("y = 2 · Σ_{i} x", EvaluationError::NotOfNumbers("Σᵢ x".into())),
        ("y = conv2d(x, x)", EvaluationError::NotOfNumbers("conv2d(x, x)".into())),
        ("y = f′(x)", EvaluationError::NotOfNumbers("f′(x)".into())),
    ] {
        assert_eq!(parsed(text).evaluate("y", &at), Err(error), "{text}");
    }
}

#[test]
fn free_symbols_exclude_definitions_and_indices() {
    let symbols = |text: &str| parsed(text).symbols().into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(symbols("dx = dy · s·(1 − s) · e^(−π), s = σ(βx)"), "dy x β");
    assert_eq!(symbols("y[n,o] = b[o] + Σ_{i} x[n,i] · w[o,i]"), "b w x");
    assert_eq!(symbols("dx[k] = Σ_{i : index[i] = k} dy[i]"), "dy index");
    assert_eq!(symbols("y = Σ_{k ∈ window} x[k] where lo < x, else 0"), "lo window x");
}

#[test]
fn numbers_are_substituted_for_symbols() {
    let at = |name: &str| match name {
        "x" => Some("-3".to_owned()),
        "β" => Some("2".to_owned()),
        _ => None,
    };
    let shown = |text: &str| parsed(text).with_numbers(&at).to_string();
    assert_eq!(shown("y = βx + x² − ln x"), "y = 2(−3) + (−3)² − ln(−3)");
    assert_eq!(shown("x = xβ · y"), "x = (−3)·2 · y");
    assert_eq!(shown("y = Σ x"), "y = Σ x");
}

/// Checks that the tags are properly nested.
fn well_formed(mathml: &str) {
    let mut open = Vec::new();
    for tag in mathml.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        let entities = text.split('&').skip(1);
        assert!(entities.clone().all(|entity| entity.split_once(';').is_some()), "{mathml}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{mathml}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().expect("a name"));
        }
    }
    assert!(open.is_empty(), "{open:?} stay open: {mathml}");
}

#[test]
fn mathml_is_well_formed_and_complete() {
    for (text, pieces) in [
        ("y = 1/(1 + e⁻ˣ)", vec!["<mfrac><mrow><mn>1</mn></mrow><mrow><mn>1</mn><mo>+</mo><msup>"]),
        (
            "y = x₁ + u″ + w_i′",
            vec![
                "<msub><mi>x</mi><mn>1</mn></msub>",
                "<msup><mi>u</mi><mo>′′</mo></msup>",
                "<msubsup><mi>w</mi><mi>i</mi><mo>′</mo></msubsup>",
            ],
        ),
        ("dx = dy where x < 0, else √a", vec!["<mtable>", "<mo>&lt;</mo>", "<mtext>else</mtext>", "<msqrt>"]),
        ("db[o] = Σ_{n,i} dy[n,o,i]", vec!["<munder><mo>∑</mo>", "<mi mathvariant=\"normal\">d</mi><mi>b</mi>"]),
        ("y = (x/2)² · (Σ x) · y", vec!["<mo>(</mo><mfrac>", "<mo>(</mo><mrow><mo>∑</mo>"]),
        (
            "y = dE_dw5",
            vec!["<mfrac><mrow><mo>∂</mo><mi>E</mi></mrow><mrow><mo>∂</mo><msub><mi>w</mi><mn>5</mn></msub>"],
        ),
        ("y = ln p · 1e-9", vec!["<mi>ln</mi><mo>&#x2061;</mo><mi>p</mi>", "<mn>10</mn><mrow><mo>−</mo><mn>9</mn>"]),
        ("y = a where a > 0 and b ≥ 1, else wᵀ", vec!["&#xa0;and&#xa0;", "<mi mathvariant=\"normal\">T</mi>"]),
    ] {
        let mathml = parsed(text).to_mathml();
        well_formed(&mathml);
        for piece in pieces {
            assert!(mathml.contains(piece), "{text}: no {piece} in {mathml}");
        }
    }
}
