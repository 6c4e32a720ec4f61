//! Sums, products, norms, extremes and running sums along axes.

mod all_reduce;
pub(super) mod channel_sum;
mod cumsum;
mod logsumexp;
mod max;
mod norm;
mod order;
mod product;
mod sum;
