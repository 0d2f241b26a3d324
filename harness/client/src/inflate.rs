//! Decodes answers that are compressed although nobody asked for that: a server may choose any coding (RFC 9110, section 12.5.3).

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};

/// The most bytes that one answer decodes to.
const DECODED_LIMIT_BYTES: usize = 64 << 20;

/// The bytes that are decoded at a time. They become 1,032 times as many at most (RFC 1951), so that a bomb is never decoded in one piece.
const PIECE_BYTES: usize = 512;

/// A body that is decoded as it arrives.
#[derive(Debug)]
pub struct Inflate {
    decoder: Decoder,
}

#[derive(Debug)]
enum Decoder {
    Gzip(Box<MultiGzDecoder<Decoded>>),
    Deflate(Box<ZlibDecoder<Decoded>>),
}

/// What was decoded and not taken yet.
#[derive(Debug)]
struct Decoded {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Decoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| {
            let why = format!("it decodes to more than {DECODED_LIMIT_BYTES} bytes");
            io::Error::other(why)
        })?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflate {
    /// The decoder for a `content-encoding`; `None` for `identity`. Fails with the name of a coding that is not known here.
    pub fn of(coding: &[u8]) -> Result<Option<Self>, String> {
        let decoded = Decoded {
            bytes: Vec::new(),
            left: DECODED_LIMIT_BYTES,
        };
        let coding = coding.trim_ascii().to_ascii_lowercase();
        let decoder = match coding.as_slice() {
            b"" | b"identity" => return Ok(None),
            b"gzip" | b"x-gzip" => Decoder::Gzip(Box::new(MultiGzDecoder::new(decoded))),
            b"deflate" => Decoder::Deflate(Box::new(ZlibDecoder::new(decoded))),
            other => return Err(String::from_utf8_lossy(other).into_owned()),
        };
        Ok(Some(Self { decoder }))
    }

    /// Takes the next bytes, and passes what they decode to on in pieces. Fails if they are not of the coding, or decode to too many
    /// bytes. Returns the error of `sink`, which ends the decoding.
    pub fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> io::Result<Result<(), E>> {
        for piece in bytes.chunks(PIECE_BYTES) {
            let decoded = match &mut self.decoder {
                Decoder::Gzip(gzip) => {
                    gzip.write_all(piece)?;
                    gzip.flush()?;
                    gzip.get_mut()
                }
                Decoder::Deflate(deflate) => {
                    deflate.write_all(piece)?;
                    deflate.flush()?;
                    deflate.get_mut()
                }
            };
            if !decoded.bytes.is_empty() {
                let passed = sink(&decoded.bytes);
                decoded.bytes.clear();
                if passed.is_err() {
                    return Ok(passed);
                }
            }
        }
        Ok(Ok(()))
    }

    /// Fails if the end of the coding has not come.
    pub fn end(self) -> io::Result<()> {
        match self.decoder {
            Decoder::Gzip(mut gzip) => gzip.try_finish(),
            Decoder::Deflate(mut deflate) => deflate.try_finish(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    fn feed(inflate: &mut Inflate, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        let fed = inflate.feed(bytes, |piece| {
            decoded.extend_from_slice(piece);
            Ok::<(), ()>(())
        });
        fed.map(|_| decoded)
    }

    #[test]
    fn each_part_is_decoded_when_it_arrives() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut inflate = Inflate::of(b"GZIP").unwrap().unwrap();
        for part in ["data: a\n\n", "data: b\n\n"] {
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let arrived = std::mem::take(encoder.get_mut());
            let (first, rest) = arrived.split_at(3);
            let mut decoded = feed(&mut inflate, first).unwrap();
            decoded.extend(feed(&mut inflate, rest).unwrap());
            assert_eq!(String::from_utf8(decoded).unwrap(), part);
        }
        let end = encoder.finish().unwrap();
        assert_eq!(feed(&mut inflate, &end).unwrap(), b"");
        inflate.end().unwrap();
    }

    #[test]
    fn what_is_cut_or_not_of_the_coding_fails() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&[b'x'; 1000]).unwrap();
        let whole = encoder.finish().unwrap();
        let mut inflate = Inflate::of(b"deflate").unwrap().unwrap();
        assert_eq!(feed(&mut inflate, &whole).unwrap(), [b'x'; 1000]);
        inflate.end().unwrap();
        let mut cut = Inflate::of(b"deflate").unwrap().unwrap();
        feed(&mut cut, &whole[..whole.len() - 5]).unwrap();
        assert!(cut.end().is_err());
        let mut other = Inflate::of(b"gzip").unwrap().unwrap();
        assert!(feed(&mut other, b"data: {}\n\ndata: [DONE]\n\n").is_err());
        assert_eq!(Inflate::of(b"br").unwrap_err(), "br");
        assert!(Inflate::of(b"identity").unwrap().is_none());
    }

    #[test]
    fn a_bomb_is_given_up() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let block = vec![0; 1 << 20];
        for _ in 0..80 {
            encoder.write_all(&block).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let mut inflate = Inflate::of(b"gzip").unwrap().unwrap();
        let mut largest = 0;
        let fed = inflate.feed(&bomb, |piece| {
            largest = largest.max(piece.len());
            Ok::<(), ()>(())
        });
        let error = fed.unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
        assert!((1..=1 << 20).contains(&largest), "{largest}");
        let mut stopped = Inflate::of(b"gzip").unwrap().unwrap();
        assert_eq!(
            stopped.feed(&bomb, |_| Err("enough")).unwrap(),
            Err("enough")
        );
    }
}
