//! What all requests of a class have alike, written once.

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use url::Url;

use super::Header;
use poolproof_client::{Api, REQUEST_ID_HEADER};
use poolproof_model::target::Target;
use poolproof_model::workload::Class;

/// What all requests of a class have alike.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) class: Class,
    /// The head, up to the id of the request.
    head: Vec<u8>,
    /// The body, up to the prompt.
    before_prompt: Vec<u8>,
    /// The body, from the prompt to the number of tokens.
    before_tokens: Vec<u8>,
    /// The rest of the body: one for each of the class's adapters, or for its model.
    ends: Vec<Vec<u8>>,
}

impl Template {
    /// The template of a class; in a session, what stands in the place of the prompt is messages, else the text of one.
    pub(super) fn new(
        class: &Class,
        sessions: bool,
        target: &Target,
        url: &Url,
        headers: &[Header],
    ) -> Result<Self> {
        let names = names(class, target)?;
        if let Some(objective) = &class.objective {
            ensure!(
                target.objectives.contains_key(objective),
                "`objective` is {objective:?}, which target {:?} does not have: it has {:?}",
                target.name,
                target.objectives.keys().collect::<Vec<_>>()
            );
        }
        let mut head = format!(
            "POST {}{} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n",
            url.path().trim_end_matches('/'),
            class.api.path(),
            &url[url::Position::BeforeHost..url::Position::AfterPort],
        );
        let objective = class
            .objective
            .iter()
            .map(|it| (&target.objective_header, it));
        let headers = headers.iter().map(|(name, value)| (name, value));
        for (name, value) in class.headers.iter().chain(objective).chain(headers) {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("{REQUEST_ID_HEADER}: ");

        let mut body = class.body.clone();
        body.insert("ignore_eos".into(), true.into());
        if class.stream {
            body.insert("stream".into(), true.into());
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        // The prompt stands at the start, so that prefix caches see what differs.
        let ends = names.iter().map(|name| {
            body.insert("model".into(), (*name).into());
            let rest = Value::Object(body.clone()).to_string();
            format!(",{}", &rest[1..]).into()
        });
        let (before_prompt, behind_prompt) = match class.api {
            Api::Chat if sessions => ("{\"messages\":[", "],"),
            Api::Chat => ("{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}],"),
            Api::Completions => ("{\"prompt\":\"", "\","),
        };
        Ok(Self {
            ends: ends.collect(),
            class: class.clone(),
            head: head.into_bytes(),
            before_prompt: before_prompt.into(),
            before_tokens: format!("{behind_prompt}\"max_tokens\":").into(),
        })
    }

    /// Draws which of the class's adapters a request is for, by its place; 0 if there is nothing to choose.
    pub(super) fn draw_model(&self, rng: &mut ChaCha8Rng) -> usize {
        match self.ends.len() {
            1 => 0,
            count => rng.random_range(0..count),
        }
    }

    /// Writes a request for one of them over what `wire` held; `prompt` appends its prompt and says how many tokens are asked for.
    pub(super) fn write(
        &self,
        run: u32,
        number: u64,
        model: usize,
        wire: &mut Vec<u8>,
        prompt: impl FnOnce(&mut Vec<u8>) -> u32,
    ) {
        wire.clear();
        wire.extend_from_slice(&self.head);
        write_hex(wire, run.into());
        wire.extend_from_slice(b"-load-");
        write_number(wire, number);
        wire.extend_from_slice(b"\r\ncontent-length: ");
        // Its place is held, as wide as any body is long, and filled when the body is there.
        let length_at = wire.len();
        wire.extend_from_slice(b"0000000000\r\n\r\n");
        let body_at = wire.len();
        wire.extend_from_slice(&self.before_prompt);
        let output_tokens = prompt(wire);
        wire.extend_from_slice(&self.before_tokens);
        write_number(wire, output_tokens.into());
        wire.extend_from_slice(&self.ends[model]);
        let mut length = wire.len() - body_at;
        for digit in wire[length_at..length_at + 10].iter_mut().rev() {
            *digit = b'0' + (length % 10) as u8;
            length /= 10;
        }
    }
}

/// The names that requests of a class carry as their model: its adapters, or its model.
fn names<'a>(class: &'a Class, target: &'a Target) -> Result<Vec<&'a str>> {
    let models = target.models.iter().map(|model| model.name.as_str());
    let name = match &class.model {
        Some(model) => model,
        None => models.clone().next().context("the target has no model")?,
    };
    let model = target.models.iter().find(|model| model.name == name);
    let model = model.with_context(|| {
        let models = models.collect::<Vec<_>>().join(", ");
        format!(
            "`model` is {name:?}, which target {:?} does not have: it has {models}",
            target.name
        )
    })?;
    if let Some(adapter) = class
        .adapters
        .iter()
        .find(|it| !model.adapters.contains(it))
    {
        bail!(
            "`adapters` has {adapter:?}, which model {name:?} of target {:?} does not have: its [[models]] needs `adapters = {:?}` in the target file, or in the topology of a stack that is started",
            target.name,
            class.adapters
        );
    }
    Ok(match class.adapters.as_slice() {
        [] => vec![name],
        adapters => adapters.iter().map(String::as_str).collect(),
    })
}

fn write_number(into: &mut Vec<u8>, number: u64) {
    use std::io::Write;
    // Writing to memory cannot fail.
    let _ = write!(into, "{number}");
}

fn write_hex(into: &mut Vec<u8>, number: u64) {
    use std::io::Write;
    let _ = write!(into, "{number:08x}");
}
