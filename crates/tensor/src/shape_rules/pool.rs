//! The windows of poolings.

use super::fail;
use crate::error::ShapeError;
use crate::shape::Shape;

/// One window of a pooling along one axis: rows or columns `start`, `start + step`, …, below `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first row or column inside the image.
    pub start: usize,
    /// One past the last row or column inside the image.
    pub end: usize,
    /// The distance between neighboring rows or columns: the dilation, or 1 if there is a single one.
    pub step: usize,
    /// The divisor of an average along this axis.
    pub divisor: usize,
}

impl Window {
    /// The rows or columns inside the image.
    #[inline]
    pub fn places(self) -> impl Iterator<Item = usize> {
        (self.start..self.end).step_by(self.step)
    }

    /// The number of rows or columns inside the image.
    pub fn count(self) -> usize {
        (self.end - self.start).div_ceil(self.step)
    }
}

/// The options of a pooling; pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dOptions {
    /// The size of a window.
    pub kernel: [usize; 2],
    /// The distance between neighboring windows.
    pub stride: [usize; 2],
    /// The rows and columns added on each side: −∞ for the maximum, 0 for the average.
    pub padding: [usize; 2],
    /// The distance between neighboring pixels of a window.
    pub dilation: [usize; 2],
    /// Whether windows that reach beyond the padded image count, if they start in the image or before it. The number of
    /// windows is rounded up instead of down.
    pub ceil_mode: bool,
    /// Whether an average divides by the pixels of the window in the padded image (`PyTorch`'s default) or by those in the
    /// image. Pixels beyond the padding never count.
    pub count_include_pad: bool,
}

impl From<usize> for Pool2dOptions {
    /// Square, non-overlapping windows.
    fn from(kernel: usize) -> Self {
        Self::from([kernel; 2])
    }
}

impl From<[usize; 2]> for Pool2dOptions {
    /// Non-overlapping windows.
    fn from(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: kernel, padding: [0, 0], dilation: [1, 1], ceil_mode: false, count_include_pad: true }
    }
}

/// The windows of a pooling over x (N,C,H,W), vertical and horizontal.
///
/// # Errors
/// If x does not have four axes, an option is 0, the padding exceeds half the window, the window is larger than the
/// padded image, or all its pixels are in the padding.
pub fn pool2d(op: &str, x: Shape, options: Pool2dOptions) -> Result<[Vec<Window>; 2], ShapeError> {
    let Pool2dOptions { kernel, stride, padding, dilation, ceil_mode, count_include_pad } = options;
    let text = |what: &str, rule: &str| {
        format!(
            "{op}: {what}\n  input (N,C,H,W) = {x}\n  kernel {kernel:?}, stride {stride:?}, padding {padding:?}, dilation {dilation:?}\n  rule: {rule}"
        )
    };
    if x.rank() != 4 {
        return fail(text("the input has four axes", "input (N,C,H,W)"));
    }
    if [kernel, stride, dilation].iter().any(|option| option.contains(&0)) {
        return fail(text("kernel, stride and dilation are at least 1", "no option is 0"));
    }
    if (0..2).any(|i| padding[i] > kernel[i] / 2) {
        return fail(text("a window could contain only padding", "padding ≤ kernel / 2"));
    }
    let axis = |i: usize| {
        let (length, kernel, stride, padding, dilation) = (x[2 + i], kernel[i], stride[i], padding[i], dilation[i]);
        // Positions are those in the padded image, which the image enters at `padding` and leaves at `leaves`.
        let leaves = length.saturating_add(padding);
        let padded = leaves.saturating_add(padding);
        let reach = dilation.saturating_mul(kernel - 1).saturating_add(1);
        let count = match padded.checked_sub(reach) {
            Some(rest) if !ceil_mode => rest / stride + 1,
            Some(rest) => {
                let count = rest.div_ceil(stride) + 1;
                // The last window starts in the image or before it.
                count - usize::from((count - 1).saturating_mul(stride) >= leaves)
            }
            None if ceil_mode && reach - padded < stride => 1,
            None if ceil_mode => {
                let rule = "dilation·(kernel − 1) + 1 < image + 2·padding + stride";
                return fail(text("the window is larger than the padded image and a stride", rule));
            }
            None => {
                let rule = "dilation·(kernel − 1) + 1 ≤ image + 2·padding";
                return fail(text("the window is larger than the padded image", rule));
            }
        };
        let window = |at: usize| {
            // The pixels of the window before a position.
            let before = |position: usize| position.saturating_sub(at).div_ceil(dilation).min(kernel);
            let (first, last) = (before(padding), before(leaves));
            if first == last {
                return fail(text("a window contains only padding", "dilation ≤ image, or less padding"));
            }
            let start = at + first * dilation - padding;
            let end = at + (last - 1) * dilation + 1 - padding;
            let step = if last - first == 1 { 1 } else { dilation };
            let divisor = if count_include_pad { before(padded) } else { last - first };
            Ok(Window { start, end, step, divisor })
        };
        (0..count).map(|k| window(k * stride)).collect()
    };
    Ok([axis(0)?, axis(1)?])
}

