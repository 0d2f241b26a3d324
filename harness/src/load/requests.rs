//! What is sent: each request of a workload, from the seed and its number alone.

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use url::Url;

use super::arrival::Due;
use super::prompt::Texts;
use super::trace::{BLOCK_TOKENS, Trace};
use super::workload::{Class, Workload};
use crate::client::{Api, REQUEST_ID_HEADER};
use crate::target::Target;

/// A header, name and value.
pub type Header = (String, String);

/// The requests of a run.
#[derive(Debug)]
pub struct Requests {
    classes: Vec<Template>,
    /// For each class, the sum of its share and those before it; the last one is 1.
    shares: Vec<f64>,
    texts: Texts,
    rng: ChaCha8Rng,
    trace: Option<Trace>,
    run: u32,
}

/// What all requests of a class have alike.
#[derive(Debug)]
struct Template {
    class: Class,
    /// The head, up to the id of the request.
    head: Vec<u8>,
    /// The body, up to the prompt.
    before_prompt: Vec<u8>,
    /// The body, from the prompt to the number of tokens.
    before_tokens: Vec<u8>,
    /// The rest of the body.
    end: Vec<u8>,
}

/// A request that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The place of its class in the workload.
    pub class: usize,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Tokens of its prompt.
    pub input_tokens: u32,
    /// Tokens that are asked for.
    pub output_tokens: u32,
}

impl Requests {
    /// The requests of a workload to a target. `headers` go with every one.
    pub fn new(
        workload: &Workload,
        trace: Option<Trace>,
        target: &Target,
        url: &Url,
        headers: &[Header],
        seed: u64,
    ) -> Result<Self> {
        let classes: Vec<Template> = workload
            .mix
            .iter()
            .map(|class| {
                Template::new(class, target, url, headers)
                    .with_context(|| format!("mix: class {:?}", class.class))
            })
            .collect::<Result<_>>()?;
        let sum: f64 = workload.mix.iter().map(|class| class.share).sum();
        let mut shares = Vec::new();
        let mut until = 0.0;
        for class in &workload.mix {
            until += class.share / sum;
            shares.push(until);
        }
        Ok(Self {
            classes,
            shares,
            texts: Texts::new(seed),
            rng: ChaCha8Rng::seed_from_u64(seed),
            trace,
            run: rand::random(),
        })
    }

    /// The trace that says when they leave, if one does.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Writes the request of this number, head and body, over what `wire` held.
    pub fn build(&self, due: Due, wire: &mut Vec<u8>) -> Built {
        let mut rng = self.rng.clone();
        // Every request has a stream of random numbers of its own, and the schedule one that no request has.
        rng.set_stream(due.number + 1);
        let chosen: f64 = rng.random();
        let class = self.shares.iter().position(|until| chosen < *until);
        let class = class.unwrap_or(self.shares.len() - 1);
        let Template {
            class: kind,
            head,
            before_prompt,
            before_tokens,
            end,
        } = &self.classes[class];
        let row = self
            .trace
            .as_ref()
            .and_then(|it| it.rows.get(due.number as usize));
        let (input, output) = match row {
            Some(row) => (row.input_tokens, row.output_tokens),
            None => (
                kind.input_tokens.draw(&mut rng),
                kind.output_tokens.draw(&mut rng),
            ),
        };

        wire.clear();
        wire.extend_from_slice(head);
        write_hex(wire, self.run.into());
        wire.extend_from_slice(b"-load-");
        write_number(wire, due.number);
        wire.extend_from_slice(b"\r\ncontent-length: ");
        // Its place is held, as wide as any body is long, and filled when the body is there.
        let length_at = wire.len();
        wire.extend_from_slice(b"0000000000\r\n\r\n");
        let body_at = wire.len();
        wire.extend_from_slice(before_prompt);
        let mut input_tokens = input;
        match (row.map_or(&[][..], |row| &row.blocks), kind.shared_prefix) {
            ([], None) => self.texts.append_unique(wire, &mut rng, input),
            ([], Some(shared)) => {
                input_tokens += shared.tokens;
                let group = rng.random_range(0..shared.groups);
                self.texts.append(wire, spread(group.into()), shared.tokens);
                self.texts.append_unique(wire, &mut rng, input);
            }
            (blocks, _) => {
                let mut left = input;
                for block in blocks {
                    let tokens = left.min(BLOCK_TOKENS);
                    self.texts.append(wire, spread(*block), tokens);
                    left -= tokens;
                }
                self.texts.append_unique(wire, &mut rng, left);
            }
        }
        wire.extend_from_slice(before_tokens);
        write_number(wire, output.into());
        wire.extend_from_slice(end);
        let mut length = wire.len() - body_at;
        for digit in wire[length_at..length_at + 10].iter_mut().rev() {
            *digit = b'0' + (length % 10) as u8;
            length /= 10;
        }
        Built {
            class,
            stream: kind.stream,
            input_tokens,
            output_tokens: output,
        }
    }
}

