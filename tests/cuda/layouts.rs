//! Tiled and plain copies between layouts, compared with the CPU.

use chainrule_tensor::cuda::{self, Precision, set_precision};
use chainrule_tensor::{Conv2dOptions, Device, Element, Key, Purpose, Tensor, TensorOf};

use crate::GPU;

/// N, C, H, W: too short for tiles, shorter than a tile, tiles with a remainder, whole tiles.
const SHAPES: [[usize; 4]; 8] = [
    [2, 1, 7, 7],
    [3, 3, 8, 5],
    [3, 37, 1, 1],
    [5, 8, 2, 4],
    [3, 37, 7, 7],
    [2, 33, 33, 32],
    [1, 40, 3, 11],
    [1, 64, 32, 32],
];

/// Values that every element type can hold, different for neighbors along each axis.
fn numbers<T: Element>(shape: [usize; 4]) -> TensorOf<T> {
    TensorOf::from_fn(shape, |i| T::from_f64((i * 89 % 251) as f64))
}

#[track_caller]
fn equal<T: Element>(there: &TensorOf<T>, here: &TensorOf<T>) {
    assert_eq!(there.device(), GPU);
    assert!(there == here, "{}: {:?} differs from {:?}", T::NAME, there.layout(), here.layout());
}

/// Parts of images: non-contiguous rows, skipped, reversed, transposed and repeated elements.
fn views<T: Element>(x: &TensorOf<T>) -> Vec<TensorOf<T>> {
    let last = x.channels_last();
    vec![
        last.narrow(0, 1..3),
        last.narrow(1, 2..30),
        last.narrow(2, 1..9).narrow(3, 3..12),
        last.slice(1, 35, 17, -2),
        last.slice(2, 1, 6, 2),
        last.slice(3, 12, 13, -1),
        last.narrow(1, 0..1).broadcast_to([3, 9, 13, 13]),
        last.narrow(0, 2..3).broadcast_to([4, 37, 13, 13]),
        x.narrow(1, 4..33),
        x.narrow(3, 1..12).permute(&[3, 0, 2, 1]),
        x.permute(&[2, 3, 1, 0]),
        x.transpose(1, 3),
    ]
}

fn copies<T: Element>() {
    for shape in SHAPES {
        let x = numbers::<T>(shape);
        for from in [&x, &x.channels_last()] {
            let there = from.to(GPU);
            equal(&there.contiguous(), &x);
            equal(&there.channels_last(), &x);
        }
    }
    let x = numbers::<T>([3, 37, 13, 13]);
    for (here, there) in views(&x).iter().zip(&views(&x.to(GPU))) {
        equal(&there.contiguous(), here);
        equal(&there.channels_last(), here);
    }
    // Into a part: the elements around it are unchanged.
    let written = |x: &TensorOf<T>| {
        let last = x.channels_last();
        [(x, &last), (&last, x)].map(|(to, from)| {
            let mut y = TensorOf::concat(&[to, to], 1);
            y.assign(1, 5..42, from);
            let mut z = to.transpose(0, 2);
            z.assign(2, 1..2, &from.transpose(0, 2).narrow(2, 0..1));
            [y, z]
        })
    };
    for (here, there) in written(&x).as_flattened().iter().zip(written(&x.to(GPU)).as_flattened()) {
        equal(there, here);
    }
}

pub fn every_type() {
    copies::<f32>();
    copies::<f64>();
    copies::<i32>();
    copies::<u8>();
}

/// A bf16 tensor is copied as bf16, in one kernel.
pub fn stored_as_bf16() {
    set_precision(Precision::Bf16);
    let random =
        |salt: u32, shape: &[usize]| Tensor::random_normal(Key::new(9, Purpose::USER).at_step(salt), shape).to(GPU);
    let launches = || cuda::stats(0).expect("it is open").launches;
    let last = random(1, &[3, 8, 13, 13]).conv2d(&random(2, &[40, 8, 3, 3]), None, Conv2dOptions::padded(1));
    let here = last.to(Device::Cpu);
    assert!(here.to_vec().iter().all(|v| v.to_bits() << 16 == 0), "the result is rounded to bf16");
    let parts: [fn(&Tensor) -> Tensor; 4] =
        [Tensor::clone, |x| x.narrow(1, 1..38), |x| x.slice(1, 38, 19, -2), |x| x.narrow(2, 3..4)];
    for part in parts {
        let (there, here) = (part(&last), part(&here));
        let before = launches();
        let copied = there.contiguous();
        assert_eq!(launches() - before, 1, "it is not converted to f32 first");
        equal(&copied, &here);
    }
    // Flattened for a linear layer it stays bf16: a copy, rounding the weights, the product, and the split-K sum.
    let (weights, before) = (random(6, &[16, 40 * 13 * 13]), launches());
    let y = last.flatten(1).linear(&weights, None);
    assert_eq!((launches() - before, y.shape()), (4, [3, 16].into()));
    // An f32 result of a linear layer and a bf16 input of a convolution with the same values give the same bits.
    let rows = random(3, &[3, 16]).matmul(&random(4, &[16, 40 * 49])).reshape([3, 40, 7, 7]);
    let wide = rows.to(Device::Cpu);
    assert!(wide.to_vec().iter().all(|v| v.to_bits() << 16 == 0), "the result is rounded to bf16");
    let w = random(5, &[8, 40, 3, 3]);
    let y = rows.conv2d(&w, None, Conv2dOptions::padded(1)).to_vec();
    for x in [wide.to(GPU), wide.channels_last().to(GPU), rows.channels_last()] {
        assert!(x.conv2d(&w, None, Conv2dOptions::padded(1)).to_vec() == y, "from {:?}", x.layout());
    }
}
