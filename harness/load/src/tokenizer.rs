//! A model's own tokenizer, for prompts with exactly the number of tokens asked for. It chooses the words of prompts before a run;
//! nothing is tokenized while requests are sent.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use poolproof_client::prompt::{Words, common_words};
use poolproof_records::digest::hex;
use poolproof_records::load::TokenizerFile;

/// The words of a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// The tokenizer.
    pub tokenizer: TokenizerFile,
    /// The words that are one token each.
    pub words: Words,
}

/// With so few words, there are 2^48 texts of the twelve that are drawn one by one.
const WORDS_MIN: usize = 16;

impl Vocabulary {
    /// Chooses the words for a tokenizer, of a `tokenizer.json` as Hugging Face's library writes it. Fails if it has too few of them.
    pub fn load(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let what = || format!("--tokenizer {file}");
        let bytes = std::fs::read(path).with_context(what)?;
        let tokenizer = Tokenizer::from_bytes(&bytes)
            .map_err(|error| anyhow!(error).context("not a tokenizer.json of Hugging Face"));
        let (words, leading_space) = tokenizer.and_then(choose).with_context(what)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        Ok(Self {
            tokenizer: TokenizerFile {
                sha256: hex(digest.as_ref()),
                file,
            },
            words: Words {
                words,
                leading_space,
            },
        })
    }
}

