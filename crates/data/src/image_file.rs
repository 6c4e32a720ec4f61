//! Image files: decodes PNG and JPEG to 8-bit RGB, encodes PNG. Samples are used as stored: color profiles and gamma are
//! not applied, and alpha is dropped, or the image is laid on white. The EXIF orientation is applied.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::Result;
use crate::files;
use crate::orientation::Orientation;

/// An error of a decoder.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The maximum size of a decoded image: a few bytes of a header can request more memory than the machine has.
const MAX_BYTES: usize = 512 << 20;

/// A byte of deflate, the compression of PNG, stands for at most 1032 bytes: 258 for two bits.
const MAX_DEFLATE: usize = 1032;

/// A byte of JPEG stands for at most 8 blocks of 8×8 pixels: the code of each has at least one bit.
const MAX_JPEG: usize = 8 * 64;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";

/// What a file is, by its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PNG or JPEG, or anything else that is named so.
    Readable,
    /// An image of another format, by name.
    Unreadable(&'static str),
    /// No image.
    Other,
}

/// The kind of a file. The contents decide, since files with another extension than their format's are common; the extension
/// decides where they say nothing, or may not be read: that fails when an image is decoded, and not for other files.
pub(crate) fn kind(path: &Path) -> Result<Kind> {
    let mut start = Vec::new();
    match File::open(path).and_then(|file| file.take(16).read_to_end(&mut start)) {
        Err(source) if source.kind() != ErrorKind::PermissionDenied => return Err(files::cannot_read(path, source)),
        _ => {}
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    Ok(match format(&start) {
        Some("PNG" | "JPEG") => Kind::Readable,
        Some(format) => Kind::Unreadable(format),
        None => match &*extension {
            "png" | "jpg" | "jpeg" | "jpe" | "jfif" => Kind::Readable,
            "bmp" | "dib" => Kind::Unreadable("BMP"),
            "gif" => Kind::Unreadable("GIF"),
            "webp" => Kind::Unreadable("WebP"),
            "tif" | "tiff" => Kind::Unreadable("TIFF"),
            "avif" => Kind::Unreadable("AVIF"),
            "heic" | "heif" => Kind::Unreadable("HEIC"),
            "jp2" | "j2k" => Kind::Unreadable("JPEG 2000"),
            "jxl" => Kind::Unreadable("JPEG XL"),
            "pbm" | "pgm" | "ppm" | "pnm" => Kind::Unreadable("PNM"),
            "ico" => Kind::Unreadable("ICO"),
            "tga" => Kind::Unreadable("TGA"),
            "svg" => Kind::Unreadable("SVG"),
            _ => Kind::Other,
        },
    })
}

/// The format that the first 16 bytes of a file state.
fn format(start: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 9] = [
        (PNG, "PNG"),
        (JPEG, "JPEG"),
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
    ];
    if let Some((_, format)) = STARTS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(format);
    }
    match (start.get(..2), start.get(4..8), start.get(8..12)) {
        (Some(b"RI"), _, Some(b"WEBP")) => Some("WebP"),
        (_, Some(b"ftyp"), Some(b"avif" | b"avis")) => Some("AVIF"),
        (_, Some(b"ftyp"), Some(b"heic" | b"heix" | b"mif1" | b"hevc")) => Some("HEIC"),
        // Two letters could be a text; the reserved bytes, 0, are none.
        (Some(b"BM"), ..) if start.get(6..10) == Some(&[0; 4]) => Some("BMP"),
        _ => None,
    }
}

/// An image file whose header has been read.
pub(crate) struct ImageFile<'a> {
    decoder: Decoder<'a>,
    /// The stored (height, width).
    stored: (usize, usize),
    orientation: Orientation,
}

enum Decoder<'a> {
    Png(Box<png::Reader<Cursor<&'a [u8]>>>),
    Jpeg(Box<JpegDecoder<Cursor<&'a [u8]>>>),
}

impl<'a> ImageFile<'a> {
    /// Reads the header of a PNG or JPEG file.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Cause> {
        match format(bytes) {
            Some("PNG") => open_png(bytes),
            Some("JPEG") => open_jpeg(bytes),
            Some(other) => Err(format!("it is {other}, not PNG or JPEG").into()),
            None if bytes.is_empty() => Err("the file is empty".into()),
            None => Err("not a PNG or JPEG file".into()),
        }
    }

    /// The (height, width) of the image as it is seen.
    pub fn size(&self) -> (usize, usize) {
        self.orientation.size(self.stored)
    }

    /// The pixels (H, W, 3), without alpha.
    pub fn decode(self) -> Result<Vec<u8>, Cause> {
        let (orientation, stored) = (self.orientation, self.stored);
        Ok(orientation.apply(self.stored_samples()?.rgb(), stored))
    }

    /// The pixels (H, W, 3) of the image on a white page, and whether any of the page is seen.
    pub fn decode_on_white(self) -> Result<(Vec<u8>, bool), Cause> {
        let (orientation, stored) = (self.orientation, self.stored);
        let samples = self.stored_samples()?;
        let transparent = samples.alphas().any(|alpha| alpha < 255);
        Ok((orientation.apply(samples.on_white(), stored), transparent))
    }

    fn stored_samples(self) -> Result<Samples, Cause> {
        match self.decoder {
            Decoder::Png(reader) => decode_png(*reader),
            Decoder::Jpeg(mut decoder) => Ok(Samples { bytes: decoder.decode()?, channels: 3 }),
        }
    }
}

