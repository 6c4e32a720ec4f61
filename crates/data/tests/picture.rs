//! One image of one's own: what is read, and how it is prepared for a net.
#![cfg(feature = "images")]

use std::path::Path;

use chainrule_data::{DataError, Picture};
use png::ColorType;

/// A PNG file of `pixels` (H, W, C).
fn png_file(pixels: &[u8], [h, w]: [usize; 2], color: ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, w as u32, h as u32);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

fn decode(bytes: &[u8]) -> Result<Picture, DataError> {
    Picture::decode(bytes, Path::new("my.png"))
}

fn gray(pixels: &[u8], size: [usize; 2]) -> Picture {
    decode(&png_file(pixels, size, ColorType::Grayscale)).unwrap()
}

/// A page of 300×240 pixels with a bar of ink, 40 wide and 120 high, at (60, 100).
fn bar(paper: u8, ink: u8) -> Vec<u8> {
    let is_ink = |at: usize| (60..180).contains(&(at / 300)) && (100..140).contains(&(at % 300));
    (0..240 * 300).map(|at| if is_ink(at) { ink } else { paper }).collect()
}

const PAGE: [usize; 2] = [240, 300];

#[test]
fn a_drawing_says_what_was_done() {
    let dark = gray(&bar(255, 20), PAGE).drawing([28, 28]).unwrap();
    assert_eq!(dark.shape(), [1, 28, 28]);
    assert_eq!(
        dark.notes(),
        [
            "dark ink on a light page, inverted",
            "the ink, 40×120 of 300×240 pixels, resized to 7×20",
            "placed by its center of mass in 28×28 pixels"
        ]
    );
    let light = gray(&bar(10, 240), PAGE).drawing([28, 28]).unwrap();
    assert_eq!(light.notes()[0], "light ink on a dark page");
    // A bar of 7×20 pixels whose center of mass is at (13.5, 14): rows 4 to 23, columns 11 to 17.
    for prepared in [dark, light] {
        for (at, &pixel) in prepared.pixels().iter().enumerate() {
            let inside = (4..24).contains(&(at / 28)) && (11..18).contains(&(at % 28));
            assert_eq!(pixel, if inside { 255 } else { 0 }, "row {}, column {}", at / 28, at % 28);
        }
    }
}

#[test]
fn a_page_without_ink_is_an_error() {
    let text = |pixels: &[u8], size| gray(pixels, size).drawing([28, 28]).unwrap_err().to_string();
    let help = "help: draw one large digit with a dark pen on light paper, or the other way round";
    assert_eq!(
        text(&bar(255, 255), PAGE),
        format!("my.png: no ink found: nothing differs from the paper by more than 0 of 255 levels of gray\n  {help}")
    );
    // Texture and light from one side.
    let textured: Vec<u8> = (0..240 * 300).map(|at| (180 + at % 7 * 2 - at % 300 / 6) as u8).collect();
    let text = text(&textured, PAGE);
    assert!(text.starts_with("my.png: no ink found: nothing differs from the paper by more than "), "{text}");
    assert!(text.ends_with(help), "{text}");
    // Pictures of one pixel and of one row.
    for size in [[1, 1], [1, 50], [50, 1]] {
        assert!(gray(&vec![9; size[0] * size[1]], size).drawing([28, 28]).is_err());
    }
}

#[test]
fn edges_of_the_table_and_specks_are_left_out() {
    let mut page = bar(230, 20);
    // The table at the bottom, and two specks.
    page[215 * 300..].fill(40);
    page[5 * 300 + 200] = 0;
    page[100 * 300 + 250..][..3].fill(0);
    let prepared = gray(&page, PAGE).drawing([28, 28]).unwrap();
    assert_eq!(
        prepared.notes(),
        [
            "dark ink on a light page, inverted",
            "what touches the edge of the picture is left out",
            "2 specks left out",
            "the ink, 40×120 of 300×240 pixels, resized to 7×20",
            "placed by its center of mass in 28×28 pixels"
        ]
    );
    // A drawing that fills the picture touches its edge as well.
    let cross: Vec<u8> = (0..60 * 60_usize).map(|at| if (at / 60).abs_diff(at % 60) < 5 { 0 } else { 255 }).collect();
    let prepared = gray(&cross, [60, 60]).drawing([28, 28]).unwrap();
    assert_eq!(prepared.notes()[1], "the ink, 60×60 of 60×60 pixels, resized to 20×20");
}

#[test]
fn several_drawings_are_noted() {
    let mut page = bar(230, 20);
    let mut ink = |columns: std::ops::Range<usize>, rows: std::ops::Range<usize>| {
        rows.for_each(|i| page[i * 300..][columns.clone()].fill(20));
        gray(&page, PAGE).drawing([28, 28]).unwrap().notes()[1].clone()
    };
    // The bar of a 5 above its other stroke, and a dot beside it, are parts of one drawing.
    assert_eq!(ink(110..160, 40..50), "the ink, 60×140 of 300×240 pixels, resized to 9×20");
    assert_eq!(ink(180..190, 100..110), "the ink, 90×140 of 300×240 pixels, resized to 13×20");
    assert_eq!(ink(200..240, 60..180), "2 drawings side by side, taken as one: crop the picture to a single one");
}

