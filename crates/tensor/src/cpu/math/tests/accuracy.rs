//! Errors in ulp: `f32` against `f64`, `f64` against mpmath.

use std::thread;

use super::super::Elementary;
use super::{LINE, ROWS, Row};

/// The distance of y from the truth in ulp of the truth. A zero of the wrong sign and a missing NaN are infinitely far.
fn single_error(y: f32, truth: f64) -> f64 {
    // An infinite result stands for the number after the greatest, and so does every truth beyond it.
    const AFTER: f64 = 2.0 * (1u128 << 127) as f64;
    if y.is_nan() || truth.is_nan() {
        return if y.is_nan() && truth.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if truth == 0.0 {
        return if y == 0.0 && y.is_sign_negative() == truth.is_sign_negative() { 0.0 } else { f64::INFINITY };
    }
    let (y, truth) = (f64::from(y).clamp(-AFTER, AFTER), truth.clamp(-AFTER, AFTER));
    let exponent = ((truth.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    (y - truth).abs() / f64::powi(2.0, exponent.clamp(-126, 127) - 23)
}

/// The same for `f64`, with the truth as the sum of two numbers, the first of them the nearest.
fn double_error(y: f64, high: f64, low: f64) -> f64 {
    if y.is_nan() || high.is_nan() {
        return if y.is_nan() && high.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if high == 0.0 || high.is_infinite() {
        return if y.to_bits() == high.to_bits() { 0.0 } else { f64::INFINITY };
    }
    let exponent = ((high.to_bits() >> 52) & 0x7ff) as i32;
    let ulp = f64::from_bits(1) * f64::powi(2.0, exponent.max(1) - 1);
    ((y - high) - low).abs() / ulp
}

/// Every argument, or every 997th, of one function; the worst error and where it is.
fn sweep(row: &Row, step: u64) -> (f64, f32) {
    let workers = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    thread::scope(|scope| {
        let parts: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mut worst = (0.0, 0.0);
                    let mut bits = worker * step;
                    while bits < row.bits_end {
                        let x = f32::from_bits(bits as u32);
                        let error = single_error((row.single)(x), (row.double)(f64::from(x)));
                        if error > worst.0 {
                            worst = (error, x);
                        }
                        bits += workers * step;
                    }
                    worst
                })
            })
            .collect();
        parts
            .into_iter()
            .map(|part| part.join().expect("a worker that panicked has said why"))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .expect("there is at least one worker")
    })
}

#[test]
fn f32_is_within_its_limits_of_f64() {
    let exhaustive = std::env::var("CHAINRULE_EXHAUSTIVE").is_ok_and(|value| value == "1");
    let step = if exhaustive { 1 } else { 997 };
    for row in &ROWS {
        let (error, x) = sweep(row, step);
        println!("{:10} f32 worst {error:.3} ulp at {x:e} ({:#010x})", row.name, x.to_bits());
        assert!(error <= row.single_limit, "{} is off by {error} ulp at {x:e}", row.name);
    }
}

#[test]
fn f32_powf_is_within_3_ulp_of_f64() {
    let mut worst = (0.0, 0.0, 0.0);
    for p in
        [-3.0f32, -2.0, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 17.25, 1.0 / 3.0, 1e-3, 300.0, 1e6]
    {
        for bits in (0..LINE).step_by(19_937) {
            let x = f32::from_bits(bits as u32);
            let error = single_error(Elementary::powf(x, p), Elementary::powf(f64::from(x), f64::from(p)));
            if error > worst.0 {
                worst = (error, x, p);
            }
        }
    }
    // Bases whose power by such an exponent runs through the whole range of results.
    for bits in (0x0080_0000..0x7f80_0000u32).step_by(7919) {
        let x = f32::from_bits(bits);
        let p = f32::from_bits(bits.wrapping_mul(2_654_435_761) >> 9 | 0x3f80_0000) * 190.0 - 285.0;
        let p = p / x.log2();
        let error = single_error(Elementary::powf(x, p), Elementary::powf(f64::from(x), f64::from(p)));
        if error > worst.0 {
            worst = (error, x, p);
        }
    }
    println!("powf       f32 worst {:.3} ulp at {:e}^{:e}", worst.0, worst.1, worst.2);
    assert!(worst.0 <= 3.0, "powf({:e}, {:e}) is off by {} ulp", worst.1, worst.2, worst.0);
}

#[test]
fn f32_atan2_is_within_3_ulp_of_f64() {
    let mut worst = (0.0, 0.0, 0.0);
    for bits in (0..LINE).step_by(9973) {
        let y = f32::from_bits(bits as u32);
        // Any x, and one of about the size of y.
        let any = (bits as u32).wrapping_mul(2_654_435_761);
        for x in [f32::from_bits(any), f32::from_bits(bits as u32 ^ any >> 7 & 0x8080_0000 ^ any & 0x00ff_ffff)] {
            let error = single_error(Elementary::atan2(y, x), Elementary::atan2(f64::from(y), f64::from(x)));
            if error > worst.0 {
                worst = (error, y, x);
            }
        }
    }
    println!("atan2      f32 worst {:.3} ulp at {:e}, {:e}", worst.0, worst.1, worst.2);
    assert!(worst.0 <= 3.0, "atan2({:e}, {:e}) is off by {} ulp", worst.1, worst.2, worst.0);
}

#[test]
fn f64_is_within_its_limits_of_the_reference() {
    let mut worst: Vec<(&str, f64, f64)> = ROWS.iter().map(|row| (row.name, row.double_limit, 0.0)).collect();
    worst.extend([("powf", 4.0, 0.0), ("atan2", 4.0, 0.0)]);
    for line in include_str!("../../../../tests/reference/elementary.txt").lines() {
        let (name, numbers) = line.split_once(' ').expect("a line is a name and numbers");
        let numbers: Vec<f64> = numbers
            .split(' ')
            .map(|digits| f64::from_bits(u64::from_str_radix(digits, 16).expect("numbers are hex digits")))
            .collect();
        let (y, high, low) = match numbers[..] {
            [x, high, low] => {
                let row = ROWS.iter().find(|row| row.name == name).expect("every name has a row");
                ((row.double)(x), high, low)
            }
            [y, x, high, low] if name == "atan2" => (Elementary::atan2(y, x), high, low),
            [x, p, high, low] => (Elementary::powf(x, p), high, low),
            _ => panic!("{line}: not one or two arguments and a value"),
        };
        let error = double_error(y, high, low);
        let entry = worst.iter_mut().find(|entry| entry.0 == name).expect("every name has an entry");
        entry.2 = entry.2.max(error);
        assert!(error <= entry.1, "{name} {numbers:?}: {y:e} is off by {error} ulp");
    }
    for (name, _, error) in worst {
        println!("{name:10} f64 worst {error:.3} ulp");
        assert!(error > 0.0, "{name} has no points in the reference");
    }
}
