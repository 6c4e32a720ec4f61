//! `output_shape` and `forward` agree: what one accepts the other computes with that shape, what one refuses the other refuses
//! with the same text.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule_autograd::{Var, VarOf};
use chainrule_nn::{Add, BatchNorm1d, BatchNorm2d, ConvTranspose2d, Module};
use chainrule_tensor::{Rng, Shape, Tensor};

/// The shape that `forward` computes, or the text of its panic.
fn forward(layer: &dyn Module, x: Shape) -> Result<Shape, String> {
    let x: VarOf<f32> = Var::parameter("x", Tensor::ones(x));
    catch_unwind(AssertUnwindSafe(|| {
        let y = layer.forward(&x);
        // The gradients exist too.
        let gradients = y.sum().backward();
        assert!(!y.requires_grad() || gradients.get(&x).is_none_or(|dx| dx.shape() == x.shape()));
        y.shape()
    }))
    .map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "no text".into(), |text| (*text).to_owned()),
    })
}

#[test]
fn a_residual_agrees_too() {
    for (x, r) in [(&[2, 3][..], &[2, 3][..]), (&[2, 3], &[3]), (&[2, 1], &[1, 4]), (&[2, 3], &[4]), (&[0, 3], &[1])] {
        let residual = Var::constant(Tensor::ones(Shape::new(r)));
        let (add, x) = (Add(&residual), Shape::new(x));
        let said = add.output_shape(x).map_err(|error| error.to_string());
        assert_eq!(said, forward(&add, x), "{x} and {r:?}");
    }
}

#[test]
fn batch_normalization_of_single_elements_is_refused_by_both() {
    let (flat, images) = (BatchNorm1d::new(3), BatchNorm2d::new(3));
    let layers: [(&dyn Module, Shape); 4] = [
        (&flat, Shape::from([1, 3])),
        (&images, Shape::from([1, 3, 1, 1])),
        (&images, Shape::from([0, 3, 4, 4])),
        (&images, Shape::from([2, 3, 1, 1])),
    ];
    for (i, (layer, x)) in layers.into_iter().enumerate() {
        let said = layer.output_shape(x).map_err(|error| error.to_string());
        assert_eq!(said, forward(layer, x), "{x}");
        assert_eq!(said.is_ok(), i == 3, "{said:?}");
    }
    let text = images.output_shape(Shape::from([1, 3, 1, 1])).expect_err("a single element").to_string();
    assert_eq!(
        text,
        "BatchNorm2d: training needs more than one element of each channel\n  input = (1, 3, 1, 1)\n  rule: a larger batch, or eval() first"
    );
    images.eval();
    assert_eq!(images.output_shape(Shape::from([1, 3, 1, 1])).expect("at inference"), [1, 3, 1, 1]);
}

/// PyTorch gives 6×6, 6×8 and 8×8.
#[test]
fn an_output_padding_between_stride_and_dilation() {
    let rng = &mut Rng::seed(1);
    for (dilation, extra, expected) in [([2, 2], [1, 1], [6, 6]), ([2, 4], [1, 1], [6, 8]), ([3, 3], [2, 2], [8, 8])] {
        let layer: ConvTranspose2d =
            ConvTranspose2d::builder(1, 1, 2).dilation(dilation).output_padding(extra).build(rng);
        let x = Shape::from([1, 1, 3, 3]);
        let y = layer.forward(&Var::constant(Tensor::ones(x)));
        assert_eq!(y.shape(), [1, 1, expected[0], expected[1]]);
        assert_eq!(layer.output_shape(x).expect("it computes"), y.shape());
        // Nothing reaches the added rows but the bias.
        let bias = layer.bias.as_ref().expect("it has one").value().item();
        let last = y.value().narrow(2, expected[0] - extra[0]..expected[0]).to_vec();
        assert!(last.iter().all(|&v| v == bias), "{last:?}");
    }
}
