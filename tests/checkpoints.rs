//! Checkpoints: resuming, and the errors for mismatches.

use std::fs;

use chainrule::prelude::*;
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

fn optimizers(parameters: &[Var]) -> [Box<dyn Optimizer>; 3] {
    let p = || parameters.to_vec();
    [Box::new(Sgd::new(p(), 0.1).momentum(0.9)), Box::new(Adam::new(p(), 0.01)), Box::new(AdamW::new(p(), 0.01))]
}

#[test]
fn a_restored_run_ends_with_the_same_bits() {
    let directory = TempDir::new().expect("a temporary directory");
    for kind in 0..3 {
        let whole = net(0, 4);
        let mut optimizer = optimizers(&whole.parameters()).into_iter().nth(kind).expect("three kinds");
        steps(&whole, &mut *optimizer, 0, 3);
        let path = directory.path().join("state.safetensors");
        let progress = Progress { seed: 7, epoch: 1, batch: 2, step: 3, ..Progress::default() };
        Checkpoint::capture(&whole, &*optimizer, &progress).save(&path).expect("it is saved");
        steps(&whole, &mut *optimizer, 3, 6);

        // A different seed: everything must come from the file except dropout's key, which belongs to the run.
        let again = net(0, 4);
        again.conv.weight.update(|w| *w = Tensor::zeros(w.shape()));
        let mut optimizer = optimizers(&again.parameters()).into_iter().nth(kind).expect("three kinds");
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
