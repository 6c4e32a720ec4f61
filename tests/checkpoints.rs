//! Checkpoints: resuming, and the errors for mismatches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chainrule::nn::GroupSettings;
use chainrule::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use tempfile::TempDir;

/// A net with everything that a checkpoint saves: weights, running statistics, dropout's draw count.
struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    dropout: Dropout,
    fc: Linear,
}

impl Module for Net {
    children!(conv, norm, dropout, fc);

    fn forward(&self, x: &Var) -> Var {
        let x = self.norm.forward(&self.conv.forward(x)).relu().max_pool2d(2);
        self.fc.forward(&self.dropout.forward(&x.flatten()))
    }
}

fn net(seed: u64, channels: usize) -> Net {
    let mut rng = Rng::seed(seed);
    Net {
        conv: Conv2d::builder(1, channels, 3).padding(1).build(&mut rng),
        norm: BatchNorm2d::new(channels),
        dropout: Dropout::new(0.5, &mut rng),
        fc: Linear::new(channels * 4, 3, &mut rng),
    }
}

fn steps(net: &Net, optimizer: &mut dyn Optimizer, from: u32, to: u32) {
    for t in from..to {
        let x = Tensor::random_normal(Key::new(1, Purpose::USER).at_step(t), [6, 1, 4, 4]);
        let loss = net.forward(&Var::constant(x)).cross_entropy(&[0, 1, 2, 0, 1, 2].into());
        optimizer.step(&loss.backward());
    }
}

fn optimizers(parameters: &[Var]) -> [Box<dyn Optimizer>; 7] {
    let p = || parameters.to_vec();
    [
        Box::new(Sgd::new(p(), 0.1).momentum(0.9)),
        Box::new(Adam::new(p(), 0.01)),
        Box::new(AdamW::new(p(), 0.01)),
        Box::new(RmsProp::new(p(), 0.01)),
        Box::new(RmsProp::new(p(), 0.01).momentum(0.9).centered(true)),
        Box::new(Adagrad::new(p(), 0.1).lr_decay(0.1)),
        Box::new(NAdam::new(p(), 0.01)),
    ]
}

#[test]
fn a_restored_run_ends_with_the_same_bits() {
    let directory = TempDir::new().expect("a temporary directory");
    for kind in 0..7 {
        let whole = net(0, 4);
        let mut optimizer = optimizers(&whole.parameters()).into_iter().nth(kind).expect("seven kinds");
        steps(&whole, &mut *optimizer, 0, 3);
        let path = directory.path().join("state.safetensors");
        let progress = Progress { seed: 7, epoch: 1, batch: 2, step: 3, ..Progress::default() };
        Checkpoint::capture(&whole, &*optimizer, &progress).save(&path).expect("it is saved");
        steps(&whole, &mut *optimizer, 3, 6);

        // A different seed: everything must come from the file except dropout's key, which belongs to the run.
        let again = net(0, 4);
        again.conv.weight.update(|w| *w = Tensor::zeros(w.shape()));
        let mut optimizer = optimizers(&again.parameters()).into_iter().nth(kind).expect("seven kinds");
        let restored = Checkpoint::load(&path).expect("it is read").restore(&again, &mut *optimizer).expect("it fits");
        assert_eq!(restored, progress);
        assert_ne!(weights_sha256(&again), weights_sha256(&whole));
        steps(&again, &mut *optimizer, 3, 6);
        assert_eq!(weights_sha256(&again), weights_sha256(&whole), "optimizer {kind}");
    }
}

