//! Prompts of a given length. They are generated: no download, and no tokenizer unless one is given.
//!
//! A text is a sequence of common English words. Byte-pair vocabularies have each of them, with the preceding space, as
//! one token; llm-d-inference-sim also counts one token. With a tokenizer, a text consists of units that are exactly
//! one token each. The record contains the token counts that the server reported.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use serde::{Deserialize, Serialize};

/// Words of four letters. With a fixed length, word numbers map directly to byte offsets in the text.
const WORDS: &str = "able area army away baby back ball band bank base beat been best bill bird blue boat body book both \
    call came card care case cash city club cold come cost crew data date days dead deal debt does done door down draw drop \
    each east edge ends even ever eyes face fact fair fall farm fast fear feel feet fell felt file fill film find fine fire \
    firm fish five flat flow food foot form four free from full fund game gave girl give glad goal goes gold gone good grew";

/// The number of words in the text from which prompts are cut.
const TEXT_WORDS: usize = 1 << 16;

/// The number of words drawn individually: 60 bytes with 2^80 possible texts.
const UNIQUE_WORDS: u32 = 12;

/// The units of texts. All are words of one length, or letters if a tokenizer has no such words. Each is exactly one
/// token, regardless of its neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The units, each with the preceding space.
    pub words: Vec<String>,
    /// Whether a text begins with the space of its first word. False if the tokenizer itself adds a space before every
    /// text.
    pub leading_space: bool,
}

/// A text from which prompts are cut.
#[derive(Debug)]
pub struct Texts {
    text: Vec<u8>,
    /// The bytes of a unit, including its space.
    word_bytes: usize,
    leading_space: bool,
}

/// Words that most vocabularies have as one token each, with the preceding space.
pub fn common_words() -> Vec<String> {
    let words = WORDS.split_whitespace();
    words.map(|word| format!(" {word}")).collect()
}

impl Texts {
    /// The text for a seed, made of `words` or of common words.
    pub fn new(seed: u64, words: Option<&Words>) -> Self {
        let leading_space = words.is_none_or(|words| words.leading_space);
        let words = words.map_or_else(common_words, |words| words.words.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = (0..TEXT_WORDS).map(|_| words[rng.random_range(0..words.len())].as_bytes());
        Self {
            text: drawn.collect::<Vec<_>>().concat(),
            word_bytes: words[0].len(),
            leading_space,
        }
    }

    /// Appends `tokens` words that are unique to this request. They differ within the first 64 bytes, which prefix
    /// caches compare first.
    pub fn append_unique(&self, into: &mut Vec<u8>, rng: &mut impl Rng, tokens: u32) {
        let own = tokens.min(UNIQUE_WORDS);
        for _ in 0..own {
            self.append(into, rng.random(), 1);
        }
        self.append(into, rng.random(), tokens - own);
    }

    /// Appends `tokens` words from a position in the text that `key` determines: the same words for the same key.
    /// Different keys differ within the first few words, because there are far more positions than words.
    pub fn append(&self, into: &mut Vec<u8>, key: u64, tokens: u32) {
        let mut place = (key % TEXT_WORDS as u64) as usize * self.word_bytes;
        let mut left = tokens as usize * self.word_bytes;
        while left > 0 {
            let part = &self.text[place..self.text.len().min(place + left)];
            into.extend_from_slice(part);
            left -= part.len();
            place = 0;
        }
    }

    /// Finishes a text that begins at this offset: removes its leading space if the tokenizer adds one itself.
    pub fn end(&self, into: &mut Vec<u8>, begins_at: usize) {
        if !self.leading_space && begins_at < into.len() {
            into.remove(begins_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_word_per_requested_token() {
        let texts = Texts::new(1, None);
        for tokens in [1, 7, 1000, 100_000] {
            let mut text = Vec::new();
            texts.append(&mut text, u64::MAX, tokens);
            let text = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(text.split_whitespace().count(), tokens as usize);
            assert!(text.split_whitespace().all(|word| word.len() == 4));
        }
    }

    #[test]
    fn the_key_and_the_seed_decide_the_text() {
        let text = |seed, key| {
            let mut text = Vec::new();
            Texts::new(seed, None).append(&mut text, key, 16);
            text
        };
        assert_eq!(text(1, 5), text(1, 5));
        assert_ne!(text(1, 5), text(1, 6));
        assert_ne!(text(1, 5), text(2, 5));
    }
}
