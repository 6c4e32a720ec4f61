//! Drawing the numbers of a worksheet, so that every known mistake can be told apart from the right value and from the
//! others at the digits asked for.

use chainrule_tensor::Rng;

use super::answer::significant_unit;
use super::chain::{Chain, Role, Values};
use super::expression::{Activation, Expr, Function, Id};
use super::kinds::Given;
use super::mistakes::candidates;
use super::sheet::{Kind, Problem};

/// How often numbers are drawn before the best of them are taken.
const ATTEMPTS: usize = 4000;
/// The input of an activation, or the lead of the largest in a pooling window, is at least this far from a kink.
const FROM_KINK: f64 = 0.05;
/// The output of a sigmoid or tanh is at most this: beyond it the unit counts as saturated.
const SATURATED: f64 = 0.95;

/// The numbers of a sheet by name, and the chain with them.
pub(super) struct Drawn {
    pub numbers: Vec<(String, f64)>,
    pub chain: Chain,
    /// The mistakes that cannot be told from others, if there are any.
    pub confusions: Vec<String>,
}

/// Draws the numbers of a problem that is not on matrices. No mistake looks right; if some look like others in every
/// draw, those numbers are taken with which the fewest do.
pub(super) fn draw(problem: &Problem, rng: &mut Rng, digits: usize) -> Result<Drawn, String> {
    let (mut reason, mut best) = (String::new(), None::<Drawn>);
    for _ in 0..ATTEMPTS {
        let mut numbers: Vec<(String, f64)> = Vec::new();
        let label = rng.next_u32() as usize;
        let chain = problem.chain(&mut |name, given| {
            let number = number(problem, rng, given, label, &numbers);
            numbers.push((name.to_owned(), number));
            number
        });
        let chain = chain.expect("a problem with numbers");
        let most = best.as_ref().map_or(usize::MAX, |best| best.confusions.len());
        match confusions(&chain, digits, most) {
            Err(why) => reason = why,
            Ok(confusions) if confusions.len() < most => {
                let done = confusions.is_empty();
                best = Some(Drawn { numbers, chain, confusions });
                if done {
                    break;
                }
            }
            Ok(_) => {}
        }
    }
    best.ok_or_else(|| {
        format!(
            "after {ATTEMPTS} draws there are still mistakes that look right with {digits} digits ({reason}); ask for more \
             digits or a smaller net"
        )
    })
}

/// A number with two decimals, whose magnitude no other number has.
fn number(problem: &Problem, rng: &mut Rng, given: Given, label: usize, others: &[(String, f64)]) -> f64 {
    let positive_output = match &problem.kind {
        Kind::Dense(net) => net.activations.last() == Some(&Activation::Sigmoid),
        _ => false,
    };
    let (least, most, signed) = match given {
        Given::OneHot(index, count) => return f64::from(u8::from(index == label % count)),
        Given::Input if matches!(problem.kind, Kind::BatchNorm(_)) => (0.2, 3.0, true),
        Given::Weight => (0.15, 1.2, true),
        Given::Bias => (0.1, 0.9, true),
        Given::Target if positive_output => (0.05, 0.95, false),
        Given::Input | Given::Target => (0.2, 1.5, true),
        Given::Scale => (0.5, 1.5, false),
    };
    // The number of the numbers with two decimals is finite: a large sheet repeats some.
    let mut drawn = || {
        let magnitude = ((least + (most - least) * rng.uniform()) * 100.0).round() / 100.0;
        if signed && rng.uniform() < 0.4 { -magnitude } else { magnitude }
    };
    let mut number = drawn();
    for _ in 0..50 {
        // A factor near 1 would not be missed.
        if others.iter().all(|(_, other)| other.abs() != number.abs()) && (number.abs() - 1.0).abs() > 0.05 {
            break;
        }
        number = drawn();
    }
    number
}

