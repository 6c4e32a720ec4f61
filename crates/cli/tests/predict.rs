//! Use of a saved net: `predict` on image files, `evaluate` on the test images.

use std::fs;
use std::path::{Path, PathBuf};

use chainrule::data::{Dataset, image_folder, mnist};
use chainrule::formats::npy;
use tempfile::TempDir;

use crate::training::{digits, events, program, run, small_run, stderr};

/// A folder with the data and the checkpoint `net.safetensors` of a run, and what that run printed.
fn trained() -> (TempDir, PathBuf, String) {
    let data = digits(320, 40);
    let checkpoint = data.path().join("net.safetensors");
    let output = run(small_run(&data, "run.json").0.arg("--save").arg(&checkpoint));
    assert!(output.status.success(), "{}", stderr(&output));
    (data, checkpoint, String::from_utf8(output.stdout).unwrap())
}

/// Writes the first test image of each class as a PNG file; returns the files by class.
fn write_images(data: &Path) -> Vec<PathBuf> {
    let test = mnist::from_dir(data).unwrap().test().slice(0..10);
    let dataset = Dataset::new("digits", test.clone(), test.clone()).unwrap();
    let folder = data.join("images");
    image_folder::save(&dataset, &folder).unwrap();
    (0..10_u8)
        .map(|class| {
            let i = test.labels().iter().position(|&label| label == class).unwrap();
            folder.join(format!("test/{class}/{i:06}.png"))
        })
        .collect()
}

/// The text without the lines of progress and the note of an unoptimized build.
fn errors(output: &std::process::Output) -> String {
    let text = stderr(output);
    text.split_inclusive('\n').filter(|line| !line.starts_with("note: this is an unoptimized")).collect()
}

#[test]
fn images_are_classified_and_a_broken_one_does_not_stop_the_others() {
    let (data, checkpoint, _) = trained();
    let images = write_images(data.path());
    let broken = data.path().join("broken.png");
    fs::write(&broken, "no image").unwrap();
    let absent = data.path().join("absent.png");

    let output = run(program("predict").arg(&checkpoint).args([&images[3], &broken, &images[8], &absent]));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let printed: Vec<&str> = text.lines().collect();
    // Two images with a note and five classes each; no picture, since this is no terminal.
    assert_eq!(printed.len(), 2 * 7, "{text}");
    for (lines, class) in printed.chunks(7).zip([3, 8]) {
        assert_eq!(lines[0], format!("{} (28×28 pixels)", images[class].display()));
        assert_eq!(lines[1], "  a light drawing on a dark page of 28×28 pixels, taken as it is");
        assert!(lines[2].starts_with(&format!("  {class}  ")), "{text}");
        let shares: Vec<f64> =
            lines[2..].iter().map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap()).collect();
        assert!(shares.is_sorted_by(|a, b| a >= b) && shares.iter().sum::<f64>() < 100.1, "{text}");
    }
    assert_eq!(
        errors(&output).replace(&data.path().display().to_string(), "DIR"),
        "error: cannot decode DIR/broken.png: not a PNG or JPEG file\n  help: convert it to PNG or JPEG again\n\
         error: cannot read DIR/absent.png: No such file or directory (os error 2)\n  help: check the path\n\
         error: 2 of 4 images could not be classified\n"
    );
    assert_eq!(output.status.code(), Some(1));

    let all = run(program("predict").arg(&checkpoint).args(&images));
    assert_eq!((errors(&all), all.status.code()), (String::new(), Some(0)));
    let one = run(program("predict").arg(&checkpoint).arg(&broken));
    assert_eq!(one.status.code(), Some(1));
    assert_eq!(errors(&one).lines().count(), 2, "said once: {}", errors(&one));
}

