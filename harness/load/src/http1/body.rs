//! Where a body ends (RFC 9112, sections 6.3 and 7.1).

/// A body that arrives.
#[derive(Debug)]
pub(super) enum Framing {
    /// This many bytes are still missing.
    Length(u64),
    /// In chunks.
    Chunked(Chunked),
    /// Until the connection ends.
    UntilClose,
}

/// The state between two reads of a chunked body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    part: Part,
    /// Bytes of the chunk that are still missing.
    left: u64,
    /// Characters of the line so far.
    seen: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    Extension,
    Data,
    DataEnd,
    Trailer,
    Done,
}

/// The longest size line or trailer, in bytes.
const LINE_LIMIT_BYTES: usize = 16 << 10;

/// The result of feeding the bytes of one read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    More,
    /// The body has ended; this many trailing bytes are not part of it.
    Ended(usize),
    /// This is no chunked body.
    Broken,
}

impl Framing {
    /// Takes bytes of a connection and passes those of the body to `data`. Stops when `data` fails.
    pub(super) fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Progress, E> {
        match self {
            Self::UntilClose => data(bytes).map(|()| Progress::More),
            Self::Length(left) => {
                let own = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                if own > 0 {
                    data(&bytes[..own])?;
                }
                *left -= own as u64;
                Ok(match *left {
                    0 => Progress::Ended(bytes.len() - own),
                    _ => Progress::More,
                })
            }
            Self::Chunked(chunked) => chunked.feed(bytes, data),
        }
    }

    /// Whether the end of the connection is the end of the body.
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

impl Chunked {
    fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Progress, E> {
        loop {
            if self.part == Part::Data {
                let own = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                if own > 0 {
                    data(&bytes[..own])?;
                }
                self.left -= own as u64;
                bytes = &bytes[own..];
                if self.left == 0 {
                    (self.part, self.seen) = (Part::DataEnd, 0);
                }
            }
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(Progress::More);
            };
            bytes = rest;
            self.seen += 1;
            if self.seen > LINE_LIMIT_BYTES || !self.take(*byte) {
                return Ok(Progress::Broken);
            }
            if self.part == Part::Done {
                return Ok(Progress::Ended(bytes.len()));
            }
        }
    }

