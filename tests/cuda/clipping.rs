//! The global gradient norm and clipping on the GPU, compared with the CPU.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Device, Float, Key, Purpose, Tensor, Tensor64, TensorOf, Unary, cuda};

use crate::GPU;

/// More tensors than two launches take: one without elements, one of several blocks, most of them small, some with their
/// axes transposed in memory.
fn numbers<T: Float>() -> Vec<TensorOf<T>> {
    let make = |i: usize| {
        let shape = match i {
            3 => vec![0, 5],
            10 => vec![3 * 2048 + 77],
            _ => vec![1 + i % 7, 2, 1 + i % 5],
        };
        let x = TensorOf::<T>::random_normal(Key::new(i as u64, Purpose::USER), shape);
        if i % 4 == 1 { x.permute(&[2, 0, 1]) } else { x }
    };
    (0..140).map(make).collect()
}

/// Gradients with the given values.
fn gradients<T: Float>(numbers: &[TensorOf<T>], device: Device) -> GradientsOf<T> {
    let term = |(i, g): (usize, &TensorOf<T>)| {
        let p = VarOf::parameter(format!("p{i}"), TensorOf::full_on(device, g.shape(), T::ZERO));
        // The gradient of Σ p·g is g, exactly.
        (p * VarOf::constant(g.to(device))).sum()
    };
    numbers.iter().enumerate().map(term).reduce(|a, b| a + b).expect("there are tensors").backward()
}

#[track_caller]
fn close<T: Float>(here: &TensorOf<T>, there: &TensorOf<T>, tolerance: f64) {
    assert_eq!((here.shape(), GPU), (there.shape(), there.device()));
    for (a, b) in here.to_f64().to_vec().into_iter().zip(there.to_f64().to_vec()) {
        let same = a == b || (a.is_nan() && b.is_nan());
        assert!(same || (a - b).abs() <= tolerance * a.abs().min(b.abs()), "{a} on the CPU, {b} on the GPU");
    }
}

fn compare<T: Float>(numbers: &[TensorOf<T>], tolerance: f64) {
    let (mut here, mut there) = (gradients(numbers, Device::Cpu), gradients(numbers, GPU));
    let held: Vec<TensorOf<T>> = there.iter().map(|(_, g)| g.clone()).step_by(5).collect();
    // First a norm that does not clip.
    for limit in [1e30, 2.0] {
        close(&here.clip_norm(limit), &there.clip_norm(limit), tolerance);
        for ((_, a), (_, b)) in here.iter().zip(there.iter()) {
            close(a, b, tolerance);
        }
    }
    for (before, held) in numbers.iter().step_by(5).zip(&held) {
        close(before, held, 0.0);
    }
}

pub fn as_on_the_cpu() {
    fn check<T: Float>(tolerance: f64) {
        let all = numbers::<T>();
        compare(&all, tolerance);
        let squares = all.iter().flat_map(|x| x.to_f64().to_vec()).map(|v| v * v).sum::<f64>();
        assert!((gradients(&all, GPU).global_norm() / squares.sqrt() - 1.0).abs() < tolerance);
        // NaN and infinity show in the norm and change nothing; squares may overflow or vanish in the elements' type.
        for odd in [f64::NAN, f64::INFINITY, 1e25, 1e200] {
            let mut some = all[..12].to_vec();
            some[7].make_mut()[1] = T::from_f64(odd);
            compare(&some, tolerance);
        }
        for size in [1e-30, 1e-200] {
            let tiny: Vec<TensorOf<T>> = all[..12].iter().map(|x| x.unary(Unary::Mul(size))).collect();
            compare(&tiny, tolerance);
        }
    }
    check::<f32>(2e-6);
    check::<f64>(1e-12);
}

/// Views of one tensor, all of which hold its elements, and a number that is not on the GPU.
fn views(x: &Tensor) -> Vec<Tensor> {
    let repeated = x.narrow(0, 1..2).broadcast_to([4, 7, 8]);
    let turned = x.permute(&[2, 0, 1]);
    vec![x.clone(), turned, x.slice(1, 5, 3, -2), x.narrow(0, 1..3), repeated, Tensor::scalar(1.5)]
}

pub fn layouts() {
    let x = Tensor::random_normal(Key::new(1, Purpose::USER), [6, 7, 8]);
    let (mut here, mut there) = (views(&x), views(&x.to(GPU)));
    let norm = |xs: &[Tensor]| Tensor::norm(&xs.iter().collect::<Vec<_>>());
    close(&norm(&here), &norm(&there), 1e-14);
    let held = there.clone();
    Tensor::clip_to_norm(here.iter_mut().collect(), &Tensor64::scalar(10.0), 3.0);
    Tensor::clip_to_norm(there.iter_mut().collect(), &Tensor64::full_on(GPU, (), 10.0), 3.0);
    for (a, b) in here.iter().zip(&there) {
        close(a, b, 0.0);
    }
    assert!(held == views(&x), "aliases keep their values");
    let empty = Tensor::zeros([0, 2]).to(GPU);
    assert_eq!(Tensor::norm(&[&empty, &empty]).item(), 0.0);
}

/// Clipping any number of gradients takes few kernels and does not synchronize.
pub fn launches() {
    let mut gradients = gradients(&numbers::<f32>(), GPU);
    let before = cuda::stats(0).expect("it is open");
    let norm = gradients.clip_norm(1.0);
    let after = cuda::stats(0).expect("it is open");
    // For 139 gradients with elements: three kernels for the squares, one for the norm, three to scale.
    assert_eq!(after.launches - before.launches, 3 + 1 + 3);
    assert_eq!(after.synchronizations, before.synchronizations);
    assert!(norm.item() > 1.0);
}