/// Common words, or, for a tokenizer that has characters or bytes only, letters; and whether texts begin with a space.
fn choose(mut tokenizer: Tokenizer) -> Result<(Vec<String>, bool)> {
    // A server cuts no prompt and fills none up.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| anyhow!(error))?;
    let words = common_words();
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let mut found = Vec::new();
    for (candidates, leading_space) in [(&words, true), (&words, false), (&letters, true)] {
        let ids = |text: &str| {
            let text = if leading_space { text } else { &text[1..] };
            let encoding = tokenizer.encode_fast(text, false);
            anyhow::Ok(encoding.map_err(|error| anyhow!(error))?.get_ids().to_vec())
        };
        // Words that it does not know are one and the same token.
        let mut seen = HashSet::new();
        let mut pieces = Vec::new();
        for piece in candidates {
            if let [id, again] = ids(&piece.repeat(2))?[..]
                && id == again
                && seen.insert(id)
            {
                pieces.push(piece.clone());
            }
        }
        found.push(pieces.len());
        let pairs = pieces
            .iter()
            .flat_map(|a| pieces.iter().map(move |b| [a.as_str(), b]));
        let every_pair = pairs.flatten().collect::<String>();
        if pieces.len() >= WORDS_MIN && ids(&every_pair)?.len() == 2 * pieces.len().pow(2) {
            return Ok((pieces, leading_space));
        }
    }
    let words_found = found[0].max(found[1]);
    ensure!(
        words_found.max(found[2]) >= WORDS_MIN,
        "prompts cannot be made to the token: {words_found} of {} common English words and {} of the 26 letters are one token each, \
         and {WORDS_MIN} words or letters are needed",
        words.len(),
        found[2],
    );
    Err(anyhow!(
        "prompts cannot be made to the token: it joins words or letters that stand side by side into one token"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::requests::Requests;
    use crate::schedule::Due;
    use poolproof_client::prompt::Texts;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;
    use serde_json::{Map, Value, json};

    fn load(tokenizer: &Value) -> Result<Vocabulary> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, tokenizer.to_string()).unwrap();
        Vocabulary::load(&path)
    }

    fn count(tokenizer: &Value, text: &str) -> usize {
        let mut tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
        tokenizer.with_truncation(None).unwrap();
        tokenizer.encode_fast(text, false).unwrap().len()
    }

    /// The first so many words as they are, and one that stands for all others; it cuts prompts, as BERT's do.
    fn of_words(known: usize) -> Value {
        let words = common_words().into_iter().take(known);
        let words = words
            .enumerate()
            .map(|(id, word)| (word.trim().to_owned(), json!(id + 1)));
        let mut vocab: Map<String, Value> = words.collect();
        vocab.insert("[UNK]".to_owned(), json!(0));
        json!({
            "version": "1.0",
            "added_tokens": [],
            "truncation": { "max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
            "pre_tokenizer": { "type": "Whitespace" },
            "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]" },
        })
    }

    /// Words with a space before them, one of which is put before every text, as SentencePiece did for Llama 2; `more` are tokens too.
    fn with_a_space_before(more: impl Iterator<Item = String>) -> Value {
        let words = common_words().into_iter().chain(more);
        let words = words.map(|word| json!([word.replace(' ', "▁"), -1.0]));
        let vocab: Vec<Value> = [json!(["<unk>", 0.0]), json!(["▁", -2.0])]
            .into_iter()
            .chain(words)
            .collect();
        let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
        json!({
            "version": "1.0",
            "added_tokens": [],
            "normalizer": { "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, spaces] },
            "model": { "type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false },
        })
    }

    /// Every byte is a token, and nothing else.
    fn of_bytes() -> Value {
        let bytes = ('a'..='z').chain(['Ġ']).enumerate();
        let vocab: Map<String, Value> = bytes
            .map(|(id, byte)| (byte.to_string(), json!(id)))
            .collect();
        json!({
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
            "model": { "type": "BPE", "vocab": vocab, "merges": [] },
        })
    }

    #[test]
    fn prompts_have_as_many_tokens_as_were_asked_for() {
        const MIX: &str = "shows = 'x'\nduration_s = 1\narrival = { process = 'constant', rate_per_s = 1 }\n\
             [[mix]]\nclass = 'c'\napi = 'completions'\nshared_prefix = { groups = 2, tokens = 30 }\n\
             input_tokens = { from = 1, to = 90 }\noutput_tokens = 1\n";
        let workload = toml::from_str(MIX).unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        for (tokenizer, of_40_common_words) in [
            (of_words(20), 40),
            (of_words(usize::MAX), 40),
            (with_a_space_before(std::iter::empty()), 41),
            (of_bytes(), 200),
        ] {
            let vocabulary = load(&tokenizer).unwrap();
            let of = Some(&vocabulary);
            let requests = Requests::new(
                &workload,
                None,
                &target,
                std::slice::from_ref(&target.url),
                of,
                1,
            )
            .unwrap();
            let mut wire = Vec::new();
            for number in 0..50 {
                let due = Due {
                    number,
                    at_ns: 0,
                    stage: 0,
                };
                let built = requests.build(due, &mut wire);
                let text = std::str::from_utf8(&wire).unwrap();
                let (_, body) = text.split_once("\r\n\r\n").unwrap();
                let body: Value = serde_json::from_str(body).unwrap();
                let tokens = count(&tokenizer, body["prompt"].as_str().unwrap());
                assert_eq!(tokens, built.input_tokens as usize);
            }
            let mut text = Vec::new();
            Texts::new(1, None).append(&mut text, 0, 40);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(count(&tokenizer, &text), of_40_common_words);
        }
    }

    #[test]
    fn what_prompts_cannot_be_made_for_is_refused() {
        let words = common_words();
        let joined = words[1..].iter().map(|word| words[0].clone() + word);
        for (tokenizer, said) in [
            (
                of_words(3),
                "4 of 92 common English words and 0 of the 26 letters",
            ),
            (with_a_space_before(joined), "side by side"),
            (json!({ "model": "gpt" }), "not a tokenizer.json"),
        ] {
            let message = format!("{:#}", load(&tokenizer).unwrap_err());
            assert!(
                message.contains("tokenizer.json: ") && message.contains(said),
                "{message}"
            );
        }
        let message = format!(
            "{:#}",
            Vocabulary::load(Path::new("none.json")).unwrap_err()
        );
        assert!(message.starts_with("--tokenizer none.json: "), "{message}");
    }

    #[test]
    fn the_file_is_known_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        std::fs::write(&path, of_bytes().to_string()).unwrap();
        let found = Vocabulary::load(&path).unwrap();
        assert_eq!(found.tokenizer.file, path.display().to_string());
        assert_eq!(found.tokenizer.sha256.len(), 64);
        std::fs::write(&path, of_bytes().to_string() + "\n").unwrap();
        let changed = Vocabulary::load(&path).unwrap();
        assert_eq!(changed.words, found.words);
        assert_ne!(changed.tokenizer, found.tokenizer);
    }
}