/// The width, height and RGB pixels of a PNG file.
fn pixels(path: &Path) -> (u32, u32, Vec<u8>) {
    let file = std::io::BufReader::new(fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    (frame.width, frame.height, pixels)
}

#[test]
fn explanations_are_drawn_over_the_image() {
    let (data, checkpoint, _) = trained();
    let image = &write_images(data.path())[3];
    let folder = data.path().join("why");
    let output = run(program("predict").arg(&checkpoint).args([image, image]).arg("--explain").arg(&folder));
    assert!(output.status.success(), "{}", stderr(&output));
    let stem = image.file_stem().unwrap().to_str().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace(&folder.display().to_string(), "DIR");
    for n in [1, 2] {
        for line in [
            format!("\n  |∂score/∂pixel|: DIR/{n}-{stem}-saliency.png\n"),
            format!("\n  Grad-CAM of the 7×7 outputs of conv2.max_pool2d: DIR/{n}-{stem}-grad-cam.png\n"),
            format!("\n  the numbers: DIR/{n}-{stem}.npz\n"),
        ] {
            assert!(text.contains(&line), "no '{line}' in {text}");
        }
    }
    let arrays = npy::read_npz(&folder.join(format!("1-{stem}.npz"))).unwrap();
    let shapes: Vec<(&str, &[usize])> = arrays.iter().map(|(name, array)| (&**name, array.shape())).collect();
    assert_eq!(shapes, [("grad_cam", &[28, 28][..]), ("input", &[1, 1, 28, 28]), ("saliency", &[28, 28])]);
    for name in ["saliency", "grad-cam"] {
        let (width, height, pixels) = pixels(&folder.join(format!("1-{stem}-{name}.png")));
        assert_eq!((width, height), (8 * 28, 8 * 28));
        // Somewhere the heat is largest, which is white, and the image below has half its light.
        let colors: Vec<&[u8]> = pixels.chunks_exact(3).collect();
        assert!(colors.contains(&&[255, 255, 255][..]), "{name}");
        assert!(colors.iter().any(|color| color[0] != color[2]), "{name} has colors");
        assert!(pixels == self::pixels(&folder.join(format!("2-{stem}-{name}.png"))).2, "the same image");
        // The largest number of the file is where the picture is white.
        let heat: Vec<f32> = arrays[&*name.replace('-', "_")].to_tensor().unwrap().to_vec();
        let most = heat.iter().position(|&x| x == heat.iter().copied().fold(0.0, f32::max)).unwrap();
        assert_eq!(colors[most / 28 * 8 * 8 * 28 + most % 28 * 8], [255, 255, 255], "{name}");
    }
}

#[test]
fn an_evaluation_has_the_numbers_of_the_run() {
    let (data, checkpoint, trained) = trained();
    let output = run(program("evaluate").arg(&checkpoint).arg("--data-dir").arg(data.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("mnist after epoch 2, 40 test images, "), "{text}");
    // The table of the classes and the confusion matrix, as they were printed at the end of the run.
    let tables = |text: &str| {
        let from = text.find("\naccuracy by class").expect("a table");
        let to = text[from..].find("\n\n").and_then(|at| text[from + at + 2..].find("\n\n").map(|end| at + 2 + end));
        text[from..][..to.expect("two tables")].to_owned()
    };
    assert_eq!(tables(&text), tables(&trained));
    let epoch = events(&data.path().join("run.json")).into_iter().rfind(|event| event["event"] == "epoch").unwrap();
    let number = |key: &str| epoch[key].as_f64().unwrap();
    let expected = format!("test loss {:.4}, accuracy {:.2} %", number("test_loss"), 100.0 * number("test_accuracy"));
    assert!(text.contains(&expected), "no '{expected}' in {text}");
}

#[test]
fn files_that_are_no_checkpoints_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net.safetensors");
    for command in ["predict", "evaluate"] {
        let text = |path: &Path| {
            let mut command = program(command);
            command.arg(path);
            if command.get_args().next().unwrap() == "predict" {
                command.arg("any.png");
            }
            let output = run(&mut command);
            assert_ne!(output.status.code(), Some(0));
            errors(&output).replace(&directory.path().display().to_string(), "DIR")
        };
        assert!(text(&path).starts_with("error: cannot read DIR/net.safetensors: "), "{}", text(&path));
        fs::write(&path, "no checkpoint").unwrap();
        assert!(text(&path).starts_with("error: DIR/net.safetensors: "), "{}", text(&path));
        fs::remove_file(&path).unwrap();
    }
}
