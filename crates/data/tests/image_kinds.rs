//! Every common kind of PNG and JPEG file decodes to the expected pixels.
#![cfg(feature = "images")]

use std::fs;
use std::path::Path;

use chainrule_data::image_folder::ImageFolder;

/// Files written by `tests/images/make.py`, and their RGB pixels, row by row, as decoded by the crate `image` 0.25.10.
const FILES: [(&str, &str); 31] = [
    ("cmyk.jpg", "3e2f1f 0c0805 7f4915 3f189c 140e09 8b5a1d 4c21aa 1c8060 9a6229 572ac4 23006d 054e37"),
    ("gray.jpg", "0a0a0a 3d3d3d 6e6e6e a2a2a2 303030 646464 949494 c8c8c8 5a5a5a 8e8e8e bebebe f2f2f2"),
    ("gray1.png", "ffffff 000000 ffffff 000000 ffffff 000000 ffffff 000000 ffffff 000000 ffffff 000000"),
    ("gray16.png", "282828 e8e8e8 a9a9a9 6a6a6a 999999 5a5a5a 1b1b1b dbdbdb 0a0a0a cbcbcb 8c8c8c 4d4d4d"),
    ("gray2.png", "555555 aaaaaa ffffff 000000 ffffff 000000 555555 aaaaaa 555555 aaaaaa ffffff 000000"),
    ("gray4.png", "111111 222222 333333 444444 333333 444444 555555 666666 555555 666666 777777 888888"),
    ("gray8.png", "272727 e8e8e8 a9a9a9 6a6a6a 999999 5a5a5a 1a1a1a dbdbdb 0a0a0a cbcbcb 8c8c8c 4d4d4d"),
    ("gray_alpha16.png", "282828 e8e8e8 a9a9a9 6a6a6a 999999 5a5a5a 1b1b1b dbdbdb 0a0a0a cbcbcb 8c8c8c 4d4d4d"),
    ("gray_alpha8.png", "272727 e8e8e8 a9a9a9 6a6a6a 999999 5a5a5a 1a1a1a dbdbdb 0a0a0a cbcbcb 8c8c8c 4d4d4d"),
    ("gray_transparent.png", "272727 e8e8e8 a9a9a9 6a6a6a 999999 5a5a5a 1a1a1a dbdbdb 0a0a0a cbcbcb 8c8c8c 4d4d4d"),
    ("interlaced.png", "2765a3 e82663 a9e724 6aa8e5 99d614 5a97d5 1a5896 db1957 0a4885 cb0946 8cc907 4d8ac8"),
    ("interlaced_palette.png", "25303b 4a5560 6f7a85 000b16 6f7a85 000b16 25303b 4a5560 25303b 4a5560 6f7a85 000b16"),
    ("palette1.png", "25303b 000b16 25303b 000b16 25303b 000b16 25303b 000b16 25303b 000b16 25303b 000b16"),
    ("palette2.png", "25303b 4a5560 6f7a85 000b16 6f7a85 000b16 25303b 4a5560 25303b 4a5560 6f7a85 000b16"),
    ("palette4.png", "25303b 4a5560 6f7a85 949faa 6f7a85 949faa b9c4cf dee9f4 b9c4cf dee9f4 030e19 28333e"),
    ("palette8.png", "a3aeb9 88939e 6d7883 525d68 1d2833 020d18 c2cdd8 a7b2bd 727d88 57626d 3c4752 212c37"),
    ("palette_transparent.png", "25303b 4a5560 6f7a85 949faa 6f7a85 949faa b9c4cf dee9f4 b9c4cf dee9f4 030e19 28333e"),
    ("progressive.jpg", "004d6e 4b818d 9fa685 cdae78 357982 749f98 b1ac84 734011 6c9f74 94aa7c efcb97 ab5532"),
    ("progressive_gray.jpg", "0a0a0a 3d3d3d 6e6e6e a2a2a2 303030 646464 949494 c8c8c8 5a5a5a 8e8e8e bebebe f2f2f2"),
    ("restarts.jpg", "004d6e 4b818d 9fa685 cdae78 357982 749f98 b1ac84 734011 6c9f74 94aa7c efcb97 ab5532"),
    ("rgb16.png", "2865a2 e82664 a9e625 6aa7e5 99d614 5a97d4 1b5896 db1957 0a4885 cb0946 8cc908 4d8ac8"),
    ("rgb420.jpg", "004d6e 4b818d 9fa685 cdae78 357982 749f98 b1ac84 734011 6c9f74 94aa7c efcb97 ab5532"),
    ("rgb422.jpg", "01468b 4480a2 84b28e a0c867 3273ad 7698b1 c1a57d 8f330a 67a75d 93af64 f7cc7d be501d"),
    ("rgb444.jpg", "123f82 3d80b5 6face2 99dc13 3671ad 599cea 9ecd0b c50d43 6094ce 7acf04 b8f939 e62e64"),
    ("rgb8.png", "2765a3 e82663 a9e724 6aa8e5 99d614 5a97d5 1a5896 db1957 0a4885 cb0946 8cc907 4d8ac8"),
    ("rgb_gamma.png", "2765a3 e82663 a9e724 6aa8e5 99d614 5a97d5 1a5896 db1957 0a4885 cb0946 8cc907 4d8ac8"),
    ("rgb_stored.jpg", "0a4485 3d7eb2 6eabe6 a2db16 3071a6 649ade 94d00e c80544 5a96d3 8ec901 beff34 f22d6b"),
    ("rgb_transparent.png", "2765a3 e82663 a9e724 6aa8e5 99d614 5a97d5 1a5896 db1957 0a4885 cb0946 8cc907 4d8ac8"),
    ("rgba16.png", "2865a2 e82664 a9e625 6aa7e5 99d614 5a97d4 1b5896 db1957 0a4885 cb0946 8cc908 4d8ac8"),
    ("rgba8.png", "2765a3 e82663 a9e724 6aa8e5 99d614 5a97d5 1a5896 db1957 0a4885 cb0946 8cc907 4d8ac8"),
    ("ycck.jpg", "040600 080204 de11a3 0a89ab 0a0202 cf1483 008eb4 3c8300 c2157a 00a0c5 2f6c8a 505f24"),
];

#[test]
fn every_kind_decodes_to_the_expected_pixels() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    for (name, expected) in FILES {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("class");
        fs::create_dir(&class).unwrap();
        fs::copy(images.join(name), class.join(name)).unwrap();
        let (read, _) = ImageFolder::new().load_part(root.path()).unwrap();
        assert_eq!(read.shape(), [1, 3, 3, 4], "{name}");
        let plane = 3 * 4;
        let pixel = |i: usize| {
            let [r, g, b] = [0, 1, 2].map(|c| read.image(0)[c * plane + i]);
            format!("{r:02x}{g:02x}{b:02x}")
        };
        let found: Vec<String> = (0..plane).map(pixel).collect();
        assert_eq!(found.join(" "), expected, "{name}");
    }
    // All files are listed, except the two of `image_folder.rs`.
    let made = fs::read_dir(images).unwrap().filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.extension().is_some_and(|extension| extension == "png" || extension == "jpg")
    });
    assert_eq!(made.count(), FILES.len() + 2);
}