#[test]
fn a_mismatched_net_or_optimizer_is_reported_and_changes_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state.safetensors");
    let small = net(0, 4);
    let mut adam = Adam::new(small.parameters(), 0.01);
    steps(&small, &mut adam, 0, 1);
    Checkpoint::capture(&small, &adam, &Progress::default()).save(&path).expect("it is saved");
    let state = Checkpoint::load(&path).expect("it is read");

    let large = net(0, 5);
    let before = weights_sha256(&large);
    let text = state.restore(&large, &mut Adam::new(large.parameters(), 0.01)).expect_err("other shapes").to_string();
    for piece in [
        "state.safetensors",
        "does not match the net",
        "mismatch    conv.weight: saved (4, 1, 3, 3), the net has (5, 1, 3, 3)",
        "use the same net",
    ] {
        assert!(text.contains(piece), "no '{piece}' in:\n{text}");
    }
    assert_eq!(weights_sha256(&large), before);

    let mut rng = Rng::seed(0);
    let other = Sequential::<f32>::new().add(Linear::new(4, 3, &mut rng));
    let text = state.restore(&other, &mut Adam::new(other.parameters(), 0.01)).expect_err("another net").to_string();
    assert!(text.contains("'adam'") || text.contains("missing     0.weight (3, 4)"), "{text}");
    let text = load_weights(&other, &path).expect_err("another net").to_string();
    assert!(text.contains("missing     0.weight (3, 4)") && text.contains("unexpected  conv.weight"), "{text}");

    let text =
        state.restore(&small, &mut Sgd::new(small.parameters(), 0.1)).expect_err("another optimizer").to_string();
    assert!(text.contains("'adam'") && text.contains("'sgd'"), "{text}");

    let whole = fs::read(&path).expect("the state");
    for (bytes, why) in [(&whole[..whole.len() / 2], "half"), (&b"not a state"[..], "text"), (&[][..], "empty")] {
        fs::write(&path, bytes).expect("a damaged file");
        let text = Checkpoint::load(&path).expect_err(why).to_string();
        assert!(text.contains("state.safetensors") && text.contains("damaged"), "{text}");
    }
    let missing = directory.path().join("missing");
    assert!(Checkpoint::load(&missing).expect_err("nothing there").to_string().contains("cannot read"));
}

#[test]
fn load_weights_reads_a_file_of_plain_names() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state.safetensors");
    let (a, b) = (net(1, 4), net(2, 4));
    Checkpoint::capture(&a, &Sgd::new(a.parameters(), 0.1), &Progress::default()).save(&path).expect("it is saved");
    load_weights(&b, &path).expect("it fits");
    assert_eq!(weights_sha256(&a), weights_sha256(&b));
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 1, "no temporary file remains");
}

/// The tensors of a file: shapes and numbers.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A checkpoint's file, with its tensors and its header changed.
fn edit(path: &Path, change: impl FnOnce(&mut Tensors, &mut Value)) {
    let bytes = fs::read(path).expect("the state");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
    let mut metadata = metadata.metadata().clone().expect("metadata");
    let mut header = serde_json::from_str(&metadata["chainrule"]).expect("JSON");
    let file = SafeTensors::deserialize(&bytes).expect("tensors");
    let numbers = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let mut tensors =
        file.tensors().into_iter().map(|(name, x)| (name, (x.shape().to_vec(), numbers(x.data())))).collect();
    change(&mut tensors, &mut header);
    metadata.insert("chainrule".into(), header.to_string());
    let bytes: BTreeMap<&String, Vec<u8>> =
        tensors.iter().map(|(name, (_, x))| (name, x.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let views = tensors
        .iter()
        .map(|(name, (shape, _))| (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).expect("a tensor")));
    fs::write(path, safetensors::serialize(views, Some(metadata)).expect("a file")).expect("it is written");
}

/// Everything that a restore changes: weights, optimizer state, step counts and groups.
fn whole(net: &Net, optimizer: &dyn Optimizer) -> (String, String, Vec<u64>, Vec<GroupSettings>) {
    let state: Vec<_> = optimizer.state().into_iter().map(|(i, name, x)| (i, name, x.to_vec())).collect();
    (weights_sha256(net), format!("{state:?}"), optimizer.steps(), optimizer.groups())
}

/// Checks that an edited checkpoint of two steps is refused with this text and changes nothing.
fn refused(
    build: fn(&[Var]) -> Box<dyn Optimizer>,
    change: impl FnOnce(&mut Tensors, &mut Value),
    now: fn(&[Var]) -> Box<dyn Optimizer>,
    expected: &str,
) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state");
    let saved = net(0, 4);
    let mut optimizer = build(&saved.parameters());
    steps(&saved, &mut *optimizer, 0, 2);
    Checkpoint::capture(&saved, &*optimizer, &Progress::default()).save(&path).expect("it is saved");
    edit(&path, change);

    let other = net(1, 4);
    let mut optimizer = now(&other.parameters());
    steps(&other, &mut *optimizer, 0, 1);
    let before = whole(&other, &*optimizer);
    let error = Checkpoint::load(&path).expect("it is read").restore(&other, &mut *optimizer).expect_err(expected);
    let text = format!(
        "{}: the optimizer's state does not fit\n{expected}\nbuild the optimizer as when the file was saved, or load only the weights",
        path.display()
    );
    assert_eq!(error.to_string(), text);
    assert!(whole(&other, &*optimizer) == before, "something changed: {expected}");
}