impl Template {
    fn new(class: &Class, target: &Target, url: &Url, headers: &[Header]) -> Result<Self> {
        let names: Vec<&str> = target
            .models
            .iter()
            .map(|model| model.name.as_str())
            .collect();
        let model = match &class.model {
            Some(model) => model,
            None => names.first().copied().context("the target has no model")?,
        };
        ensure!(
            names.contains(&model),
            "`model` is {model:?}, which target {:?} does not have: it has {}",
            target.name,
            names.join(", ")
        );
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
        body.insert("model".into(), model.into());
        body.insert("ignore_eos".into(), true.into());
        if class.stream {
            body.insert("stream".into(), true.into());
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        // The prompt stands at the start, so that prefix caches see what differs.
        let rest = Value::Object(body).to_string();
        let (before_prompt, behind_prompt) = match class.api {
            Api::Chat => ("{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}],"),
            Api::Completions => ("{\"prompt\":\"", "\","),
        };
        Ok(Self {
            class: class.clone(),
            head: head.into_bytes(),
            before_prompt: before_prompt.into(),
            before_tokens: format!("{behind_prompt}\"max_tokens\":").into(),
            end: format!(",{}", &rest[1..]).into(),
        })
    }
}

/// Keys far apart for numbers that lie together (Vigna, "SplitMix64"), so that texts of neighbours do not overlap.
fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn requests(mix: &str, seed: u64) -> Result<Requests> {
        let text = format!(
            "shows = 'x'\nduration_s = 1\narrival = {{ process = 'constant', rate_per_s = 1 }}\n{mix}"
        );
        let workload: Workload = toml::from_str(&text).unwrap();
        workload.check()?;
        let target = Target::planned(&Topology::default())?;
        let url = Url::parse("http://gateway.test:81/base/").unwrap();
        let headers = [("authorization".to_owned(), "Bearer secret".to_owned())];
        Requests::new(&workload, None, &target, &url, &headers, seed)
    }

    fn sent(requests: &Requests, number: u64) -> (String, Value, Built) {
        let mut wire = Vec::new();
        let due = Due {
            number,
            at_ns: 0,
            stage: 0,
        };
        let built = requests.build(due, &mut wire);
        let text = String::from_utf8(wire).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.rsplit_once("content-length: ").unwrap().1;
        assert_eq!(length.parse::<usize>().unwrap(), body.len());
        (head.to_owned(), serde_json::from_str(body).unwrap(), built)
    }

    const CHAT: &str = "[[mix]]\nclass = 'chat'\nobjective = 'batch'\ninput_tokens = 30\noutput_tokens = 7\nbody = { temperature = 0 }\n";

    #[test]
    fn a_request_has_what_its_class_says() {
        let (head, body, built) = sent(&requests(CHAT, 1).unwrap(), 3);
        assert!(
            head.starts_with(
                "POST /base/v1/chat/completions HTTP/1.1\r\nhost: gateway.test:81\r\n"
            )
        );
        assert!(head.contains("\r\nx-gateway-inference-objective: batch\r\n"));
        assert!(head.contains("\r\nauthorization: Bearer secret\r\n"));
        assert!(head.contains("-load-3\r\n"));
        assert_eq!(body["model"], "model-a");
        assert_eq!(body["max_tokens"], 7);
        assert_eq!(body["temperature"], 0);
        assert_eq!(body["stream_options"]["include_usage"], true);
        let prompt = body["messages"][0]["content"].as_str().unwrap();
        assert_eq!(prompt.split_whitespace().count(), 30);
        assert_eq!((built.class, built.stream), (0, true));
    }

    #[test]
    fn the_seed_and_the_number_decide_a_request() {
        let prompt =
            |seed, number| sent(&requests(CHAT, seed).unwrap(), number).1["messages"].clone();
        assert_eq!(prompt(1, 3), prompt(1, 3));
        assert_ne!(prompt(1, 3), prompt(1, 4));
        assert_ne!(prompt(1, 3), prompt(2, 3));
    }

    #[test]
    fn classes_get_their_shares_and_groups_their_prefixes() {
        let mix = "[[mix]]\nclass = 'a'\nshare = 3\napi = 'completions'\nshared_prefix = { groups = 2, tokens = 40 }\ninput_tokens = 12\noutput_tokens = 1\n\
                   [[mix]]\nclass = 'b'\nshare = 1\nmodel = 'model-b'\nstream = false\ninput_tokens = 12\noutput_tokens = 1\n";
        let requests = requests(mix, 1).unwrap();
        let all: Vec<_> = (0..4000).map(|number| sent(&requests, number)).collect();
        let of_a = all.iter().filter(|(_, _, built)| built.class == 0);
        assert!(of_a.clone().count().abs_diff(3000) < 5 * 28);
        let prompts = of_a.map(|(_, body, _)| body["prompt"].as_str().unwrap());
        let prefixes: std::collections::BTreeSet<&str> =
            prompts.clone().map(|it| &it[..200]).collect();
        assert_eq!(prefixes.len(), 2);
        let whole: std::collections::BTreeSet<&str> = prompts.clone().collect();
        assert_eq!(whole.len(), prompts.count());
    }

    #[test]
    fn what_the_target_does_not_have_is_refused() {
        for (key, value) in [("model", "model-x"), ("objective", "urgent")] {
            let mix = format!(
                "[[mix]]\nclass = 'c'\n{key} = '{value}'\ninput_tokens = 1\noutput_tokens = 1\n"
            );
            let message = format!("{:#}", requests(&mix, 1).unwrap_err());
            assert!(
                message.contains(value) && message.contains("model-a") | message.contains("batch"),
                "{message}"
            );
        }
    }
}
