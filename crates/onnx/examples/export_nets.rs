//! Exports the nets of `chainrule-nn` and others with inputs and outputs, for `scripts/check_onnx.sh`.
//!
//! `export_nets DIR` writes `DIR/NET.onnx`, and for batch sizes 1 and 5 `DIR/NET.N.input.pb` and `DIR/NET.N.output.pb`.

#[path = "../tests/nets/mod.rs"]
mod nets;

use std::fs;
use std::path::PathBuf;

use chainrule_autograd::no_grad;
use chainrule_nn::nets::{resnet18, resnet18_cifar, vgg16_bn_cifar};
use chainrule_onnx::{OnnxValue, export};
use chainrule_tensor::{Key, Purpose, Rng, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: export_nets DIR")?);
    fs::create_dir_all(&folder)?;
    for (name, net, image) in nets::all().into_iter().chain(large()) {
        let [c, h, w] = image;
        export(&*net, [1, c, h, w])?.save(folder.join(format!("{name}.onnx")))?;
        net.eval();
        for batch in [1, 5] {
            let x = Tensor::random_normal(Key::new(batch as u64, Purpose::USER), [batch, c, h, w]);
            let y = no_grad(|| net.forward(&(&x).into()));
            let path = |what: &str| folder.join(format!("{name}.{batch}.{what}.pb"));
            fs::write(path("input"), OnnxValue::Float(x.into()).to_tensor_bytes())?;
            fs::write(path("output"), OnnxValue::Float(y).to_tensor_bytes())?;
        }
        println!("{name}");
    }
    Ok(())
}

/// Nets of many operations.
fn large() -> Vec<nets::Case> {
    let mut rng = Rng::seed(8);
    let cases: Vec<nets::Case> = vec![
        ("resnet18_cifar", Box::new(resnet18_cifar(10, &mut rng)), [3, 32, 32]),
        ("resnet18", Box::new(resnet18(1000, &mut rng)), [3, 224, 224]),
        ("vgg16_bn_cifar", Box::new(vgg16_bn_cifar(10, &mut rng)), [3, 32, 32]),
    ];
    for (_, net, image) in &cases {
        nets::warm(&**net, *image);
    }
    cases
}
