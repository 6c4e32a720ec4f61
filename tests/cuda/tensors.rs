//! Tensors on a GPU: transfers, views, indexing, random numbers, integers, and index errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule::data::{Images, Loader, Normalize, RandomCrop, RandomHorizontalFlip, Transform};
use chainrule_autograd::{Var, Var64, VarOf};
use chainrule_tensor::{Binary, Compare, Device, Float, Key, Purpose, Tensor, Tensor64, TensorOf, cuda};

use crate::GPU;

const KEY: Key = Key::new(0x1234_5678_9abc, Purpose::USER);

/// x + x.
pub fn twice(x: &Tensor) -> Tensor {
    x.binary(Binary::Add, x)
}

/// The message of a panic.
pub fn panic_of(body: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("it panics");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).into()))
        .expect("a text")
}

pub fn transfers() {
    let x = Tensor::random_normal(KEY, [3, 4, 5, 6]);
    for view in [x.clone(), x.channels_last(), x.transpose(1, 3), x.slice(2, 4, 3, -2), x.narrow(0, 1..2)] {
        let there = view.to(GPU);
        assert_eq!((there.device(), there.shape()), (GPU, view.shape()));
        assert_eq!(there.to_vec(), view.to_vec());
        assert_eq!(there.transpose(0, 2).reshape([view.numel()]).to_vec(), view.transpose(0, 2).to_vec());
        assert_eq!(there.at(&[0, 1, 2, 3]), view.at(&[0, 1, 2, 3]));
    }
    assert!(x.channels_last().to(GPU).layout().strides()[1] == 1, "a copy keeps the order of axes");
    for n in [0, 1, 15, 16, 17, 100_000] {
        let x = TensorOf::<u8>::from_fn(n, |i| i as u8);
        assert_eq!(x.to(GPU).to_vec(), x.to_vec(), "{n} bytes");
    }
    // Value semantics: a clone does not see the other's changes.
    let mut y = x.to(GPU);
    let before = y.clone();
    y.add_assign(&before);
    assert_eq!(before.to_vec(), x.to_vec());
    assert_eq!(y.at(&[1, 2, 3, 4]), 2.0 * x.at(&[1, 2, 3, 4]));
    y.fill(1.5);
    y.assign(0, 1..2, &x.to(GPU).narrow(0, 2..3));
    assert_eq!((y.at(&[0, 0, 0, 0]), y.at(&[1, 1, 1, 1])), (1.5, x.at(&[2, 1, 1, 1])));
    assert_eq!(format!("{}", Tensor::arange(3).to(GPU)), format!("{}", Tensor::arange(3)));
}

/// The device may read and write the host's memory late: what the host does with it meanwhile does not matter.
pub fn pageable_memory() {
    // Below and above the size of a staging buffer, and whole and broken multiples of it.
    for bytes in [4 << 10, 16 << 20, (16 << 20) + 4, 48 << 20, (40 << 20) + 12] {
        let n = bytes / 4;
        let there = {
            let x = Tensor::from_fn(n, |i| i as f32);
            x.to(GPU)
        };
        // The pool of buffers gives the memory of `x` to the next tensor of its size.
        let next = Tensor::full(n, -1.0);
        let back = there.to_vec();
        assert!(
            back.iter().enumerate().all(|(i, &v)| v == i as f32),
            "{bytes} bytes: uploaded after they were overwritten"
        );
        // A download into pageable memory is complete when it returns.
        let copy = there.to(Device::Cpu);
        assert_eq!((copy.at(&[0]), copy.at(&[n - 1])), (0.0, (n - 1) as f32));
        drop(next);
    }
}

/// Uploads of more than the staging buffers hold at once.
pub fn many_uploads() {
    let pieces: Vec<Tensor> = (0..18).map(|k| Tensor::full(4 << 20, k as f32).to(GPU)).collect();
    for (k, piece) in pieces.iter().enumerate() {
        assert_eq!([0, 1 << 20, (4 << 20) - 1].map(|i| piece.at(&[i])), [k as f32; 3]);
    }
}

pub fn mixed_devices() {
    let (x, one) = (Tensor::ones([2, 2]).to(GPU), Tensor::scalar(2.0));
    assert_eq!((Var::constant(&x) * Var::constant(one)).value().to_vec(), [2.0; 4]);
    let text = panic_of(|| drop(x.matmul(&Tensor::ones([2, 2]))));
    assert!(text.contains("cuda:0") && text.contains("on cpu") && text.contains("to(device)"), "{text}");
    let text = panic_of(|| x.clone().make_mut().fill(0.0));
    assert!(text.contains("to(Device::Cpu)"), "{text}");
}

fn equal<T: Float>(here: &TensorOf<T>, there: &TensorOf<T>, tolerance: f64) {
    assert_eq!((here.shape(), there.device()), (there.shape(), GPU));
    for (a, b) in here.to_vec().into_iter().zip(there.to_vec()) {
        assert!((a - b).to_f64().abs() <= tolerance, "{a} on the CPU, {b} on the GPU");
    }
}

pub fn random_numbers() {
    fn check<T: Float>(tolerance: f64) {
        for n in [0usize, 1, 2, 3, 5, 1023, 10_000] {
            let mask = |device| TensorOf::<T>::dropout_mask(device, KEY, 0.4, n);
            equal(&mask(Device::Cpu), &mask(GPU), 0.0);
            let uniform = |device| TensorOf::<T>::random_uniform_on(device, KEY, n);
            equal(&uniform(Device::Cpu), &uniform(GPU), 0.0);
            let normal = |device| TensorOf::<T>::random_normal_on(device, KEY, n);
            equal(&normal(Device::Cpu), &normal(GPU), tolerance);
        }
    }
    check::<f32>(2e-6);
    check::<f64>(1e-14);
}

