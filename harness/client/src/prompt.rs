//! Prompts of a given length, made here: no download, and no tokenizer unless one is given.
//!
//! A text is a run of common English words, which byte-pair vocabularies have as one token each, with the space before it, and
//! llm-d-inference-sim counts as one too. Of a given tokenizer, it is a run of what is one token for sure. What a server really counted
//! stands in the record.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use serde::{Deserialize, Serialize};

/// Words of four letters: so long that numbers and places in the text follow from one another.
const WORDS: &str = "able area army away baby back ball band bank base beat been best bill bird blue boat body book both \
    call came card care case cash city club cold come cost crew data date days dead deal debt does done door down draw drop \
    each east edge ends even ever eyes face fact fair fall farm fast fear feel feet fell felt file fill film find fine fire \
    firm fish five flat flow food foot form four free from full fund game gave girl give glad goal goes gold gone good grew";

/// Words of the text that prompts are cut from.
const TEXT_WORDS: usize = 1 << 16;

/// Words that are drawn one by one: 60 bytes with 2^80 possible texts.
const UNIQUE_WORDS: u32 = 12;

/// What texts are put together from: words of one length, or letters where a tokenizer has no words, each of which is one token of it,
/// whatever stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Each with the space before it.
    pub words: Vec<String>,
    /// Whether a text begins with the space of its first word: not where the tokenizer puts one before every text.
    pub leading_space: bool,
}

/// Text to cut prompts from.
#[derive(Debug)]
pub struct Texts {
    text: Vec<u8>,
    /// Of a word and the space before it; of a vocabulary without words, of what it has in their place.
    word_bytes: usize,
    leading_space: bool,
}

/// Words that most vocabularies have as one token each, with the space before them.
pub fn common_words() -> Vec<String> {
    let words = WORDS.split_whitespace();
    words.map(|word| format!(" {word}")).collect()
}

impl Texts {
    /// The text of a seed, of common words or of these.
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
        let mut place = (key % TEXT_WORDS as u64) as usize * self.word_bytes;
        let mut left = tokens as usize * self.word_bytes;
        while left > 0 {
            let part = &self.text[place..self.text.len().min(place + left)];
            into.extend_from_slice(part);
            left -= part.len();
            place = 0;
        }
    }

    /// Ends a text that begins at this place: a tokenizer that puts a space before every text gets none from us.
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
    fn a_text_has_as_many_words_as_tokens_were_asked_for() {
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
