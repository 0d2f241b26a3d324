//! The common parts of all requests of a class, written once.

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use url::Url;

use super::head::{Head, Id};
use super::{Asked, Header};
use poolproof_client::Api;
use poolproof_model::target::{Parameters, Target};
use poolproof_model::workload::Class;

/// The common parts of all requests of a class.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) class: Class,
    /// Its heads, one for each url.
    pub(super) heads: Vec<Head>,
    /// The body, up to the prompt.
    before_prompt: Vec<u8>,
    /// The body, from the prompt to the number of tokens.
    before_tokens: Vec<u8>,
    /// The rest of the body: one for each of the class's adapters, or for its model.
    ends: Vec<Vec<u8>>,
    /// The prompts of a dataset, where the API needs them in another form.
    pub(super) prompts: Vec<String>,
}

impl Template {
    /// The template of a class. With `whole_messages`, as in a session, the prompt of a chat is a list of messages, else the text of one
    /// message.
    pub(super) fn new(
        class: &Class,
        whole_messages: bool,
        parameters: &Parameters,
        (target, urls): (&Target, &[Url]),
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
        let own = class.headers.iter();
        let objective = class.objective.iter();
        let objective = objective.map(|objective| (&target.objective_header, objective));
        let own = own.chain(objective);
        let all: Vec<Header> = own
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let heads = urls
            .iter()
            .map(|url| Head::new(target, url, class.api.path(), &all));

        let mut body = class.body.clone();
        // Of the other APIs no server is known to take it unless it is asked for by name; Anthropic refuses unknown keys.
        if class.api.has_choices() || parameters.ignore_eos == Some(true) {
            body.insert("ignore_eos".into(), true.into());
        }
        if class.stream {
            body.insert("stream".into(), true.into());
            if class.api.has_choices() {
                body.insert("stream_options".into(), json!({"include_usage": true}));
            }
        }
        parameters.adapt(&mut body);
        // The prompt comes first, so that prefix caches see the difference.
        let ends = names.iter().map(|name| {
            body.insert("model".into(), (*name).into());
            let rest = Value::Object(body.clone()).to_string();
            format!(",{}", &rest[1..]).into()
        });
        let (before_prompt, behind_prompt) = match class.api {
            Api::Chat if whole_messages => ("{\"messages\":[", "],"),
            Api::Chat => ("{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}],"),
            Api::Completions => ("{\"prompt\":\"", "\","),
            Api::Responses if whole_messages => ("{\"input\":[", "],"),
            Api::Responses => ("{\"input\":\"", "\","),
            // The system prompt stands beside the messages.
            Api::Messages if whole_messages => ("{", ","),
            Api::Messages => ("{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}],"),
        };
        let limit = match class.api {
            Api::Completions | Api::Chat => parameters.max_tokens(),
            Api::Responses => "max_output_tokens",
            Api::Messages => "max_tokens",
        };
        Ok(Self {
            ends: ends.collect(),
            class: class.clone(),
            heads: heads.collect::<Result<_>>()?,
            before_prompt: before_prompt.into(),
            before_tokens: format!("{behind_prompt}\"{limit}\":").into(),
            prompts: Vec::new(),
        })
    }

    /// What its requests ask for.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            api: self.class.api,
            stream: self.class.stream,
            ..Asked::default()
        }
    }

    /// Draws which of the class's adapters a request is for, by its place; 0 if there is nothing to choose.
    pub(super) fn draw_model(&self, rng: &mut ChaCha8Rng) -> usize {
        match self.ends.len() {
            1 => 0,
            count => rng.random_range(0..count),
        }
    }

    /// The head of a request: urls are used in turn.
    pub(super) fn head(&self, number: u64) -> &Head {
        &self.heads[(number % self.heads.len() as u64) as usize]
    }

    /// Writes a request over the contents of `wire`: its body, after a head of HTTP/1.1 if `http1_id` has its id.
    /// `prompt` appends its prompt and returns how many tokens are asked for.
    pub(super) fn write(
        &self,
        http1_id: Option<Id>,
        model: usize,
        wire: &mut Vec<u8>,
        prompt: impl FnOnce(&mut Vec<u8>) -> u32,
    ) {
        wire.clear();
        let length = http1_id.map(|id| self.head(id.number).write_http1(id, wire));
        wire.extend_from_slice(&self.before_prompt);
        let output_tokens = prompt(wire);
        wire.extend_from_slice(&self.before_tokens);
        write_number(wire, output_tokens.into());
        wire.extend_from_slice(&self.ends[model]);
        if let Some(length) = length {
            length.set(wire);
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
