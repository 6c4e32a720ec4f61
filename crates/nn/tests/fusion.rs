//! Fused and unfused layers give the same bits on the CPU: outputs, all gradients and running statistics.

use std::cell::Cell;
use std::rc::Rc;

use chainrule_autograd::{VarOf, watch_records};
use chainrule_nn::{
    Activation, Add, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Relu, Sequential, chain, unfused,
};
use chainrule_tensor::{Float, Rng, Shape, TensorOf};

/// Values with repetitions, so that windows have ties, and zeros of both signs; if `odd`, also NaN and infinities.
fn numbers<T: Float>(shape: Shape, salt: usize, odd: bool) -> TensorOf<T> {
    TensorOf::from_fn(shape, |i| {
        T::from_f64(match (i * 31 + salt * 17) % 997 {
            0..20 => -0.0,
            20..40 => 0.0,
            40 if odd => f64::NAN,
            41 if odd => f64::INFINITY,
            42 if odd => f64::NEG_INFINITY,
            k => (k % 13) as f64 / 4.0 - 1.4,
        })
    })
}

/// The bits of all values, with all NaNs equal: the payload of the sum of two NaNs is not specified.
fn bits<T: Float>(x: &TensorOf<T>) -> Vec<u64> {
    x.to_vec().into_iter().map(|v| if v.is_nan() { u64::MAX } else { v.to_f64().to_bits() }).collect()
}

/// The layers of the tested chains.
struct Layers<T: Float> {
    conv: Conv2d<T>,
    bn: BatchNorm2d<T>,
    pool: MaxPool2d,
    overlapping: MaxPool2d,
}

/// N, channels of x, channels of the convolution's output, H, W.
type Sizes = [usize; 5];

/// Blocks of several images, direct convolution; one block, Winograd in `f32`; blocks of one image, im2col.
const SIZES: [Sizes; 3] = [[35, 3, 4, 9, 10], [3, 32, 40, 8, 9], [20, 8, 16, 5, 5]];

impl<T: Float> Layers<T> {
    fn new([_, from, to, ..]: Sizes) -> Self {
        let layers = Self {
            conv: Conv2d::builder(from, to, 3).padding(1).build(&mut Rng::seed(3)),
            bn: BatchNorm2d::new(to),
            pool: MaxPool2d::new(2),
            overlapping: MaxPool2d::new(3).stride(2).padding(1),
        };
        layers.bn.weight().set(&numbers([to].into(), 7, false));
        layers.bn.bias().set(&numbers([to].into(), 8, false));
        layers
    }
}

/// A forward pass of x, and of a residual with the shape of the convolution's output.
type Forward<T> = fn(&Layers<T>, &VarOf<T>, &VarOf<T>) -> VarOf<T>;

/// The results of two training steps and one inference step: outputs, gradients, running statistics; and the number of
/// operations that a training step and an inference step record.
fn outcome<T: Float>(sizes: Sizes, of_result: bool, odd: bool, forward: Forward<T>) -> (Vec<Vec<u64>>, [usize; 2]) {
    let [n, from, to, h, w] = sizes;
    let layers = Layers::new(sizes);
    let channels = if of_result { to } else { from };
    let x = VarOf::parameter("x", numbers([n, channels, h, w].into(), 1, odd));
    let r = VarOf::parameter("r", numbers([n, to, h, w].into(), 2, odd));
    let (mut found, mut recorded) = (Vec::new(), [0, 0]);
    for (step, training) in [true, true, false].into_iter().enumerate() {
        Module::<T>::set_training(&layers.bn, training);
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        let y = watch_records(move |_| counter.set(counter.get() + 1), || forward(&layers, &x, &r));
        recorded[usize::from(!training)] = count.get();
        let weights = VarOf::constant(numbers::<T>(y.shape(), 5 + step, false));
        let gradients = (&y * weights).sum().backward();
        found.push(bits(&y.value()));
        found.extend(gradients.iter().map(|(_, gradient)| bits(gradient)));
    }
    found.extend([bits(&layers.bn.running_mean()), bits(&layers.bn.running_var())]);
    (found, recorded)
}

/// Checks that fused and unfused layers give the same bits, and the numbers of recorded operations in training and at
/// inference.
fn compare<T: Float>(what: &str, of_result: bool, fused: [usize; 2], plain: [usize; 2], forward: Forward<T>) {
    for sizes in SIZES {
        for odd in [false, true] {
            let (found, recorded) = outcome(sizes, of_result, odd, forward);
            let (expected, one_by_one) = unfused(|| outcome(sizes, of_result, odd, forward));
            assert_eq!((recorded, one_by_one), (fused, plain), "{what}: operations");
            assert_eq!(found.len(), expected.len(), "{what}");
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert!(a == b, "{what}, {}, {sizes:?}, odd: {odd}: the bits of result {i} differ", T::NAME);
            }
        }
    }
}

