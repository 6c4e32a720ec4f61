//! A net whose size is chosen freely, to see how the time of a step grows.

use chainrule::prelude::*;
use clap::Args;

use super::nets::Net;
use crate::failure::Failure;

/// The size of `--net plain`.
#[derive(Args)]
pub struct PlainOptions {
    /// The height and width of the images of `--net plain` [default: 32]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    side: Option<u32>,
    /// The output channels of each convolution of `--net plain` [default: 32]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4096))]
    channels: Option<u32>,
    /// The number of convolutions of `--net plain` [default: 4]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    depth: Option<u32>,
}

/// The sizes of a plain net.
#[derive(Clone, Copy)]
pub struct Plain {
    pub side: usize,
    channels: usize,
    depth: usize,
}

impl PlainOptions {
    /// The sizes; fails if one is given for another net.
    pub fn checked(&self, net: Net) -> Result<Plain, Failure> {
        let given = [("--side", self.side), ("--channels", self.channels), ("--depth", self.depth)];
        if let (true, Some((flag, _))) = (net != Net::Plain, given.iter().find(|(_, value)| value.is_some())) {
            return Err(Failure::Usage(format!("{flag} is the size of --net plain; the other nets have fixed sizes")));
        }
        let size = |value: Option<u32>, default| value.map_or(default, |value| value as usize);
        Ok(Plain { side: size(self.side, 32), channels: size(self.channels, 32), depth: size(self.depth, 4) })
    }
}

impl Plain {
    /// `depth` 3×3 convolutions with padding 1, each followed by ReLU, then the mean over all pixels and a linear layer.
    ///
    /// shapes  (N, 3, side, side) → (N, 10)
    pub fn net(self, rng: &mut Rng) -> Sequential {
        let mut net = Sequential::new();
        for i in 0..self.depth {
            let from = if i == 0 { 3 } else { self.channels };
            net = net.add(Conv2d::builder(from, self.channels, 3).padding(1).build(rng)).add(Relu);
        }
        net.add(AdaptiveAvgPool2d([1, 1])).add(Flatten).add(Linear::new(self.channels, 10, rng))
    }
}
