//! Frames, and blocks of frames, that came twice in a row.
//!
//! A text may repeat its own words, so this alone proves nothing; it does where a stream has more frames with text than its usage
//! counts tokens.

/// The longest block that is looked for, in frames: what a write of a server or a gateway holds.
const BLOCK_MAX: usize = 8;

/// The last frames, and how many of them repeat those before.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Marks of the last frames, the newest first.
    last: [u32; BLOCK_MAX],
    /// For each distance, how many frames in a row are those of that distance before.
    run: [u32; BLOCK_MAX],
    /// For each length of a block, how many frames came in blocks that repeat the one before.
    found: [u32; BLOCK_MAX],
}

impl Repeats {
    /// Takes the text of the next frame.
    #[inline]
    pub(super) fn add(&mut self, text: &[u8]) {
        let mark = mark(text);
        let mut whole = false;
        for distance in 0..BLOCK_MAX {
            let longer = self.run[distance] + 1;
            let is_same = self.last[distance] == mark;
            self.run[distance] = if is_same { longer } else { 0 };
            whole |= self.run[distance] > distance as u32;
        }
        if whole {
            self.count();
        }
        let [a, b, c, d, e, f, g, _] = self.last;
        self.last = [mark, a, b, c, d, e, f, g];
    }

    #[cold]
    fn count(&mut self) {
        for (distance, run) in self.run.iter_mut().enumerate() {
            let block = distance as u32 + 1;
            if *run >= block {
                self.found[distance] += block;
                *run = 0;
            }
        }
    }

    /// Whether this many frames came in blocks that repeat the one before.
    pub(super) fn explain(&self, frames: u64) -> bool {
        self.found.iter().any(|found| u64::from(*found) >= frames)
    }
}

/// A mark of a text: its length, and its first and last bytes (multiplicative hashing, Knuth, volume 3, section 6.4). Never 0.
#[inline]
fn mark(text: &[u8]) -> u32 {
    let (first, last) = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => {
            let word = text
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
            (word, word)
        }
    };
    let all = first ^ last.rotate_left(23) ^ (text.len() as u64).rotate_left(51);
    (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Repeats {
        let mut repeats = Repeats::default();
        texts.iter().for_each(|text| repeats.add(text.as_bytes()));
        repeats
    }

    #[test]
    fn a_frame_or_a_block_that_comes_twice_is_found_and_words_that_return_are_not() {
        assert!(of(&["a", "b", "b", "c"]).explain(1));
        assert!(!of(&["a", "b", "b", "c"]).explain(2));
        assert!(of(&["a", "b", "c", "a", "b", "c", "d"]).explain(3));
        assert!(!of(&["the", "of", "and", "the", "to", "of"]).explain(1));
        assert!(!of(&["a", "b", "c", "d"]).explain(1));
        assert!(of(&["word"; 20]).explain(1));
    }
}
