//! Images of a given size for prompts. They are generated: no download.
//!
//! An image is a PNG of coloured tiles that follow from the seed. Its first row is drawn for each request, so that no cache of decoded
//! images knows it.
//!
//! Source: PNG specification (third edition), chunks and filters; RFC 1950 (zlib) and RFC 1951 (a stored block for the first row, a
//! compressed rest).

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The largest width and height, in pixels.
pub const SIDE_MAX: u32 = 8192;
/// The width and height of a tile, in pixels.
const TILE: usize = 16;
/// The bytes of a pixel: red, green and blue.
const PIXEL_BYTES: usize = 3;
/// The modulus of Adler-32 (RFC 1950, section 8.2).
const ADLER: u64 = 65_521;

/// What the images of one size have in common.
#[derive(Debug)]
pub struct Canvas {
    /// The signature, the header, and the beginning of the first row's chunk.
    before: Vec<u8>,
    /// The bytes of the first row: its filter and its pixels.
    row_bytes: usize,
    /// The compressed rest of the rows, as a chunk.
    rest: Vec<u8>,
    rest_adler: (u64, u64),
    rest_bytes: u64,
}

impl Canvas {
    /// Images of this size, of which neither side is above [`SIDE_MAX`].
    pub fn new(seed: u64, width: u32, height: u32) -> Self {
        let (width, height) = (width.clamp(1, SIDE_MAX), height.clamp(1, SIDE_MAX));
        let mut before = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        // 8 bits a sample, colour, and the only methods there are.
        header.extend_from_slice(&[8, 2, 0, 0, 0]);
        chunk(&mut before, b"IHDR", &header);
        let row_bytes = 1 + PIXEL_BYTES * width as usize;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = Vec::new();
        let mut row = vec![0; row_bytes];
        for number in 1..height as usize {
            if number == 1 || number.is_multiple_of(TILE) {
                for tile in row[1..].chunks_mut(PIXEL_BYTES * TILE) {
                    let colour: [u8; PIXEL_BYTES] = rng.random();
                    let pixels = tile.chunks_mut(PIXEL_BYTES);
                    pixels.for_each(|pixel| pixel.copy_from_slice(&colour));
                }
            }
            rows.extend_from_slice(&row);
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        // Writing to memory cannot fail.
        let _ = encoder.write_all(&rows);
        let mut rest = Vec::new();
        chunk(&mut rest, b"IDAT", &encoder.finish().unwrap_or_default());
        Self {
            before,
            row_bytes,
            rest,
            rest_adler: adler(&rows),
            rest_bytes: rows.len() as u64,
        }
    }

    /// Appends an image in base64; its first row is drawn.
    pub fn append_base64(&self, into: &mut Vec<u8>, rng: &mut impl Rng) {
        let png = self.png(rng);
        let begins_at = into.len();
        into.resize(begins_at + png.len().div_ceil(3) * 4, 0);
        // The room is exactly that of the encoding.
        let _ = STANDARD.encode_slice(&png, &mut into[begins_at..]);
    }

    fn png(&self, rng: &mut impl Rng) -> Vec<u8> {
        let mut row = vec![0; self.row_bytes];
        rng.fill_bytes(&mut row[1..]);
        let length = self.row_bytes as u16;
        let mut first = vec![0x78, 0x01, 0x00];
        first.extend_from_slice(&length.to_le_bytes());
        first.extend_from_slice(&(!length).to_le_bytes());
        first.extend_from_slice(&row);
        // The sum of both parts, as if they were one.
        let (a, b) = adler(&row);
        let (rest_a, rest_b) = self.rest_adler;
        let all_a = (a + rest_a + ADLER - 1) % ADLER;
        let all_b = (b + rest_b + (self.rest_bytes % ADLER) * (a + ADLER - 1)) % ADLER;
        let sum = ((all_b << 16) | all_a) as u32;
        let mut png = self.before.clone();
        chunk(&mut png, b"IDAT", &first);
        png.extend_from_slice(&self.rest);
        chunk(&mut png, b"IDAT", &sum.to_be_bytes());
        chunk(&mut png, b"IEND", b"");
        png
    }
}

/// Appends a chunk.
fn chunk(into: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    into.extend_from_slice(&(data.len() as u32).to_be_bytes());
    into.extend_from_slice(kind);
    into.extend_from_slice(data);
    into.extend_from_slice(&crc.sum().to_be_bytes());
}

/// The two sums of Adler-32.
fn adler(bytes: &[u8]) -> (u64, u64) {
    bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u64::from(*byte)) % ADLER;
        (a, (b + a) % ADLER)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    /// The pixels of an image, whose sums are checked.
    fn rows(png: &[u8]) -> Vec<u8> {
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut data = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (chunk, after) = rest[4..].split_at(4 + length);
            let mut crc = Crc::new();
            crc.update(chunk);
            assert_eq!(after[..4], crc.sum().to_be_bytes());
            if chunk.starts_with(b"IDAT") {
                data.extend_from_slice(&chunk[4..]);
            }
            rest = &after[4..];
        }
        let mut rows = Vec::new();
        // It fails on a wrong sum.
        ZlibDecoder::new(data.as_slice())
            .read_to_end(&mut rows)
            .unwrap();
        rows
    }

    #[test]
    fn an_image_has_its_size_and_differs_from_others_in_its_first_row() {
        for (width, height) in [(1, 1), (1, 2), (17, 33), (512, 300), (8192, 2)] {
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let canvas = Canvas::new(1, width, height);
            let (first, second) = (rows(&canvas.png(&mut rng)), rows(&canvas.png(&mut rng)));
            let row = 1 + 3 * width as usize;
            assert_eq!(first.len(), row * height as usize);
            assert_eq!(first[row..], second[row..]);
            assert_ne!(first[..row], second[..row]);
        }
    }

    #[test]
    fn the_seeds_decide_an_image() {
        let image = |seed, own| {
            let mut text = Vec::new();
            Canvas::new(seed, 64, 64).append_base64(&mut text, &mut ChaCha8Rng::seed_from_u64(own));
            assert_eq!(text.len() % 4, 0);
            STANDARD.decode(&text).unwrap()
        };
        assert_eq!(image(1, 2), image(1, 2));
        assert_ne!(image(1, 2), image(1, 3));
        assert_ne!(image(1, 2), image(2, 2));
        assert!(image(1, 2).len() < 64 * 64 * 3 / 4);
    }
}
