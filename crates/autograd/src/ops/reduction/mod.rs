//! Sums, means and maxima along axes.

pub(super) mod channel_sum;
mod max;
mod sum;
