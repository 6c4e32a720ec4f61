//! The guarantee of the module: the same bits on every machine and at every vector width.

use super::super::Elementary;
use super::ROWS;

/// FNV-1a over the bits of numbers; all NaNs are equal.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bits: u64) {
        for byte in bits.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add_single(&mut self, x: f32) {
        self.add(u64::from(if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }));
    }

    fn add_double(&mut self, x: f64) {
        self.add(if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() });
    }
}

/// Digests recorded once, on x86-64 at every width; a machine, compiler or edit that changes a single bit changes one.
#[test]
fn results_are_the_recorded_bits() {
    let mut found = Vec::new();
    for row in &ROWS {
        let (mut single, mut double) = (Digest::new(), Digest::new());
        for bits in (0..row.bits_end).step_by(99_991) {
            let x = f32::from_bits(bits as u32);
            single.add_single((row.single)(x));
            double.add_double((row.double)(f64::from(x) * 1.000_000_012_3));
        }
        found.push((row.name, single.0, double.0));
    }
    let (mut single, mut double) = (Digest::new(), Digest::new());
    for bits in (0..1u64 << 32).step_by(99_991) {
        let x = f32::from_bits(bits as u32);
        for p in [-2.0, -0.7, 0.5, 3.0, 5.0, 11.3] {
            single.add_single(Elementary::powf(x, p));
            double.add_double(Elementary::powf(f64::from(x) * 1.000_000_012_3, f64::from(p)));
        }
    }
    found.push(("powf", single.0, double.0));
    let recorded = [
        ("exp", 0x684d_f674_ed2e_81ae, 0xb711_8d03_75aa_5d86),
        ("exp_m1", 0xd431_82d7_0b0d_55ee, 0xbd58_b1e9_c303_979d),
        ("ln", 0xefd9_0898_c8ec_0979, 0x5468_3f4c_2c46_55ac),
        ("ln_1p", 0xc831_db90_d7d4_0afa, 0xb53c_e5d3_e4f5_0b91),
        ("tanh", 0x3df2_a203_87fc_db5a, 0x1a61_cd37_735b_26a9),
        ("sigmoid", 0xeb75_c4e0_ba48_cc31, 0x8c9f_6086_457d_5f10),
        ("softplus", 0x9ddc_06c1_757c_058a, 0x9ca0_b615_4fd5_a0be),
        ("erf", 0x4e6c_093c_cf04_a8b8, 0x49ca_a7d6_4f48_02db),
        ("sin", 0x4d7e_c302_f10d_0982, 0xc35d_5c70_4773_1439),
        ("cos", 0x0af6_eb11_4817_b53b, 0x9ff7_d995_6630_d546),
        ("tan", 0x2700_7648_3c15_bd5e, 0x561c_89d1_020a_4350),
        ("asin", 0x0c28_dcdb_d7a5_9fb7, 0x8bdd_4bf2_927e_6671),
        ("acos", 0xe9e0_e256_c264_e475, 0x3822_b544_aaa4_0bd3),
        ("atan", 0x3bff_46df_9410_da24, 0x4555_66d9_db05_8e15),
        ("sinh", 0x25c6_7bab_0c98_546b, 0x13fc_ee3a_027b_fbb4),
        ("cosh", 0xbea4_47cc_1272_67b1, 0xffc7_82f0_5034_0f51),
        ("log2", 0x8990_bc91_c5b3_9d26, 0xea8d_1e9c_8936_399b),
        ("log10", 0xbc9d_8556_8f42_929f, 0x5e9d_6d16_93f7_51c2),
        ("sin_turns", 0x02bf_68f2_8736_aa90, 0xbe90_ff54_55cd_43d9),
        ("cos_turns", 0x884a_f720_dad7_8269, 0x89da_e0bf_7f6e_03f7),
        ("powf", 0x905a_4206_6c85_c302, 0x88db_96a9_d37b_fd6c),
    ];
    assert_eq!(found, recorded);
}

/// The rows again as loops over slices, compiled for the CPU features named.
#[cfg(target_arch = "x86_64")]
macro_rules! loops {
    ($module:ident, $features:literal) => {
        mod $module {
            use super::Elementary;

            macro_rules! over {
                ($name:ident, $x:ident => $value:expr) => {
                    #[target_feature(enable = $features)]
                    pub(super) fn $name(from: &[f32], to: &mut [f32]) {
                        for (y, &$x) in to.iter_mut().zip(from) {
                            *y = $value;
                        }
                    }
                };
            }
            over!(exp, x => Elementary::exp(x));
            over!(exp_m1, x => Elementary::exp_m1(x));
            over!(ln, x => Elementary::ln(x));
            over!(ln_1p, x => Elementary::ln_1p(x));
            over!(tanh, x => Elementary::tanh(x));
            over!(sigmoid, x => Elementary::sigmoid(x));
            over!(softplus, x => Elementary::softplus(x));
            over!(erf, x => Elementary::erf(x));
            over!(sin, x => Elementary::sin(x));
            over!(cos, x => Elementary::cos(x));
            over!(tan, x => Elementary::tan(x));
            over!(asin, x => Elementary::asin(x));
            over!(acos, x => Elementary::acos(x));
            over!(atan, x => Elementary::atan(x));
            over!(sinh, x => Elementary::sinh(x));
            over!(cosh, x => Elementary::cosh(x));
            over!(log2, x => Elementary::log2(x));
            over!(log10, x => Elementary::log10(x));
            over!(sin_turns, u => Elementary::sin_cos_turns(u).0);
            over!(cos_turns, u => Elementary::sin_cos_turns(u).1);

            pub(super) const ALL: [unsafe fn(&[f32], &mut [f32]); 20] =
                [exp, exp_m1, ln, ln_1p, tanh, sigmoid, softplus, erf, sin, cos, tan, asin, acos, atan, sinh, cosh, log2, log10, sin_turns, cos_turns];
        }
    };
}

#[cfg(target_arch = "x86_64")]
loops!(avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
loops!(avx512, "avx512f,avx512bw,avx512dq,avx512vl,fma");

/// In particular no product and sum are fused where the CPU could.
#[cfg(target_arch = "x86_64")]
#[test]
fn every_vector_width_gives_the_same_bits() {
    let mut paths = Vec::new();
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        paths.push(("avx2", avx2::ALL));
    }
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        paths.push(("avx512", avx512::ALL));
    }
    for (path, functions) in paths {
        for (row, function) in ROWS.iter().zip(functions) {
            let step = if row.bits_end == super::ONE_TURN { 9973 } else { 39_989 };
            let from: Vec<f32> = (0..row.bits_end).step_by(step).map(|bits| f32::from_bits(bits as u32)).collect();
            let mut to = vec![0.0; from.len()];
            // SAFETY: the CPU has the features that the path was compiled for, as checked above.
            unsafe { function(&from, &mut to) };
            for (&x, &y) in from.iter().zip(&to) {
                let scalar = (row.single)(x);
                assert!(
                    y.to_bits() == scalar.to_bits() || y.is_nan() && scalar.is_nan(),
                    "{} at {x:e}: {y:e} with {path}, {scalar:e} without",
                    row.name,
                );
            }
        }
    }
}
