//! Parameter groups keep the ratios of their learning rates.

use chainrule_autograd::VarOf;
use chainrule_nn::{Adagrad, Adam, AdamW, GroupSettings, NAdam, Optimizer, RmsProp, Schedule, Sgd};

type Parameters = [VarOf<f64>; 2];

fn parameters() -> Parameters {
    ["p", "q"].map(|name| VarOf::parameter(name, 1.0))
}

fn rates(optimizer: &dyn Optimizer<f64>) -> Vec<f64> {
    optimizer.groups().iter().map(|group| group.lr).collect()
}

/// Each optimizer with a group of each parameter.
fn optimizers([p, q]: &Parameters, first: f64, second: f64) -> [Box<dyn Optimizer<f64>>; 6] {
    let (p, q) = (|| vec![p.clone()], || vec![q.clone()]);
    [
        Box::new(Sgd::new(p(), first).group(q(), second)),
        Box::new(Adam::new(p(), first).group(q(), second)),
        Box::new(AdamW::new(p(), first).group(q(), second)),
        Box::new(RmsProp::new(p(), first).group(q(), second)),
        Box::new(Adagrad::new(p(), first).group(q(), second)),
        Box::new(NAdam::new(p(), first).group(q(), second)),
    ]
}

#[test]
fn a_rate_of_0_keeps_the_ratios() {
    for mut optimizer in optimizers(&parameters(), 0.1, 0.2) {
        optimizer.set_lr(0.0);
        assert_eq!(rates(&*optimizer), [0.0, 0.0]);
        optimizer.set_lr(0.1);
        assert_eq!(rates(&*optimizer), [0.1, 0.2], "{}", optimizer.name());
    }
}

/// The smallest rate underflows the second group's; thousands of roundings in between leave no trace.
#[test]
fn no_history_of_rates_changes_the_ratios() {
    for mut optimizer in optimizers(&parameters(), 0.3, 0.007) {
        optimizer.set_lr(f64::from_bits(1));
        assert_eq!(rates(&*optimizer)[1], 0.0);
        let schedule = Schedule::cosine(0.3, 0.0, 1000).with_warm_up(10);
        for t in 0..2000 {
            optimizer.set_lr(schedule.lr(t));
        }
        optimizer.set_lr(0.3);
        assert_eq!(rates(&*optimizer), [0.3, 0.007], "{}", optimizer.name());
    }
}

#[test]
fn the_updates_have_the_ratio() {
    let [p, q] = parameters();
    let mut sgd = Sgd::new(vec![p.clone()], 0.1).group(vec![q.clone()], 0.2);
    for lr in [0.0, 0.05] {
        sgd.set_lr(lr);
        sgd.step(&(&p + &q).backward());
    }
    assert_eq!((p.item(), q.item()), (0.95, 0.9));
}

#[test]
fn rates_that_are_all_0_stay_equal() {
    for mut optimizer in optimizers(&parameters(), 0.0, 0.0) {
        optimizer.set_lr(0.1);
        assert_eq!(rates(&*optimizer), [0.1, 0.1]);
    }
}

#[test]
#[should_panic(
    expected = "sgd: the first group was built with lr 0, so there is no ratio of the other rates to it\n  rule: build the first group with the lr that set_lr changes"
)]
fn without_a_ratio_the_rates_cannot_be_scaled() {
    let [mut sgd, ..] = optimizers(&parameters(), 0.0, 0.1);
    sgd.set_lr(0.2);
}

#[test]
fn settings_that_only_one_side_has_are_named() {
    let [p, _] = parameters();
    let mut sgd = Sgd::new(vec![p.clone()], 0.1);
    let (mut more, mut less) = (sgd.groups(), sgd.groups());
    more[0].hyperparameters.insert("rho".into(), 0.9);
    less[0].hyperparameters.remove("momentum");
    let mut differences = |groups: &[GroupSettings]| sgd.restore(Vec::new(), &[0], groups).unwrap_err();
    assert_eq!(differences(&more), ["rho of group 0: saved 0.9, this optimizer has none"]);
    assert_eq!(differences(&less), ["momentum of group 0: not saved, this optimizer has 0"]);
}
