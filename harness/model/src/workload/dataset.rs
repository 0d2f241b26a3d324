//! The user's own prompts: JSON or JSON Lines in common shapes, or plain text with one prompt per line.
//!
//! | shape | prompt | length of the answer |
//! |---|---|---|
//! | `{"conversations": [{"from", "value"}]}` (ShareGPT) | its turns up to the last one of a user, as one chat | that of the answer to it |
//! | `{"messages": [{"role", "content"}]}` (OpenAI) | its messages up to the last one of a user, as they are | that of the answer to it |
//! | `{"prompt"}`, with `completion`, `response` or `answer` | one message of a user | that of the completion |
//! | a text | one message of a user | not known |
//!
//! `output_tokens`, `output_length`, `output_len` or `max_tokens` beside them is the number of tokens of the answer. Otherwise a text
//! counts as one token for every four bytes, since a tokenizer is not needed to send it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The bytes of a token of English text, about.
const TOKEN_BYTES: usize = 4;
/// The most tokens of an answer.
const TOKENS_MAX: u64 = 1 << 20;
/// Keys of the number of tokens of an answer.
const LENGTH_KEYS: [&str; 4] = ["output_tokens", "output_length", "output_len", "max_tokens"];
/// Keys of the text of an answer.
const ANSWER_KEYS: [&str; 3] = ["completion", "response", "answer"];

/// Prompts of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The file; a relative path counts from the workload file.
    pub file: PathBuf,
    /// Whether responses are as long as the answers of the file. Where it has none, and if false, the `output_tokens` of the class hold.
    #[serde(default = "yes")]
    pub answer_lengths: bool,
}

fn yes() -> bool {
    true
}

/// A prompt of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The inside of the JSON array `messages` of a chat.
    pub messages: String,
    /// The inside of the JSON string `prompt` of a completion.
    pub text: String,
    /// The tokens of the answer, if the dataset decides them.
    pub output_tokens: Option<u32>,
}

impl Dataset {
    /// Reads the prompts. A relative path counts from `folder`.
    pub fn load(&self, folder: &Path) -> Result<Vec<Prompt>> {
        let path = folder.join(&self.file);
        let what = || format!("dataset {}", path.display());
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", what()))?;
        let mut prompts = parse(&text).with_context(what)?;
        if !self.answer_lengths {
            prompts
                .iter_mut()
                .for_each(|prompt| prompt.output_tokens = None);
        }
        Ok(prompts)
    }
}

impl Prompt {
    /// The tokens of the prompt, about.
    pub fn input_tokens(&self) -> u32 {
        tokens(self.text.len())
    }
}

/// Reads the entries that have a question. Fails if none has one.
fn parse(text: &str) -> Result<Vec<Prompt>> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let entries: Vec<(usize, Value)> = match text.chars().next() {
        None => bail!("it is empty"),
        Some('[') => {
            let entries: Vec<Value> =
                serde_json::from_str(text).context("it begins with `[`, but is no list of JSON")?;
            entries.into_iter().enumerate().collect()
        }
        Some('{') => lines(text)
            .map(|(number, line)| {
                let value = serde_json::from_str(line);
                let value = value
                    .with_context(|| format!("line {}: not the JSON of one prompt", number + 1))?;
                Ok((number, value))
            })
            .collect::<Result<_>>()?,
        Some(_) => lines(text)
            .map(|(number, line)| (number, line.into()))
            .collect(),
    };
    let mut prompts = Vec::new();
    for (number, entry) in &entries {
        let read = prompt(entry).with_context(|| format!("entry {}", number + 1))?;
        prompts.extend(read);
    }
    ensure!(
        !prompts.is_empty(),
        "none of its {} entries has the message of a user",
        entries.len()
    );
    Ok(prompts)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate();
    lines.filter(|(_, line)| !line.is_empty())
}

/// The prompt of an entry; `None` if it has no message of a user.
fn prompt(entry: &Value) -> Result<Option<Prompt>> {
    let fields = match entry {
        Value::String(text) => return Ok(Some(of_text(text))),
        Value::Object(fields) => fields,
        _ => bail!("it is neither a text nor an object"),
    };
    let chat = fields.get("messages").or(fields.get("conversations"));
    let read = match (chat, fields.get("prompt").or(fields.get("text"))) {
        (Some(Value::Array(turns)), _) | (None, Some(Value::Array(turns))) => of_turns(turns)?,
        (None, Some(Value::String(text))) => Some(of_text(text)),
        _ => bail!(
            "it has none of `prompt`, `text`, `messages` and `conversations`, but {:?}",
            fields.keys().take(8).collect::<Vec<_>>()
        ),
    };
    Ok(read.map(|mut prompt| {
        prompt.output_tokens = length(fields).or(prompt.output_tokens);
        prompt
    }))
}

/// The length of the answer, by the fields beside the prompt.
fn length(fields: &Map<String, Value>) -> Option<u32> {
    let mut given = LENGTH_KEYS
        .iter()
        .filter_map(|key| fields.get(*key)?.as_u64());
    let mut answers = ANSWER_KEYS
        .iter()
        .filter_map(|key| fields.get(*key)?.as_str());
    let given = given
        .next()
        .map(|tokens| tokens.clamp(1, TOKENS_MAX) as u32);
    given.or_else(|| Some(tokens(answers.next()?.len())))
}

fn of_text(text: &str) -> Prompt {
    let text = inside(&text.into());
    Prompt {
        messages: format!("{{\"role\":\"user\",\"content\":\"{text}\"}}"),
        text,
        output_tokens: None,
    }
}