/// The windows of an adaptive pooling of x (N,C,H,W) to `size` = [oh, ow]: window i covers `⌊i·H/oh⌋ .. ⌈(i+1)·H/oh⌉`.
///
/// # Errors
/// If x does not have four axes, or it or the size is empty.
pub fn adaptive_pool2d(op: &str, x: Shape, size: [usize; 2]) -> Result<[Vec<Window>; 2], ShapeError> {
    if x.rank() != 4 || size.contains(&0) || x[2] == 0 || x[3] == 0 {
        return fail(format!(
            "{op}: needs a non-empty image with four axes and a size of at least 1×1\n  input (N,C,H,W) = {x}\n  size {size:?}\n  rule: H, W, oh, ow ≥ 1"
        ));
    }
    let axis = |i: usize| {
        let (len, n) = (x[2 + i], size[i]);
        (0..n)
            .map(|k| {
                let (start, end) = (k * len / n, ((k + 1) * len).div_ceil(n));
                Window { start, end, step: 1, divisor: end - start }
            })
            .collect()
    };
    Ok([axis(0), axis(1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of windows as PyTorch computes it (`pooling_output_shape` in ATen/native/Pool.h).
    fn expected_count([length, kernel, stride, padding, dilation]: [i64; 5], ceil_mode: bool) -> i64 {
        let rest = length + 2 * padding - dilation * (kernel - 1) - 1 + if ceil_mode { stride - 1 } else { 0 };
        let count = rest.div_euclid(stride) + 1;
        if ceil_mode && (count - 1) * stride >= length + padding { count - 1 } else { count }
    }

    #[test]
    fn windows_are_those_of_pytorch() {
        let all = |low: i64, high: i64| low..=high;
        let (mut accepted, mut refused) = (0, 0);
        for (length, kernel) in all(1, 9).flat_map(|length| all(1, 5).map(move |kernel| (length, kernel))) {
            for (stride, dilation) in all(1, 4).flat_map(|stride| all(1, 4).map(move |dilation| (stride, dilation))) {
                for (padding, ceil_mode) in (0..=kernel / 2).flat_map(|padding| [(padding, false), (padding, true)]) {
                    let options = Pool2dOptions {
                        kernel: [1, kernel as usize],
                        stride: [1, stride as usize],
                        padding: [0, padding as usize],
                        dilation: [1, dilation as usize],
                        ceil_mode,
                        count_include_pad: true,
                    };
                    let sizes = [length, kernel, stride, padding, dilation];
                    let count = expected_count(sizes, ceil_mode).max(0);
                    let places = |k: i64| (0..kernel).map(move |cell| k * stride - padding + cell * dilation);
                    let inside = |k: i64| places(k).filter(|place| (0..length).contains(place)).collect::<Vec<_>>();
                    let x = Shape::from([1, 1, 1, length as usize]);
                    let found = pool2d("pool", x, options);
                    let Ok([_, windows]) = found else {
                        assert!(count == 0 || (0..count).any(|k| inside(k).is_empty()), "{sizes:?} {ceil_mode}");
                        refused += 1;
                        continue;
                    };
                    assert_eq!(windows.len() as i64, count, "{sizes:?} {ceil_mode}");
                    let [_, means] = pool2d("pool", x, Pool2dOptions { count_include_pad: false, ..options })
                        .expect("the windows are the same");
                    for ((k, window), mean) in (0..count).zip(windows).zip(means) {
                        let found: Vec<i64> = window.places().map(|place| place as i64).collect();
                        assert_eq!((found.len(), &found), (window.count(), &inside(k)), "{sizes:?} {ceil_mode}");
                        let padded = places(k).filter(|&place| place < length + padding).count();
                        assert_eq!((window.divisor, mean.divisor), (padded, found.len()), "{sizes:?} {ceil_mode}");
                    }
                    accepted += 1;
                }
            }
        }
        assert!(accepted > 1500 && refused > 1000, "{accepted} {refused}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let text = |length: usize, options: Pool2dOptions| {
            let x = Shape::from([1, 1, 1, length]);
            pool2d("max_pool2d", x, options).expect_err("it does not fit").to_string()
        };
        let options = Pool2dOptions { padding: [0, 1], dilation: [1, 2], ..[1, 2].into() };
        assert_eq!(
            text(1, options),
            "max_pool2d: a window contains only padding\n  input (N,C,H,W) = (1, 1, 1, 1)\n  kernel [1, 2], stride [1, 2], padding [0, 1], dilation [1, 2]\n  rule: dilation ≤ image, or less padding"
        );
        let options = Pool2dOptions { kernel: [1, 5], ..options };
        assert!(text(6, options).contains("the window is larger than the padded image\n"), "{}", text(6, options));
        let ceil = Pool2dOptions { ceil_mode: true, ..options };
        assert!(text(5, ceil).contains("larger than the padded image and a stride\n"), "{}", text(5, ceil));
        // Sizes beyond all images do not overflow.
        for huge in [usize::MAX, usize::MAX / 2] {
            for ceil_mode in [false, true] {
                text(6, Pool2dOptions { kernel: [1, huge], ceil_mode, ..1.into() });
                text(6, Pool2dOptions { kernel: [1, 3], dilation: [1, huge], ceil_mode, ..1.into() });
                let options = Pool2dOptions { stride: [1, huge], ceil_mode, ..1.into() };
                assert_eq!(pool2d("pool", Shape::from([1, 1, 1, 6]), options).expect("one window")[1].len(), 1);
            }
        }
    }
}
