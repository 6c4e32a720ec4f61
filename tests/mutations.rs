//! Damaged checkpoints: an error or other weights, never a panic, and a net that is refused stays as it was.

use std::fs;

use chainrule::nn::Ema;
use chainrule::prelude::*;

use crate::mutator::each_damaged;

#[test]
fn damaged_checkpoints_are_errors_or_other_weights() {
    let net: Linear = Linear::new(3, 2, &mut Rng::seed(0));
    let mut optimizer = Adam::new(net.parameters(), 0.1);
    let mut ema = Ema::new(&net, 0.9);
    optimizer.step(&net.forward(&Var::constant([[1.0, 2.0, 3.0]])).sum().backward());
    ema.update(&net);
    let settings = [("--lr".to_owned(), "0.1".to_owned())].into();
    let progress = Progress { seed: 1, epoch: 2, batch: 3, step: 4, settings, ..Progress::default() };
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("state.safetensors");
    Checkpoint::capture(&net, &optimizer, &progress).with_average(&ema).save(&path).expect("room");
    let whole = fs::read(&path).expect("the checkpoint");

    let (mut restored, mut refused) = (0, 0);
    each_damaged(&whole, |bytes| {
        fs::write(&path, bytes).expect("room");
        let net: Linear = Linear::new(3, 2, &mut Rng::seed(1));
        let mut optimizer = Adam::new(net.parameters(), 0.1);
        let before = weights_sha256(&net);
        match Checkpoint::load(&path).and_then(|checkpoint| {
            checkpoint.restore(&net, &mut optimizer)?;
            checkpoint.restore_average(&mut Ema::new(&net, 0.9))
        }) {
            Ok(()) => restored += 1,
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
        // The weights alone, which may fit when the rest does not.
        let net: Linear = Linear::new(3, 2, &mut Rng::seed(1));
        if load_weights(&net, &path).is_err() {
            assert_eq!(weights_sha256(&net), before, "a net that is refused stays as it was");
        }
    });
    assert!(restored > 0 && refused > restored, "{restored} restored, {refused} refused");
}