/// A conversation: its messages up to the last one of a user are sent.
fn of_turns(turns: &[Value]) -> Result<Option<Prompt>> {
    let mut messages = Vec::new();
    for turn in turns {
        messages.push(message(turn)?);
    }
    let is = |message: &Value, role: &str| message["role"] == role;
    let last = messages.iter().rposition(|message| is(message, "user"));
    let Some(last) = last else {
        return Ok(None);
    };
    let answer = messages[last + 1..]
        .iter()
        .find(|message| is(message, "assistant"));
    // An answer without text, such as a call of a tool, has no length that is known.
    let answer = answer.map(said).filter(|answer| !answer.is_empty());
    let output_tokens = answer.map(|answer| tokens(answer.len()));
    messages.truncate(last + 1);
    let text: Vec<String> = messages.iter().map(said).collect();
    let messages: Vec<String> = messages.iter().map(Value::to_string).collect();
    Ok(Some(Prompt {
        messages: messages.join(","),
        text: inside(&text.join("\n").into()),
        output_tokens,
    }))
}

/// A turn as a message of OpenAI's API. One that has a role already stays as it is.
fn message(turn: &Value) -> Result<Value> {
    if turn["role"].is_string() {
        return Ok(turn.clone());
    }
    let (Some(from), Some(value)) = (turn["from"].as_str(), turn["value"].as_str()) else {
        bail!("a turn has neither `role` and `content` nor `from` and `value`");
    };
    let role = match from {
        "human" | "user" => "user",
        "system" => "system",
        "gpt" | "chatgpt" | "assistant" | "bing" | "bard" => "assistant",
        other => {
            bail!("a turn is from {other:?}: known are human, user, system, gpt and assistant")
        }
    };
    Ok(serde_json::json!({"role": role, "content": value}))
}

/// The text of a message. Of a list of contents, the texts among them.
pub fn said(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// The tokens of this many bytes of text, about.
fn tokens(bytes: usize) -> u32 {
    (bytes.div_ceil(TOKEN_BYTES) as u64).clamp(1, TOKENS_MAX) as u32
}

/// The inside of a JSON string.
fn inside(text: &Value) -> String {
    let quoted = text.to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_property::config;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<Prompt> {
        parse(text).unwrap()
    }

    fn roles(prompt: &Prompt) -> Vec<String> {
        let messages: Vec<Value> = serde_json::from_str(&format!("[{}]", prompt.messages)).unwrap();
        let roles = messages
            .iter()
            .map(|it| it["role"].as_str().unwrap().to_owned());
        roles.collect()
    }

    #[test]
    fn a_conversation_is_sent_up_to_its_last_answer_whose_length_is_asked_for() {
        let sharegpt = r#"[{"id": "1", "conversations": [
            {"from": "system", "value": "be kind"}, {"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"},
            {"from": "human", "value": "a \"quote\"\n"}, {"from": "gpt", "value": "12345678"}]},
            {"id": "2", "conversations": [{"from": "gpt", "value": "alone"}]}]"#;
        let prompts = read(sharegpt);
        assert_eq!(prompts.len(), 1, "an entry without a question is left out");
        assert_eq!(roles(&prompts[0]), ["system", "user", "assistant", "user"]);
        assert_eq!(prompts[0].output_tokens, Some(2));
        assert!(prompts[0].text.ends_with(r#"a \"quote\"\n"#), "{prompts:?}");
        let openai = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}], "name": "n"}]}
                        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "four"}]}"#;
        let prompts = read(openai);
        assert!(prompts[0].messages.contains("\"name\":\"n\"") && prompts[0].text == "see");
        assert_eq!(
            (prompts[0].output_tokens, prompts[1].output_tokens),
            (None, Some(1))
        );
        assert_eq!(roles(&prompts[1]), ["user"]);
    }

    #[test]
    fn prompts_are_read_with_the_lengths_that_stand_beside_them() {
        let lines = "{\"prompt\": \"a\", \"completion\": \"12345\"}\n\n{\"prompt\": \"b\", \"completion\": \"x\", \"output_tokens\": 70}\n\
                     {\"text\": \"c\"}\n";
        let lengths: Vec<Option<u32>> = read(lines).iter().map(|it| it.output_tokens).collect();
        assert_eq!(lengths, [Some(2), Some(70), None]);
        let plain = read("why \"is\" it?\n\n  second\n");
        assert_eq!(plain.len(), 2);
        assert_eq!(
            plain[0].messages,
            r#"{"role":"user","content":"why \"is\" it?"}"#
        );
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_with_the_place() {
        for (text, named) in [
            (" \n", "empty"),
            ("[1, 2", "no list"),
            ("[1]", "entry 1"),
            ("{\"prompt\": \"a\"}\n{\"prompt\": ", "line 2"),
            ("{\"question\": \"a\"}", "\"question\""),
            (
                "{\"conversations\": [{\"from\": \"moon\", \"value\": \"a\"}]}",
                "moon",
            ),
            ("{\"messages\": [{\"content\": \"a\"}]}", "neither `role`"),
            ("{\"messages\": []}", "none of its 1 entries"),
        ] {
            let message = format!("{:#}", parse(text).unwrap_err());
            assert!(message.contains(named), "{text}: {message}");
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_text_does_no_harm_and_what_is_read_is_json(text in "([\\[{}\\],:\"]|prompt|from|value|\\PC){0,40}") {
            for text in [text.clone(), format!("{{\"prompt\": {text:?}}}"), format!("[{text}]")] {
                for prompt in parse(&text).unwrap_or_default() {
                    let chat = format!("[{}]", prompt.messages);
                    prop_assert!(serde_json::from_str::<Value>(&chat).is_ok(), "{chat}");
                    let text = format!("\"{}\"", prompt.text);
                    prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
                }
            }
        }
    }
}