/// Decoded samples: 1 channel is gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
struct Samples {
    bytes: Vec<u8>,
    channels: usize,
}

impl Samples {
    /// RGB, without alpha.
    fn rgb(self) -> Vec<u8> {
        if self.channels == 3 { self.bytes } else { self.pixels().flatten().collect() }
    }

    /// RGB on white.
    fn on_white(self) -> Vec<u8> {
        if !self.has_alpha() {
            return self.rgb();
        }
        // Rounded to nearest; alpha 255 keeps the color, 0 gives white.
        let blend = |color: u8, alpha: u8| {
            let (color, alpha) = (u32::from(color), u32::from(alpha));
            ((color * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        self.pixels().zip(self.alphas()).flat_map(|(rgb, alpha)| rgb.map(|color| blend(color, alpha))).collect()
    }

    fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        let pixels = self.bytes.chunks_exact(self.channels);
        pixels.map(|p| if p.len() < 3 { [p[0]; 3] } else { [p[0], p[1], p[2]] })
    }

    fn has_alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// The alpha of each pixel; nothing if there is none.
    fn alphas(&self) -> impl Iterator<Item = u8> {
        let with_alpha = if self.has_alpha() { &self.bytes[..] } else { &[] };
        with_alpha.chunks_exact(self.channels).map(|pixel| pixel[pixel.len() - 1])
    }
}

fn open_png(bytes: &[u8]) -> Result<ImageFile<'_>, Cause> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Expands palettes to colors, and 1, 2 and 4 bits to 8. Not 16 to 8: the decoder would truncate where we round.
    decoder.set_transformations(png::Transformations::EXPAND);
    let reader = decoder.read_info()?;
    reader.output_buffer_size().filter(|&size| size <= MAX_BYTES).ok_or_else(too_large)?;
    let info = reader.info();
    let stored = (info.height as usize, info.width as usize);
    if info.raw_bytes() > bytes.len().saturating_mul(MAX_DEFLATE) {
        return Err(cannot_hold(stored, bytes));
    }
    let orientation = png_exif(bytes).map_or(Orientation::NORMAL, Orientation::from_exif);
    Ok(ImageFile { decoder: Decoder::Png(Box::new(reader)), stored, orientation })
}

/// The contents of the eXIf chunk. It may follow the pixels, so the decoder has not seen it.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(PNG)?;
    loop {
        // Length, type, contents, checksum.
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let contents = rest.get(8..)?.get(..length)?;
        if &rest[4..8] == b"eXIf" {
            return Some(contents);
        }
        rest = rest.get(12 + length..)?;
    }
}

fn decode_png(mut reader: png::Reader<Cursor<&[u8]>>) -> Result<Samples, Cause> {
    let mut samples = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    let frame = reader.next_frame(&mut samples)?;
    samples.truncate(frame.buffer_size());
    if frame.bit_depth == png::BitDepth::Sixteen {
        samples = samples.chunks_exact(2).map(|two| nearest_byte(u16::from_be_bytes([two[0], two[1]]))).collect();
    }
    Ok(Samples { bytes: samples, channels: frame.color_type.samples() })
}

/// The byte b whose b / 255 is nearest to x / 65535.
fn nearest_byte(x: u16) -> u8 {
    ((u32::from(x) + 128) / 257) as u8
}

fn open_jpeg(bytes: &[u8]) -> Result<ImageFile<'_>, Cause> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().expect("the headers are decoded");
    if width * height > MAX_BYTES / 3 {
        return Err(too_large());
    }
    if width * height > bytes.len().saturating_mul(MAX_JPEG) {
        return Err(cannot_hold((height, width), bytes));
    }
    let orientation = decoder.exif().map_or(Orientation::NORMAL, |exif| Orientation::from_exif(exif));
    Ok(ImageFile { decoder: Decoder::Jpeg(Box::new(decoder)), stored: (height, width), orientation })
}

fn too_large() -> Cause {
    format!("the decoded image exceeds {} MiB", MAX_BYTES >> 20).into()
}

fn cannot_hold((height, width): (usize, usize), bytes: &[u8]) -> Cause {
    format!("its header says {width}×{height} pixels, more than a file of {} bytes can hold", bytes.len()).into()
}

/// (H, W, 3) → (3, H, W)
pub(crate) fn split_channels(pixels: &[u8], output: &mut [u8]) {
    let plane = output.len() / 3;
    for (i, rgb) in pixels.chunks_exact(3).enumerate() {
        for (channel, &value) in rgb.iter().enumerate() {
            output[channel * plane + i] = value;
        }
    }
}

/// Encodes 8-bit `pixels` (H, W, C), C = 1 (grayscale) or 3 (RGB), as PNG.
///
/// # Panics
/// If the image is empty, or has 2³¹ or more rows or columns.
pub(crate) fn encode_png(pixels: &[u8], [height, width]: [usize; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(if pixels.len() == height * width { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    let write = |mut writer: png::Writer<_>| writer.write_image_data(pixels).and_then(|()| writer.finish());
    encoder
        .write_header()
        .and_then(write)
        .expect("writing to memory cannot fail, and the length of the pixels matches the header");
    bytes
}