/// A test for both element types. If `of_result`, x has the shape of the convolution's output.
macro_rules! check {
    ($test:ident, $of_result:expr, $fused:expr, $plain:expr, |$l:ident, $x:ident, $r:ident| $forward:expr) => {
        #[test]
        fn $test() {
            compare::<f32>(stringify!($test), $of_result, $fused, $plain, |$l, $x, $r| {
                let _ = $r;
                $forward
            });
            compare::<f64>(stringify!($test), $of_result, $fused, $plain, |$l, $x, $r| {
                let _ = $r;
                $forward
            });
        }
    };
}

check!(conv_relu_pool, false, [1, 1], [3, 3], |l, x, r| chain(x, &[&l.conv, &Relu, &l.pool]));
check!(conv_relu_overlapping_pool, false, [1, 1], [3, 3], |l, x, r| chain(x, &[&l.conv, &Relu, &l.overlapping]));
check!(conv_relu, false, [1, 1], [2, 2], |l, x, r| chain(x, &[&l.conv, &Activation::Relu]));
check!(conv_add, false, [1, 1], [2, 2], |l, x, r| chain(x, &[&l.conv, &Add(r)]));
check!(conv_add_relu, false, [1, 1], [3, 3], |l, x, r| chain(x, &[&l.conv, &Add(r), &Relu]));
check!(conv_bn, false, [2, 2], [2, 2], |l, x, r| chain(x, &[&l.conv, &l.bn]));
check!(conv_bn_relu, false, [2, 2], [3, 3], |l, x, r| chain(x, &[&l.conv, &l.bn, &Relu]));
check!(conv_bn_add, false, [2, 2], [3, 3], |l, x, r| chain(x, &[&l.conv, &l.bn, &Add(r)]));
check!(conv_bn_add_relu, false, [2, 2], [4, 4], |l, x, r| chain(x, &[&l.conv, &l.bn, &Add(r), &Relu]));
check!(bn_relu_pool, true, [2, 2], [3, 3], |l, x, r| chain(x, &[&l.bn, &Relu, &l.pool]));
check!(relu_pool, true, [1, 1], [2, 2], |l, x, r| chain(x, &[&Relu, &l.pool]));
check!(relu_overlapping_pool, true, [1, 1], [2, 2], |l, x, r| chain(x, &[&Relu, &l.overlapping]));
// x is used twice, so its gradient is a sum.
check!(residual_block, true, [1, 1], [3, 3], |l, x, r| chain(x, &[&l.bn, &Add(x), &Relu]));

#[test]
fn a_broadcast_residual_is_not_fused() {
    let bn = BatchNorm2d::<f64>::new(3);
    let x = VarOf::parameter("x", numbers([4, 3, 2, 2].into(), 1, false));
    let r = VarOf::parameter("r", numbers([1, 3, 1, 1].into(), 2, false));
    let net = || chain(&x, &[&bn, &Add(&r), &Relu]);
    let (a, b) = (net(), unfused(net));
    assert_eq!(bits(&a.value()), bits(&b.value()));
    assert_eq!(bits(&a.sum().backward()[&r]), bits(&b.sum().backward()[&r]));
}

#[test]
fn sequences_and_containers_fuse_like_a_chain() {
    let rng = &mut Rng::seed(1);
    let net: Sequential<f64> = Sequential::new()
        .add(Conv2d::builder(2, 3, 3).padding(1).build(rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(12, 2, rng));
    let x = VarOf::parameter("x", numbers([2, 2, 4, 4].into(), 1, false));
    let recorded = |net: &dyn Module<f64>| {
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        let _ = watch_records(move |_| counter.set(counter.get() + 1), || net.forward(&x));
        count.get()
    };
    let borrowed: Vec<&dyn Module<f64>> = net.layers().iter().map(|layer| &**layer).collect();
    assert_eq!((recorded(&net), recorded(&borrowed)), (3, 3));
    assert_eq!(unfused(|| (recorded(&net), recorded(&borrowed))), (5, 5));
    let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["0.weight", "0.bias", "4.weight", "4.bias"]);
}

#[test]
fn unfused_ends_with_its_body_and_after_a_panic() {
    let x = VarOf::parameter("x", numbers::<f64>([2, 2, 4, 4].into(), 1, false));
    let name = || chain(&x, &[&Relu, &MaxPool2d::new(2)]).operation().expect("it is recorded").rule().name().to_owned();
    assert_eq!(name(), "relu_max_pool2d");
    assert_eq!(unfused(|| unfused(name)), "max_pool2d");
    assert!(std::panic::catch_unwind(|| unfused(|| panic!("within"))).is_err());
    assert_eq!(name(), "relu_max_pool2d");
}
