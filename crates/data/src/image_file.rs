//! Image files: decodes PNG and JPEG to 8-bit RGB, encodes PNG. Samples are used as stored: color profiles and gamma are
//! not applied, and alpha is dropped.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// An error of a decoder.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The maximum size of a decoded image: a few bytes of a header can request more memory than the machine has.
const MAX_BYTES: usize = 512 << 20;

/// A decoded image.
pub(crate) struct RgbImage {
    pub height: usize,
    pub width: usize,
    /// (H, W, 3)
    pub pixels: Vec<u8>,
}

/// Decodes a PNG or JPEG file. The format is detected from the contents: PNG files named .jpg are common.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, Cause> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        decode_png(bytes)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        decode_jpeg(bytes)
    } else {
        Err("not a PNG or JPEG file".into())
    }
}

fn decode_png(bytes: &[u8]) -> Result<RgbImage, Cause> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Expands palettes to colors, and 1, 2 and 4 bits to 8. Not 16 to 8: the decoder would truncate where we round.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().filter(|&size| size <= MAX_BYTES).ok_or_else(too_large)?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples)?;
    samples.truncate(frame.buffer_size());
    if frame.bit_depth == png::BitDepth::Sixteen {
        samples = samples.chunks_exact(2).map(|two| nearest_byte(u16::from_be_bytes([two[0], two[1]]))).collect();
    }
    let channels = frame.color_type.samples();
    let rgb = |pixel: &[u8]| if channels < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
    let pixels = samples.chunks_exact(channels).flat_map(rgb).collect();
    Ok(RgbImage { height: frame.height as usize, width: frame.width as usize, pixels })
}

/// The byte b whose b / 255 is nearest to x / 65535.
fn nearest_byte(x: u16) -> u8 {
    ((u32::from(x) + 128) / 257) as u8
}

fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage, Cause> {
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
    Ok(RgbImage { height, width, pixels: decoder.decode()? })
}

fn too_large() -> Cause {
    format!("the decoded image exceeds {} MiB", MAX_BYTES >> 20).into()
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