/// The mistakes that cannot be told from others, up to a number of them; an error if a mistake looks right or the numbers
/// are no good otherwise.
fn confusions(chain: &Chain, digits: usize, most: usize) -> Result<Vec<String>, String> {
    let exact = chain.exact();
    if exact.iter().any(|x| !x.is_finite()) {
        return Err("a value is not finite".into());
    }
    if let Some(id) = (0..exact.len()).find(|&id| at_kink(chain, &exact, id)) {
        return Err(format!("{} is near a kink or saturated", chain.quantities[id].name));
    }
    let mut found = Vec::new();
    for &id in &chain.asked {
        found.extend(confused(chain, &exact, id, digits)?);
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

/// Whether a unit is saturated or dead, or a maximum is not clear.
fn at_kink(chain: &Chain, exact: &[f64], id: Id) -> bool {
    let value = |x: &Expr| x.value(&mut |id| super::Interval::point(exact[id])).middle();
    match &chain.quantities[id].expr {
        Expr::Call(Function::Of(Activation::Sigmoid), _) => !(1.0 - SATURATED..=SATURATED).contains(&exact[id]),
        Expr::Call(Function::Of(Activation::Tanh), _) => exact[id].abs() > SATURATED,
        Expr::Call(Function::Of(Activation::Relu), x) => {
            let pooled = chain.quantities.iter().any(|quantity| matches!(quantity.expr, Expr::Largest(_)));
            // Behind a pooling some units may be off, as long as no maximum is.
            if pooled { value(x).abs() < FROM_KINK } else { value(x) < FROM_KINK }
        }
        Expr::Call(Function::Of(Activation::LeakyRelu), x) => value(x).abs() < FROM_KINK,
        Expr::Largest(all) => {
            let mut all: Vec<f64> = all.iter().map(value).collect();
            all.sort_by(f64::total_cmp);
            let largest = all.pop().unwrap_or(0.0);
            largest.abs() < FROM_KINK || all.last().is_some_and(|second| largest - second < FROM_KINK)
        }
        _ => false,
    }
}

/// The mistakes in a quantity that cannot be told from others at these digits; an error if one looks right.
fn confused(chain: &Chain, exact: &[f64], id: Id, digits: usize) -> Result<Vec<String>, String> {
    let right = exact[id];
    let name = &chain.quantities[id].name;
    // A zero has no digits: it is asked for where a pooling gives none of the gradient to an element.
    if right == 0.0 {
        return Ok(Vec::new());
    }
    if chain.quantities[id].role == Role::Update
        && let Some((before, _)) = chain.updated.iter().find(|(_, after)| *after == id)
        && (exact[*before] - right).abs() < 4.0 * significant_unit(right, digits)
    {
        return Err(format!("{name} hardly changes"));
    }
    let point = super::Interval::point;
    // Only the expression of the quantity itself is changed.
    let wrong: Vec<(super::MistakeKind, f64)> = (candidates(chain, &[id].into()).into_iter())
        .map(|candidate| (candidate.kind, candidate.change[0].1.value(&mut |at| point(exact[at])).middle()))
        .filter(|(_, value)| value.is_finite())
        .collect();
    // What the right value can be for earlier answers with so many digits.
    let rounded = |at: usize| super::Interval::around(exact[at], significant_unit(exact[at], digits));
    let kept: Vec<_> =
        (0..exact.len()).map(|at| Some(if chain.is_given(at) { point(exact[at]) } else { rounded(at) })).collect();
    let blur = Values::new(chain, &kept).computed(id).radius();
    // The values that are the same by algebra are no confusion: all of their names are listed.
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    for (kind, value) in &wrong {
        let (unit, distance) = (significant_unit(right.abs().max(value.abs()), digits), (value - right).abs());
        if !same(*value, right) && distance < blur + 2.0 * unit {
            return Err(format!("{name}: {} looks right", kind.name()));
        }
    }
    let near = |written: f64, other: f64| (written - other).abs() < 2.0 * significant_unit(written, digits);
    let mut found = Vec::new();
    for (i, (kind, value)) in wrong.iter().enumerate() {
        for (other, other_value) in &wrong[..i] {
            let confused = near(*value, *other_value) || near(*other_value, *value);
            if kind != other && confused && !same(*value, *other_value) {
                found.push(format!("{name}: {} looks like {}", kind.name(), other.name()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_that_look_right_are_an_error() {
        let problem: Problem = "[batch-norm]\nepsilon = 1e-5\n".parse().expect("a problem");
        let error = draw(&problem, &mut Rng::seed(1), 3).err().expect("an ε of 1e-5 cannot be seen in 3 digits");
        assert!(error.ends_with(" looks right); ask for more digits or a smaller net"), "{error}");
    }

    #[test]
    fn mistakes_that_look_like_others_are_listed() {
        let head = "[net]\nlayers = [1, 1]\nactivations = [\"sigmoid\"]\n";
        let problem: Problem = head.parse().expect("a problem");
        // w1·i = 0.75 is near b1, so that net_o without one looks like net_o without the other.
        let numbers = [("i", 0.5), ("w1", 1.5), ("b1", 0.7503), ("t", 0.2)];
        let number = |name: &str| numbers.iter().find(|(known, _)| *known == name).expect("a number").1;
        let chain = problem.chain(&mut |name, _| number(name)).expect("a chain");
        let found = confusions(&chain, 3, usize::MAX).expect("no mistake looks right");
        assert!(
            found.contains(&"net_o: a term of the sum forgotten looks like bias forgotten".to_owned()),
            "{found:?}"
        );
        assert!(
            !confusions(&chain, 5, usize::MAX).expect("nor here").iter().any(|text| text.starts_with("net_o: a term"))
        );
    }

    #[test]
    fn no_relu_of_a_net_is_dead() {
        let head = "[net]\nlayers = [2, 3, 1]\nactivations = [\"relu\", \"linear\"]\n";
        let problem: Problem = head.parse().expect("a problem");
        for seed in 0..5 {
            let Ok(Drawn { chain, .. }) = draw(&problem, &mut Rng::seed(seed), 5) else { panic!("no numbers") };
            let exact = chain.exact();
            assert_eq!(chain.activations.len(), 3);
            assert!(chain.activations.iter().all(|&(pre, _)| exact[pre] >= FROM_KINK));
        }
    }
}
