//! The fast net: its whitening, what it keeps frozen, and what its convolutions start as.

use std::collections::BTreeMap;

use chainrule_autograd::Var;
use chainrule_nn::Module;
use chainrule_nn::nets::{Fast, whitening_filters};
use chainrule_tensor::{Conv2dOptions, Key, Purpose, Rng, Tensor};

fn images(shape: [usize; 4]) -> Tensor {
    Tensor::random_normal(Key::new(7, Purpose::USER), shape)
}

#[test]
fn whitened_outputs_are_uncorrelated_with_mean_square_one() {
    // Neighboring pixels and channels that are correlated, as those of photographs are.
    let (noise, channels) = (images([20, 3, 17, 17]), Var::constant(images([3, 3, 1, 1])));
    let smooth = Var::constant(noise).conv2d(&channels, None, Conv2dOptions::default()).avg_pool2d(2);
    let x = (smooth * 5.0 + 1.0).value().clone();
    let filters = whitening_filters(&x);
    assert_eq!(filters.shape(), [24, 3, 2, 2]);
    let y = Var::constant(x).conv2d(&Var::constant(filters), None, Conv2dOptions::default());
    // (24, N·oh·ow)
    let rows = y.value().permute(&[1, 0, 2, 3]).to_vec();
    let per_filter = rows.len() / 24;
    let row = |i: usize| &rows[i * per_filter..(i + 1) * per_filter];
    let product = |i: usize, j: usize| {
        row(i).iter().zip(row(j)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / per_filter as f64
    };
    for i in 0..12 {
        for j in 0..12 {
            let expected = f64::from(u8::from(i == j));
            assert!((product(i, j) - expected).abs() < 0.02, "filters {i} and {j}: {}", product(i, j));
        }
        assert!(row(i).iter().zip(row(i + 12)).all(|(a, b)| *a == -b), "filter {i} and its negative");
    }
}

#[test]
fn the_fast_net_starts_as_the_identity_and_keeps_its_filters() {
    let net: Fast = Fast::new([32, 48, 24], 10, &mut Rng::seed(4));
    net.whiten(&images([4, 3, 8, 8]));
    let parameters: BTreeMap<String, Var> = net.named_parameters().into_iter().collect();
    let frozen: Vec<&str> =
        parameters.iter().filter(|(_, var)| !var.requires_grad()).map(|(name, _)| name.as_str()).collect();
    let norms = (0..3).flat_map(|block| [1, 2].map(|norm| format!("blocks.{block}.norm{norm}.weight")));
    assert_eq!(frozen, norms.chain(["whitening.weight".to_owned()]).collect::<Vec<_>>());
    assert_eq!(*parameters["whitening.weight"].value(), whitening_filters(&images([4, 3, 8, 8])));
    // 24 → 32: the first 24 outputs are the inputs; 48 → 24: all 24 outputs are inputs.
    for (name, copied) in [("blocks.0.conv1.weight", 24), ("blocks.0.conv2.weight", 32), ("blocks.2.conv1.weight", 24)]
    {
        let weight = &parameters[name];
        let inputs = weight.shape()[1];
        let x = images([1, inputs, 5, 5]);
        let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
        let y = Var::constant(x.clone()).conv2d(weight, None, options);
        assert_eq!(y.value().narrow(1, 0..copied).to_vec(), x.narrow(1, 0..copied).to_vec(), "{name}");
    }
}

#[test]
#[should_panic(expected = "whitening_filters: there are no patches of 2×2 in images of shape (4, 3, 1, 8)")]
fn images_without_patches_have_no_whitening_filters() {
    let _ = whitening_filters(&images([4, 3, 1, 8]));
}
