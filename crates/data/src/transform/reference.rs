//! The transforms with fixed parameters against torchvision's (`tests/reference/transforms.py`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::affine::Affine;
use super::color::{adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation};
use super::crop::window;
use super::tests::rng;
use super::{
    CenterCrop, Cutout, Interpolation, Invert, PaddingMode, RandomHorizontalFlip, RandomRotation, Resize, Sample,
    Transform,
};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    op: String,
    args: BTreeMap<String, Value>,
    shape: [usize; 3],
    y_shape: [usize; 3],
    y: Vec<u8>,
}

impl Case {
    fn number(&self, name: &str) -> f64 {
        self.args[name].as_f64().expect("a number")
    }

    fn count(&self, name: &str) -> usize {
        self.number(name) as usize
    }

    fn pair(&self, name: &str) -> [f64; 2] {
        [0, 1].map(|k| self.args[name][k].as_f64().expect("a number"))
    }

    fn size(&self) -> [usize; 2] {
        self.pair("size").map(|side| side as usize)
    }

    fn interpolation(&self) -> Interpolation {
        match self.args["interpolation"].as_str() {
            Some("nearest") => Interpolation::Nearest,
            Some("bilinear") => Interpolation::Bilinear,
            other => panic!("interpolation {other:?}"),
        }
    }

    fn run(&self, sample: &mut Sample) {
        let mut transform = |transform: &dyn Transform| {
            assert_eq!(transform.output_shape(self.shape), self.y_shape, "{}: output_shape", self.name);
            transform.apply(sample, &mut rng(0));
        };
        match self.op.as_str() {
            "resize" if self.args.contains_key("size") => transform(&Resize::new(self.size())),
            "resize" => transform(&Resize::shorter_side(self.count("shorter_side"))),
            "center_crop" => transform(&CenterCrop::new(self.size())),
            "rotate" => {
                let degrees = self.number("degrees");
                transform(&RandomRotation::new(degrees..=degrees).interpolation(self.interpolation()));
            }
            "invert" => transform(&Invert),
            "horizontal_flip" => {
                let heads = (0..99).find(|&seed| rng(seed).next_u32() >> 31 == 1).expect("a seed that flips");
                RandomHorizontalFlip.apply(sample, &mut rng(heads));
            }
            "crop" => {
                let mode = match self.args["mode"].as_str() {
                    Some("constant") => PaddingMode::Zero,
                    Some("reflect") => PaddingMode::Reflect,
                    other => panic!("mode {other:?}"),
                };
                let start = ["top", "left"].map(|side| (self.number(side) - self.number("padding")) as isize);
                window(sample, start, self.size(), mode);
            }
            "affine" => {
                let map = Affine {
                    degrees: self.number("degrees"),
                    translate: self.pair("translate"),
                    scale: self.number("scale"),
                    shear: self.pair("shear"),
                };
                map.apply(sample, self.interpolation());
            }
            "cutout" => Cutout::new(self.count("length")).cut(sample, self.count("y"), self.count("x")),
            "brightness" => adjust_brightness(sample, self.number("factor")),
            "contrast" => adjust_contrast(sample, self.number("factor")),
            "saturation" => adjust_saturation(sample, self.number("factor")),
            "hue" => adjust_hue(sample, self.number("factor")),
            other => panic!("no transform {other}"),
        }
    }
}

#[test]
fn every_transform_gives_torchvisions_pixels() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../../tests/reference/transforms.json")).expect("valid JSON");
    let (mut ops, mut failures) = (BTreeMap::new(), Vec::new());
    for case in &reference.cases {
        let mut sample = Sample::default();
        let index = 0..case.shape.iter().product::<usize>();
        let pixels: Vec<u8> = index.map(|i| ((i * i * 7 + i * 37 + i / 13 * 91) % 256) as u8).collect();
        sample.set(&pixels, case.shape);
        case.run(&mut sample);
        assert_eq!(sample.shape(), case.y_shape, "{}", case.name);
        let differing = sample.pixels().iter().zip(&case.y).filter(|(x, y)| x != y).count();
        let worst = sample.pixels().iter().zip(&case.y).map(|(x, y)| x.abs_diff(*y)).max().unwrap_or(0);
        *ops.entry(case.op.as_str()).or_insert(0) += 1;
        if worst > 0 {
            failures.push(format!("{}: {differing} of {} pixels differ, by {worst} at most", case.name, case.y.len()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(ops.len(), 12, "{ops:?}");
}