fn adam(parameters: &[Var]) -> Box<dyn Optimizer> {
    Box::new(Adam::new(parameters.to_vec(), 0.01))
}

fn momentum(parameters: &[Var]) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(parameters.to_vec(), 0.1).momentum(0.9))
}

#[test]
fn optimizer_state_that_does_not_fit_is_named_and_changes_nothing() {
    let edited = |build, expected: &str, change: fn(&mut Tensors, &mut Value)| {
        refused(build, change, build, expected);
    };
    edited(adam, "  mismatch    fc.bias.exp_avg: saved (2,), the parameter has (3,)", |tensors, _| {
        tensors.insert("optimizer.fc.bias.exp_avg".into(), (vec![2], vec![0.0; 2]));
    });
    edited(adam, "  missing     fc.weight.exp_avg_sq (3, 16)", |tensors, _| {
        tensors.remove("optimizer.fc.weight.exp_avg_sq");
    });
    edited(momentum, "  missing     conv.bias.momentum_buffer (4,)", |tensors, _| {
        tensors.remove("optimizer.conv.bias.momentum_buffer");
    });
    edited(momentum, "  unexpected  conv.bias.exp_avg", |tensors, _| {
        tensors.insert("optimizer.conv.bias.exp_avg".into(), (vec![4], vec![0.0; 4]));
    });
    edited(momentum, "  unexpected  fc2.weight.momentum_buffer: the optimizer has no such parameter", |tensors, _| {
        tensors.insert("optimizer.fc2.weight.momentum_buffer".into(), (vec![4], vec![0.0; 4]));
    });
    // A parameter without a step has no state.
    edited(adam, "  unexpected  conv.weight.exp_avg\n  unexpected  conv.weight.exp_avg_sq", |_, header| {
        header["steps"][0] = 0.into();
    });
    edited(adam, "  the state is of 5 parameters, this optimizer has 6", |_, header| {
        header["steps"].as_array_mut().expect("the steps").pop();
    });
    edited(momentum, "  parameters: saved 5, this optimizer has 6", |_, header| {
        header["parameters"].as_array_mut().expect("the names").pop();
    });
    edited(adam, "  lr of group 0: saved -1, but 0 ≤ lr < ∞", |_, header| {
        header["groups"][0]["lr"] = (-1.0).into();
    });
}

#[test]
fn other_hyperparameters_are_named_and_change_nothing() {
    let nothing = |_: &mut Tensors, _: &mut Value| {};
    refused(
        adam,
        nothing,
        |p| Box::new(Adam::new(p.to_vec(), 0.01).betas(0.8, 0.999).eps(1e-6)),
        "  beta1 of group 0: saved 0.9, this optimizer has 0.8\n  eps of group 0: saved 0.00000001, this optimizer has 0.000001",
    );
    refused(
        momentum,
        nothing,
        |p| Box::new(Sgd::new(p.to_vec(), 0.1).momentum(0.9).nesterov(true)),
        "  nesterov of group 0: saved 0, this optimizer has 1",
    );
    refused(
        momentum,
        nothing,
        |p| Box::new(Sgd::new(p.to_vec(), 0.1)),
        "  momentum of group 0: saved 0.9, this optimizer has 0",
    );
    refused(
        momentum,
        nothing,
        |p| Box::new(Sgd::new(p[..5].to_vec(), 0.1).momentum(0.9).group(p[5..].to_vec(), 0.2)),
        "  parameter groups: saved 1, this optimizer has 2",
    );
    refused(
        |p| Box::new(Adam::new(p[..5].to_vec(), 0.1).group(p[5..].to_vec(), 0.2)),
        nothing,
        |p| Box::new(Adam::new(p[..4].to_vec(), 0.1).group(p[4..].to_vec(), 0.2)),
        "  parameters of group 0: saved 5, this optimizer has 4\n  parameters of group 1: saved 1, this optimizer has 2",
    );
}