#[test]
fn transparent_pixels_are_white_paper() {
    // Black ink on transparent black, as drawing programs save it.
    let pixels: Vec<u8> = bar(0, 255).iter().flat_map(|&alpha| [0, 0, 0, alpha]).collect();
    let picture = decode(&png_file(&pixels, PAGE, ColorType::Rgba)).unwrap();
    let prepared = picture.drawing([28, 28]).unwrap();
    assert_eq!(
        prepared.notes()[..2],
        ["its transparent pixels are laid on white", "dark ink on a light page, inverted"]
    );
    assert_eq!(prepared.pixels(), gray(&bar(255, 0), PAGE).drawing([28, 28]).unwrap().pixels());
    // Half transparent red and gray; opaque pixels have no note.
    let half = decode(&png_file(&[255, 0, 0, 128, 7, 8, 9, 255], [1, 2], ColorType::Rgba)).unwrap();
    assert_eq!(half.pixels(), [255, 7, 127, 8, 127, 9]);
    let opaque = decode(&png_file(&[10, 255, 20, 255], [1, 2], ColorType::GrayscaleAlpha)).unwrap();
    assert_eq!((opaque.pixels(), opaque.photograph([1, 2]).notes()), (&[10, 20, 10, 20, 10, 20][..], &[][..]));
}

#[test]
fn a_photograph_is_cropped_and_resized() {
    // Columns 0 to 2 are black, 3 to 5 have the color, 6 to 8 are white.
    let row: Vec<u8> = (0..9).flat_map(|j| [[0; 3], [90, 60, 30], [255; 3]][j / 3]).collect();
    let picture = decode(&png_file(&row.repeat(3), [3, 9], ColorType::Rgb)).unwrap();
    let prepared = picture.photograph([32, 32]);
    assert_eq!(prepared.shape(), [3, 32, 32]);
    assert_eq!(prepared.pixels(), [[90; 1024], [60; 1024], [30; 1024]].concat());
    assert_eq!(prepared.notes(), ["cropped at its center from 9×3 to 3×3 pixels", "resized from 3×3 to 32×32 pixels"]);
    // A net of wide images takes another window, and an image of its size stays.
    assert_eq!(picture.photograph([2, 4]).notes()[0], "cropped at its center from 9×3 to 6×3 pixels");
    let same = picture.photograph([3, 9]);
    assert_eq!((same.pixels(), same.notes()), (picture.pixels(), &[][..]));
    // However thin the picture is, a pixel is left.
    assert_eq!(picture.photograph([300, 1]).shape(), [3, 300, 1]);
}

#[test]
fn an_object_is_gray_on_black() {
    // 0.299 · 90 + 0.587 · 60 + 0.114 · 30 = 65.55, in the middle of black or white.
    for (edge, expected, inverted) in [(0, 66, false), (255, 255 - 66, true)] {
        let row = |i: usize| (0..9).flat_map(move |j| if i == 4 && j == 4 { [90, 60, 30] } else { [edge; 3] });
        let picture = decode(&png_file(&(0..9).flat_map(row).collect::<Vec<u8>>(), [9, 9], ColorType::Rgb)).unwrap();
        let prepared = picture.gray_object([9, 9]);
        let pixels: Vec<u8> = (0..81).map(|at| if at == 40 { expected } else { 0 }).collect();
        assert_eq!((prepared.shape(), prepared.pixels()), ([1, 9, 9], &pixels[..]));
        let notes = ["converted to gray", "light background, inverted"];
        assert_eq!(prepared.notes(), if inverted { &notes[..] } else { &notes[..1] });
    }
}

#[test]
fn files_that_are_no_images_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let text = |name: &str| {
        let error = Picture::open(&directory.path().join(name)).unwrap_err();
        error.to_string().replace(&directory.path().display().to_string(), "DIR")
    };
    std::fs::write(directory.path().join("a.png"), "no image").unwrap();
    std::fs::write(directory.path().join("page.jpg"), "<!DOCTYPE html>").unwrap();
    std::fs::write(directory.path().join("gif.png"), "GIF89a").unwrap();
    let again = "help: convert it to PNG or JPEG again";
    assert_eq!(text("a.png"), format!("cannot decode DIR/a.png: not a PNG or JPEG file\n  {again}"));
    assert_eq!(text("gif.png"), format!("cannot decode DIR/gif.png: it is GIF, not PNG or JPEG\n  {again}"));
    assert_eq!(
        text("page.jpg"),
        "DIR/page.jpg: this is a web page\n  \
         help: open it in a browser to see what the server says, and download the file again"
    );
    assert_eq!(
        text("absent.png"),
        "cannot read DIR/absent.png: No such file or directory (os error 2)\n  help: check the path"
    );
    assert_eq!(text("."), "cannot read DIR/.: Is a directory (os error 21)\n  help: pass a file");
}

