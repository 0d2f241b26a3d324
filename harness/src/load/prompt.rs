//! Prompts of a given length, made here: no download, no tokenizer.
//!
//! A text is a run of common English words, which byte-pair vocabularies have as one token each, with the space before it, and
//! llm-d-inference-sim counts as one too. What a server really counted stands in the record.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Words of four letters: so long that numbers and places in the text follow from one another.
const WORDS: &str = "able area army away baby back ball band bank base beat been best bill bird blue boat body book both \
    call came card care case cash city club cold come cost crew data date days dead deal debt does done door down draw drop \
    each east edge ends even ever eyes face fact fair fall farm fast fear feel feet fell felt file fill film find fine fire \
    firm fish five flat flow food foot form four free from full fund game gave girl give glad goal goes gold gone good grew";

const WORD_BYTES: usize = 4;
/// A word and the space before it.
const STEP_BYTES: usize = WORD_BYTES + 1;
/// Words of the text that prompts are cut from.
const TEXT_WORDS: usize = 1 << 16;

/// Words that are drawn one by one: 60 bytes with 2^80 possible texts.
const UNIQUE_WORDS: u32 = 12;

/// Text to cut prompts from.
#[derive(Debug)]
pub struct Texts(Vec<u8>);

impl Texts {
    /// The text of a seed.
    pub fn new(seed: u64) -> Self {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = Vec::with_capacity(TEXT_WORDS * STEP_BYTES);
        for _ in 0..TEXT_WORDS {
            text.push(b' ');
            text.extend_from_slice(words[rng.random_range(0..words.len())].as_bytes());
        }
        Self(text)
    }

    /// Appends so many words that no other request has: they differ within the first 64 bytes, where prefix caches look first.
    pub fn append_unique(&self, into: &mut Vec<u8>, rng: &mut impl Rng, tokens: u32) {
        let own = tokens.min(UNIQUE_WORDS);
        for _ in 0..own {
            self.append(into, rng.random(), 1);
        }
        self.append(into, rng.random(), tokens - own);
    }

    /// Appends so many words, from a place in the text that `key` chooses: the same for the same key. Differs from the words of another
    /// key within the first few, since places are far more than words.
    pub fn append(&self, into: &mut Vec<u8>, key: u64, tokens: u32) {
        let mut place = (key % TEXT_WORDS as u64) as usize * STEP_BYTES;
        let mut left = tokens as usize * STEP_BYTES;
        while left > 0 {
            let part = &self.0[place..self.0.len().min(place + left)];
            into.extend_from_slice(part);
            left -= part.len();
            place = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_as_many_words_as_tokens_were_asked_for() {
        let texts = Texts::new(1);
        for tokens in [1, 7, 1000, 100_000] {
            let mut text = Vec::new();
            texts.append(&mut text, u64::MAX, tokens);
            let text = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(text.split_whitespace().count(), tokens as usize);
            assert!(text.split_whitespace().all(|word| word.len() == WORD_BYTES));
        }
    }

    #[test]
    fn the_key_and_the_seed_decide_the_text() {
        let text = |seed, key| {
            let mut text = Vec::new();
            Texts::new(seed).append(&mut text, key, 16);
            text
        };
        assert_eq!(text(1, 5), text(1, 5));
        assert_ne!(text(1, 5), text(1, 6));
        assert_ne!(text(1, 5), text(2, 5));
    }
}