/// Groups of the same sizes with other members.
#[test]
fn parameters_in_another_group_are_named_and_change_nothing() {
    refused(
        |p| Box::new(Sgd::new(p[..5].to_vec(), 0.1).group(p[5..].to_vec(), 0.2)),
        |_, _| {},
        |p| Box::new(Sgd::new([&p[..4], &p[5..]].concat(), 0.1).group(p[4..5].to_vec(), 0.2)),
        "  parameter   saved fc.weight, this optimizer has fc.bias there\n  parameter   saved fc.bias, this optimizer has fc.weight there",
    );
}

/// A net that draws masks where the saved one did not would not resume with the same bits.
#[test]
fn counters_that_do_not_fit_are_named() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state");
    let fc = || Linear::new(2, 2, &mut Rng::seed(0));
    let without = Sequential::<f32>::new().add(fc());
    let with = Sequential::new().add(fc()).add(Dropout::new(0.5, &mut Rng::seed(1)));
    for (saved, other, line) in [(&without, &with, "missing     1.draws"), (&with, &without, "unexpected  1.draws")] {
        let sgd = |net: &Sequential| Sgd::new(net.parameters(), 0.1);
        Checkpoint::capture(saved, &sgd(saved), &Progress::default()).save(&path).expect("it is saved");
        let error = Checkpoint::load(&path).expect("it is read").restore(other, &mut sgd(other)).expect_err(line);
        let text = format!(
            "{}: does not match the net\n  {line}\nuse the same net as when the file was saved, or load what fits with LoadOptions::strict(false)",
            path.display()
        );
        assert_eq!(error.to_string(), text);
    }
}

/// A checkpoint that is saved while the rate is 0 keeps the ratios of the groups, as the saved run had them.
#[test]
fn groups_keep_their_ratios_over_a_checkpoint() {
    let build = |net: &Net, first, second| {
        let p = net.parameters();
        Sgd::new(p[1..].to_vec(), first).group(p[..1].to_vec(), second)
    };
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state");
    let saved = net(0, 4);
    let mut optimizer = build(&saved, 0.1, 0.2);
    optimizer.set_lr(0.0);
    Checkpoint::capture(&saved, &optimizer, &Progress::default()).save(&path).expect("it is saved");
    let mut again = build(&saved, 0.1, 0.1);
    Checkpoint::load(&path).expect("it is read").restore(&saved, &mut again).expect("it fits");
    let rates = |optimizer: &Sgd| optimizer.groups().iter().map(|group| group.lr).collect::<Vec<f64>>();
    assert_eq!(rates(&again), [0.0, 0.0]);
    again.set_lr(0.3);
    optimizer.set_lr(0.3);
    assert_eq!(rates(&again), rates(&optimizer));
    assert_eq!(rates(&again), [0.3, 0.2 * (0.3 / 0.1)]);
}

/// Parameters that are listed twice, or whose names extend each other, keep their own state.
#[test]
fn state_belongs_to_one_parameter() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state");
    let none = Sequential::<f64>::new();
    let p = ["a", "a.b", "a"].map(|name| Var64::parameter(name, 1.0));
    let [x, y, z] = &p;
    let build = || Sgd::new(vec![x.clone(), y.clone(), z.clone(), x.clone()], 0.1).momentum(0.5);
    let mut optimizer = build();
    optimizer.step(&(x + 2.0 * y + 3.0 * z).backward());
    optimizer.step(&(x + 2.0 * y + 3.0 * z).backward());
    Checkpoint::capture(&none, &optimizer, &Progress::default()).save(&path).expect("it is saved");
    let mut again = build();
    Checkpoint::load(&path).expect("it is read").restore(&none, &mut again).expect("it fits");
    let values = |optimizer: &Sgd<f64>| optimizer.state().iter().map(|(i, _, v)| (*i, v.item())).collect::<Vec<_>>();
    assert_eq!(values(&again), [(0, 1.5), (1, 3.0), (2, 4.5), (3, 1.5)]);
}