/// The digits of MNIST, drawn large on paper.
#[cfg(feature = "embedded-mnist")]
mod digits {
    use super::*;
    use chainrule_data::{Images, Resize, Sample, Transform, mnist};
    use chainrule_tensor::{Key, Purpose};

    const SIZE: [usize; 2] = [280, 370];

    /// A page with a digit of 200×200 pixels at (50, 130): `page(row, column, ink)` is its brightness, with ink from 0 to 1.
    fn draw(digit: &[u8], page: impl Fn(usize, usize, f64) -> f64) -> Vec<u8> {
        let mut large = Sample::default();
        large.set(digit, [1, 28, 28]);
        Resize::new([200, 200]).apply(&mut large, &mut Key::new(0, Purpose::USER).rng());
        let ink = |i: usize, j: usize| match (i.checked_sub(50), j.checked_sub(130)) {
            (Some(i), Some(j)) if i < 200 && j < 200 => f64::from(large.pixels()[i * 200 + j]) / 255.0,
            _ => 0.0,
        };
        let pixels = (0..SIZE[0] * SIZE[1]).map(|at| (at / SIZE[1], at % SIZE[1]));
        pixels.map(|(i, j)| page(i, j, ink(i, j)).round() as u8).collect()
    }

    /// The mean difference of two images in levels of gray.
    fn distance(a: &[u8], b: &[u8]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    /// The mean distance of `n` prepared digits to the digits themselves, and how many of them are nearer to their own than to
    /// any other of `all`.
    fn check(all: &Images, n: usize, page: impl Fn(usize, usize, f64) -> f64) -> (f64, usize) {
        let (mut sum, mut nearest_is_own) = (0.0, 0);
        for sample in 0..n {
            let prepared = gray(&draw(all.image(sample), &page), SIZE).drawing([28, 28]).unwrap();
            let nearest = (0..all.len())
                .min_by(|&a, &b| {
                    let to = |i| distance(prepared.pixels(), all.image(i));
                    to(a).total_cmp(&to(b))
                })
                .unwrap();
            nearest_is_own += usize::from(nearest == sample);
            // Another one is at least the same digit.
            assert_eq!(all.labels()[nearest], all.labels()[sample], "{:?}", prepared.notes());
            sum += distance(prepared.pixels(), all.image(sample));
        }
        (sum / n as f64, nearest_is_own)
    }

    #[test]
    fn come_back_nearly_as_they_were() {
        let all = mnist::embedded().test().slice(0..300);
        let white = check(&all, 12, |_, _, ink| 255.0 - 255.0 * ink);
        // Gray ink in light that falls off to half from left to right, with texture.
        let photo = check(&all, 12, |i, j, ink| {
            let light = 220.0 - 0.2 * j as f64 - 0.08 * i as f64 - 0.0002 * (j * j) as f64;
            light * (1.0 - 0.7 * ink) + ((i * 7 + j * 13) % 9) as f64 - 4.0
        });
        // Measured: 9.7 levels and 11 digits, 8.3 levels and all. They were enlarged and reduced, and placed by whole pixels.
        for (distance, nearest_is_own) in [white, photo] {
            assert!(distance < 11.0 && nearest_is_own >= 10, "{distance} levels, {nearest_is_own} of 12 digits");
        }
    }

    #[test]
    fn of_the_size_of_the_net_stay_as_they_are() {
        let all = mnist::embedded().test().slice(0..100);
        for sample in 0..all.len() {
            let prepared = gray(all.image(sample), [28, 28]).drawing([28, 28]).unwrap();
            assert_eq!(prepared.pixels(), all.image(sample), "digit {sample}");
            assert_eq!(prepared.notes(), ["a light drawing on a dark page of 28×28 pixels, taken as it is"]);
        }
    }

    #[test]
    fn turned_by_exif_come_back_upright() {
        let all = mnist::embedded().test().slice(0..3);
        let page = draw(all.image(2), |_, _, ink| 255.0 - 255.0 * ink);
        let upright = gray(&page, SIZE);
        // Stored lying on its side: orientation 6 says that its first row is seen on the right.
        let [h, w] = SIZE;
        let lying: Vec<u8> = (0..w).flat_map(|i| (0..h).map(move |j| j * w + w - 1 - i)).map(|at| page[at]).collect();
        let mut bytes = Vec::new();
        let mut info = png::Info::with_size(h as u32, w as u32);
        info.exif_metadata = Some(EXIF.to_vec().into());
        let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
        writer.write_image_data(&lying).unwrap();
        drop(writer);
        let turned = decode(&bytes).unwrap();
        assert_eq!(turned.shape(), upright.shape());
        assert!(turned.pixels() == upright.pixels());
    }

    /// EXIF data with orientation 6.
    const EXIF: [u8; 26] = [b'M', b'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0];
}
