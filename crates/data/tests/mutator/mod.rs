//! Damage to files, the same in every test run.

use chainrule_tensor::{Key, Purpose, Rng};

/// The number of damaged files of each kind: by default a thousand; `.ci/long` asks for ten thousand.
pub fn count() -> u64 {
    std::env::var("CHAINRULE_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

/// Calls `read` with damaged copies of a file: with bytes changed, set to extremes, cut off, cut out, doubled or put in.
pub fn each_damaged(file: &[u8], mut read: impl FnMut(&[u8])) {
    for seed in 0..count() {
        let mut rng = Key::new(seed, Purpose::USER).rng();
        let mut bytes = file.to_vec();
        for _ in 0..=rng.below(3) {
            damage(&mut bytes, &mut rng);
        }
        read(&bytes);
    }
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let mut below = |n: usize| rng.below(n.max(1) as u32) as usize;
    // Half of all damage is near the start, where headers are.
    let reach = if below(2) == 0 { bytes.len().min(64) } else { bytes.len() };
    let at = below(reach);
    let length = below(bytes.len() - at).min(1 + below(64));
    match below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
        1 => bytes[at..at + length].iter_mut().for_each(|byte| *byte = below(256) as u8),
        2 => bytes[at..at + length.min(8)].fill(0xff),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..at + length)),
        5 => {
            let copy = bytes[at..at + length].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => {
            let new: Vec<u8> = (0..length).map(|_| below(256) as u8).collect();
            bytes.splice(at..at, new);
        }
    }
}
