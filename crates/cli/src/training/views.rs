//! What the net sees of a test image: averaging over views of an image is test-time augmentation.

use chainrule::data::{Loader, Sample, Transform};
use chainrule::tensor::Rng;
use clap::ValueEnum;

/// The views of a test image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestViews {
    /// The image itself
    One,
    /// The image and its mirror image
    Mirrored,
    /// Both, with weight ½, and shifted by a pixel up and left, and down and right, with weight ¼ each
    Shifted,
}

/// A view of an image: mirrored or not, shifted by `shift` pixels down and right, with its border reflected.
#[derive(Clone, Copy, Debug)]
struct View {
    mirrored: bool,
    shift: isize,
}

impl TestViews {
    /// A loader for each view, and the weight of its logits; the weights sum to 1.
    pub fn loaders(self, test: &Loader) -> Vec<(f32, Loader)> {
        let views: &[(f32, bool, isize)] = match self {
            Self::One => return vec![(1.0, test.clone())],
            Self::Mirrored => &[(0.5, false, 0), (0.5, true, 0)],
            Self::Shifted => &[
                (0.25, false, 0),
                (0.25, true, 0),
                (0.125, false, 1),
                (0.125, true, 1),
                (0.125, false, -1),
                (0.125, true, -1),
            ],
        };
        let loader = |&(weight, mirrored, shift)| {
            let view: Box<dyn Transform> = Box::new(View { mirrored, shift });
            (weight, test.clone().first(view))
        };
        views.iter().map(loader).collect()
    }
}

impl Transform for View {
    fn apply(&self, sample: &mut Sample, _: &mut Rng) {
        let Self { mirrored, shift } = *self;
        if shift != 0 {
            let shape = sample.shape();
            let [_, h, w] = shape;
            // Reflected without repeating the border, as padding by reflection.
            let from = |i: usize, n: usize| {
                let i = i as isize - shift;
                let last = n as isize - 1;
                (if i < 0 {
                    -i
                } else if i > last {
                    2 * last - i
                } else {
                    i
                }) as usize
            };
            sample.rebuild(shape, |old, new| {
                for (i, y) in new.iter_mut().enumerate() {
                    let (plane, row, column) = (i / (h * w), i / w % h, i % w);
                    *y = old[plane * h * w + from(row, h) * w + from(column, w)];
                }
            });
        }
        if mirrored {
            sample.rows_mut().for_each(<[u8]>::reverse);
        }
    }

    fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        assert!(
            self.shift == 0 || shape[1..].iter().all(|&side| side > 1),
            "a shift reflects the border: two pixels at least"
        );
        shape
    }
}