pub fn integers() {
    let x = TensorOf::<i32>::from([[5, -3, 5, 2], [7, 7, -9, 0]]);
    let there = x.to(GPU);
    for axes in [&[0][..], &[1], &[]] {
        assert_eq!(there.max(axes, false).to_vec(), x.max(axes, false).to_vec());
        assert_eq!(there.min(axes, true).to_vec(), x.min(axes, true).to_vec());
    }
    assert_eq!(there.argmax(1).to_vec(), [0, 0]);
    let ((values, indices), (there_values, there_indices)) = (x.topk(3, 1), there.topk(3, 1));
    assert_eq!((values.to_vec(), indices.to_vec()), (there_values.to_vec(), there_indices.to_vec()));
    let odd = [f32::NAN, f32::INFINITY, -1e20, 255.7, -0.9, 3e9, 1.5, -2.5];
    let odd = Tensor::from_slice(&odd, odd.len());
    assert_eq!(odd.to(GPU).to_i32().to_vec(), odd.to_i32().to_vec());
    assert_eq!(odd.to(GPU).to_u8().to_vec(), odd.to_u8().to_vec());
    assert_eq!(odd.to(GPU).argmax(0).item(), odd.argmax(0).item());
    assert_eq!(odd.to(GPU).topk(8, 0).1.to_vec(), odd.topk(8, 0).1.to_vec());
    assert!(odd.to(GPU).max(&[], false).item().is_nan());
    for op in
        [Compare::Equal, Compare::NotEqual, Compare::Less, Compare::LessEqual, Compare::Greater, Compare::GreaterEqual]
    {
        let row = TensorOf::<i32>::from([5, 0, -9, 2]);
        assert_eq!(there.compare(op, &row.to(GPU)).to_vec(), x.compare(op, &row).to_vec(), "{op:?}");
    }
}

/// A loader's batches are the same, whether the CPU or the GPU prepares them.
pub fn image_batches() {
    let images = |n: usize, [c, h, w]: [usize; 3]| {
        let pixels = (0..n * c * h * w).map(|i| (i * 89 % 251) as u8).collect();
        let labels = (0..n).map(|i| (i % 7) as u8).collect();
        Images::new(pixels, [n, c, h, w], labels, (0..7).map(|i| i.to_string()).collect()).expect("they fit")
    };
    for (set, normalize) in [
        (images(23, [1, 9, 7]), Normalize::to_symmetric()),
        (images(30, [3, 8, 8]), Normalize::new(&[(0.5, 0.25), (0.4, 0.2), (0.3, 0.1)])),
    ] {
        for transforms in [0, 1, 2, 3] {
            let loader = || {
                let all: [Box<dyn Transform>; 3] =
                    [Box::new(RandomCrop::padded(2)), Box::new(RandomHorizontalFlip), Box::new(RandomCrop::padded(1))];
                let some = all.into_iter().take(transforms).collect();
                Loader::new(set.clone(), 5).shuffle(3).normalize(normalize.clone()).transforms(some)
            };
            for epoch in 0..2 {
                let loader = || if epoch == 1 { loader().mixup(0.4) } else { loader() };
                let there = loader().prefetch(1).device(GPU).epoch(epoch);
                for (a, b) in loader().epoch(epoch).zip(there) {
                    assert_eq!((b.images.device(), b.labels.device()), (GPU, GPU));
                    assert_eq!(a.labels.to_vec(), b.labels.to_vec());
                    assert_eq!((a.targets.is_some(), b.targets.is_some()), (epoch == 1, epoch == 1));
                    if let (Some(here), Some(there)) = (&a.targets, &b.targets) {
                        assert_eq!((there.device(), there.to_vec()), (GPU, here.to_vec()));
                    }
                    assert_eq!(a.images.to_vec(), b.images.to_vec(), "{transforms} transforms, batch {}", a.index);
                }
            }
        }
    }
}

/// A label or index out of range is reported once, by the next read.
pub fn index_errors() {
    let x = Tensor64::ones([2, 3]).to(GPU);
    let loss = Var64::constant(&x).cross_entropy(&TensorOf::from([1, 3]).to(GPU));
    let text = panic_of(|| assert!(loss.item() > 0.0));
    assert!(text.contains("a label, 3, is out of range"), "{text}");
    assert_eq!(x.to_vec(), [1.0; 6], "the error is reported once");
    let y = x.gather(1, &TensorOf::from([[0], [-1]]).to(GPU));
    let text = panic_of(|| drop(y.to_vec()));
    assert!(text.contains("an index, -1, is out of range"), "{text}");
    let y = x.scatter_add(1, &TensorOf::from([[0, 1, 7], [0, 1, 2]]).to(GPU), [2, 3]);
    assert!(panic_of(|| drop(y.to_vec())).contains("an index, 7"));
}

/// Only reading a value synchronizes.
pub fn synchronization() {
    let synchronizations = || cuda::stats(0).expect("it is open").synchronizations;
    let x = Tensor::ones([64, 64]).to(GPU);
    let w = VarOf::parameter("w", Tensor::ones([64, 10]).to(GPU));
    let before = synchronizations();
    let loss = Var::constant(&x).matmul(&w).cross_entropy(&TensorOf::<i32>::zeros(64).to(GPU));
    let gradients = loss.backward();
    assert_eq!(synchronizations(), before, "a step does not synchronize");
    let _ = loss.item();
    assert_eq!(synchronizations(), before + 1);
    assert!(gradients.global_norm() > 0.0);
    assert_eq!(synchronizations(), before + 2, "a norm is a scalar");
}