    /// Takes a byte that is not data; `false` if the byte is not allowed there.
    fn take(&mut self, byte: u8) -> bool {
        match (self.part, byte) {
            // A size has a digit.
            (Part::Size, b'\r' | b'\n' | b';' | b' ' | b'\t') if self.seen < 2 => return false,
            (Part::Size | Part::Extension, b'\n') => {
                self.part = match self.left {
                    0 => Part::Trailer,
                    _ => Part::Data,
                };
                self.seen = 0;
            }
            (Part::Size, b'\r' | b';' | b' ' | b'\t') => self.part = Part::Extension,
            (Part::Size, digit) => match char::from(digit).to_digit(16) {
                Some(digit) if self.left < 1 << 48 => self.left = self.left * 16 + u64::from(digit),
                _ => return false,
            },
            (Part::Extension, _) => {}
            (Part::DataEnd, b'\r') => {}
            (Part::DataEnd, b'\n') => (self.part, self.seen) = (Part::Size, 0),
            (Part::DataEnd, _) => return false,
            // An empty line ends the trailers.
            (Part::Trailer, b'\r') => self.seen -= 1,
            (Part::Trailer, b'\n') if self.seen == 1 => self.part = Part::Done,
            (Part::Trailer, b'\n') => self.seen = 0,
            (Part::Trailer, _) => {}
            (Part::Data | Part::Done, _) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut framing: Framing, bytes: &[u8], size: usize) -> (Vec<u8>, Progress) {
        let mut body = Vec::new();
        let mut progress = Progress::More;
        for chunk in bytes.chunks(size) {
            let fed = framing.feed(chunk, |data| {
                body.extend_from_slice(data);
                Ok::<(), ()>(())
            });
            progress = fed.unwrap_or(Progress::Broken);
            if progress != Progress::More {
                break;
            }
        }
        (body, progress)
    }

    #[test]
    fn chunks_are_joined_at_every_split() {
        let wire =
            b"5\r\nhello\r\n1;name=\"x\"\r\n \r\n00A\r\nworld, all\r\n0\r\nTrailer: 1\r\n\r\n";
        for size in 1..=wire.len() {
            let framing = Framing::Chunked(Chunked::default());
            let (body, progress) = read(framing, wire, size);
            assert_eq!(body, b"hello world, all");
            assert_eq!(progress, Progress::Ended(0), "{size}");
        }
    }

    #[test]
    fn bytes_after_a_body_are_counted() {
        let framing = Framing::Chunked(Chunked::default());
        let (_, progress) = read(framing, b"1\r\na\r\n0\r\n\r\nHTTP", 100);
        assert_eq!(progress, Progress::Ended(4));
        assert_eq!(read(Framing::Length(2), b"abc", 100).1, Progress::Ended(1));
        assert_eq!(read(Framing::Length(4), b"abc", 100).1, Progress::More);
    }

    #[test]
    fn an_invalid_chunk_is_broken() {
        let endless = [b"1".as_slice(), &[b';'; 20_000]].concat();
        for wire in [
            b"x\r\n".as_slice(),
            b"\r\n",
            b"1\r\nab",
            b"ffffffffffffffff\r\n",
            &endless,
        ] {
            let framing = Framing::Chunked(Chunked::default());
            assert_eq!(read(framing, wire, 100).1, Progress::Broken);
        }
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::{config, pieces};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// The body, and what became of it: `Ended` with the number of bytes that were not its own.
    fn read(mut framing: Framing, wire: &[u8], sizes: &[usize]) -> (Vec<u8>, Progress) {
        let mut body = Vec::new();
        let mut left = wire.len();
        for piece in pieces(wire, sizes) {
            left -= piece.len();
            let Ok(progress) = framing.feed(piece, |data| {
                body.extend_from_slice(data);
                Ok::<(), std::convert::Infallible>(())
            });
            match progress {
                Progress::More => {}
                Progress::Ended(behind) => return (body, Progress::Ended(left + behind)),
                Progress::Broken => return (body, Progress::Broken),
            }
        }
        (body, Progress::More)
    }

    fn chunked() -> Framing {
        Framing::Chunked(Chunked::default())
    }

    /// Bytes of which many are sizes and line ends.
    fn nearly_chunks() -> impl Strategy<Value = Vec<u8>> {
        const PARTS: &[&[u8]] = &[
            b"0",
            b"1",
            b"2",
            b"a",
            b"F",
            b"\r\n",
            b"\n",
            b"\r",
            b";",
            b" ",
            b"0\r\n",
            b"1\r\nx\r\n",
        ];
        let part = prop_oneof![
            6 => select(PARTS).prop_map(<[u8]>::to_vec),
            1 => vec(any::<u8>(), 0..4),
        ];
        vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_bytes_give_the_same_body_at_every_split(
            wire in nearly_chunks(),
            length in 0_u64..40,
            sizes in vec(1_usize..9, 1..6),
        ) {
            let whole = [usize::MAX];
            prop_assert_eq!(read(chunked(), &wire, &sizes), read(chunked(), &wire, &whole));
            let (body, progress) = read(Framing::Length(length), &wire, &sizes);
            prop_assert!(wire.starts_with(&body) && body.len() as u64 <= length);
            if !wire.is_empty() {
                prop_assert_eq!((body, progress), read(Framing::Length(length), &wire, &whole));
            }
            prop_assert_eq!(read(Framing::UntilClose, &wire, &sizes), (wire, Progress::More));
        }

        #[test]
        fn a_body_written_in_chunks_is_read_back(
            body in vec(any::<u8>(), 0..200),
            chunks in vec(1_usize..50, 1..6),
            upper in any::<bool>(),
            extension in "(;[a-z]{1,5}(=[a-z]{1,5})?)?",
            trailer in "([a-z]{1,5}: [a-z]{0,5}\r\n)?",
            behind in vec(any::<u8>(), 0..9),
            sizes in vec(1_usize..9, 1..6),
        ) {
            let mut wire = Vec::new();
            for chunk in pieces(&body, &chunks) {
                let size = match upper {
                    true => format!("{:X}", chunk.len()),
                    false => format!("{:03x}", chunk.len()),
                };
                wire.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
            wire.extend_from_slice(&behind);
            prop_assert_eq!(read(chunked(), &wire, &sizes), (body, Progress::Ended(behind.len())));
        }
    }
}
