//! Builds requests. A request follows from the seed and its number alone; in a session, also from earlier answers.

mod conversation;
mod head;
mod template;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use url::Url;

pub use conversation::Conversation;

use super::answer::Asked;
use super::schedule::Due;
use super::tokenizer::Vocabulary;
use super::transport::Origin;
use head::Id;
use poolproof_client::prompt::Texts;
use poolproof_model::target::Target;
use poolproof_model::workload::trace::{BLOCK_TOKENS, Trace};
use poolproof_model::workload::{Arrival, Count, Http, Seconds, SharedPrefix, Workload};
use template::Template;

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
    /// Of sessions: how many turns they have, and how long their users think.
    sessions: Option<(Count, Seconds)>,
    http: Http,
    run: u32,
}

/// A request that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The place of its class in the workload.
    pub class: usize,
    /// The place of its adapter in the class; 0 where that names none.
    pub model: usize,
    /// What the request asks for.
    pub asked: Asked,
    /// Tokens of its prompt.
    pub input_tokens: u32,
    /// Tokens that are asked for.
    pub output_tokens: u32,
}

impl Requests {
    /// The requests of a workload to a target. `headers` go with every one; prompts are made for the tokenizer of `vocabulary`, if there
    /// is one.
    pub fn new(
        workload: &Workload,
        trace: Option<Trace>,
        target: &Target,
        url: &Url,
        headers: &[Header],
        vocabulary: Option<&Vocabulary>,
        seed: u64,
    ) -> Result<Self> {
        let sessions = match workload.arrival {
            Arrival::Sessions {
                turns,
                think_time_s,
                ..
            } => Some((turns, think_time_s)),
            _ => None,
        };
        let classes: Vec<Template> = workload
            .mix
            .iter()
            .map(|class| {
                Template::new(class, sessions.is_some(), target, url, headers)
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
            texts: Texts::new(seed, vocabulary.map(|vocabulary| &vocabulary.words)),
            rng: ChaCha8Rng::seed_from_u64(seed),
            trace,
            sessions,
            http: workload.http,
            run: rand::random(),
        })
    }

    /// The same requests, with this mark of the run. Processes that share a run use the same mark.
    pub fn marked(self, run: u32) -> Self {
        Self { run, ..self }
    }

    /// The trace with the times of requests, if there is one.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Writes the request of this number over what `wire` held: all of it for HTTP/1.1, its body for HTTP/2.
    pub fn build(&self, due: Due, wire: &mut Vec<u8>) -> Built {
        let mut rng = self.rng.clone();
        // Every request has a stream of random numbers of its own, and the schedule one that no request has.
        rng.set_stream(due.number + 1);
        let class = self.draw_class(&mut rng);
        let template = &self.classes[class];
        let kind = &template.class;
        let row = self
            .trace
            .as_ref()
            .and_then(|it| it.rows.get(due.number as usize));
        let (input, output_tokens) = match row {
            Some(row) => (row.input_tokens, row.output_tokens),
            None => (
                kind.input_tokens.draw(&mut rng),
                kind.output_tokens.draw(&mut rng),
            ),
        };
        let mut input_tokens = input;
        let model = template.draw_model(&mut rng);
        template.write(self.http1_id(due.number), model, wire, |wire| {
            let begins_at = wire.len();
            match (row.map_or(&[][..], |row| &row.blocks), kind.shared_prefix) {
                ([], None) => self.texts.append_unique(wire, &mut rng, input),
                ([], Some(shared)) => {
                    input_tokens += shared.tokens;
                    self.append_shared(wire, &mut rng, shared);
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
            self.texts.end(wire, begins_at);
            output_tokens
        });
        Built {
            class,
            model,
            asked: Asked {
                stream: kind.stream,
                text: false,
            },
            input_tokens,
            output_tokens,
        }
    }

    /// The request of HTTP/2 with a body that was built for this class and number.
    pub(super) fn http2(
        &self,
        class: usize,
        number: u64,
        origin: &Origin,
        body: Bytes,
    ) -> http::Result<http::Request<Full<Bytes>>> {
        let id = Id {
            run: self.run,
            number,
        };
        self.classes[class].head.http2(id, origin, body)
    }

    /// The id of a request whose head is written before its body, as HTTP/1.1 has it.
    fn http1_id(&self, number: u64) -> Option<Id> {
        let run = self.run;
        (self.http == Http::One).then_some(Id { run, number })
    }

    fn draw_class(&self, rng: &mut ChaCha8Rng) -> usize {
        let chosen: f64 = rng.random();
        let class = self.shares.iter().position(|until| chosen < *until);
        class.unwrap_or(self.shares.len() - 1)
    }

    /// Appends one of the texts that prompts begin with.
    fn append_shared(&self, into: &mut Vec<u8>, rng: &mut ChaCha8Rng, shared: SharedPrefix) {
        let group = rng.random_range(0..shared.groups);
        self.texts.append(into, spread(group.into()), shared.tokens);
    }
}

/// Keys far apart for numbers that lie together (Vigna, "SplitMix64"), so that texts of neighbours do not overlap.
fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::topology::Topology;
    use serde_json::Value;

    fn requests(mix: &str, seed: u64) -> Result<Requests> {
        let text = format!(
            "shows = 'x'\nduration_s = 1\narrival = {{ process = 'constant', rate_per_s = 1 }}\n{mix}"
        );
        let workload: Workload = toml::from_str(&text).unwrap();
        workload.check()?;
        let target = Target::planned(&Topology::default())?;
        let url = Url::parse("http://gateway.test:81/base/").unwrap();
        let headers = [("authorization".to_owned(), "Bearer secret".to_owned())];
        Requests::new(&workload, None, &target, &url, &headers, None, seed)
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
        assert_eq!((built.class, built.asked.stream), (0, true));
    }

    #[test]
    fn both_versions_of_http_send_the_same_request() {
        let text = format!(
            "shows = 'x'\nduration_s = 1\narrival = {{ process = 'constant', rate_per_s = 1 }}\n{CHAT}\
             headers = {{ X-Team = 'a, b', host = 'other.test' }}\n"
        );
        let target = Target::planned(&Topology::default()).unwrap();
        let url = Url::parse("https://user@gateway.test:81/base/").unwrap();
        let due = Due {
            number: 3,
            at_ns: 0,
            stage: 0,
        };
        let build = |http| {
            let workload = Workload {
                http,
                ..toml::from_str(&text).unwrap()
            };
            let requests = Requests::new(&workload, None, &target, &url, &[], None, 1);
            let requests = requests.unwrap().marked(0xabc);
            let mut wire = Vec::new();
            let built = requests.build(due, &mut wire);
            (requests, built, wire)
        };
        let (_, built_one, one) = build(Http::One);
        let (requests, built_two, two) = build(Http::Two);
        assert_eq!(built_one, built_two);
        let request = requests
            .http2(0, 3, &Origin::of(&url).unwrap(), two.clone().into())
            .unwrap();

        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Request::new(&mut headers);
        let body_at = head.parse(&one).unwrap().unwrap();
        assert_eq!(&one[body_at..], two);
        assert_eq!(head.method, Some(request.method().as_str()));
        assert_eq!(head.path, Some(request.uri().path()));
        assert_eq!(
            request.uri(),
            "https://gateway.test:81/base/v1/chat/completions"
        );
        let of_connection = |name: &str| ["host", "content-length"].contains(&name);
        let mut of_one: Vec<(String, &[u8])> = head
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), header.value))
            .filter(|(name, _)| !of_connection(name))
            .collect();
        let mut of_two: Vec<(String, &[u8])> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes()))
            .collect();
        of_one.sort();
        of_two.sort();
        assert_eq!(of_one, of_two);
        let id = request.headers()[poolproof_client::REQUEST_ID_HEADER].as_bytes();
        assert_eq!(id, b"00000abc-load-3");
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
    fn a_request_names_any_of_the_adapters_of_its_class() {
        let workload = |adapters: &str| {
            let text = format!(
                "shows = 'x'\nduration_s = 1\narrival = {{ process = 'constant', rate_per_s = 1 }}\n\
                 [[mix]]\nclass = 'c'\nadapters = {adapters}\ninput_tokens = 1\noutput_tokens = 1\n"
            );
            toml::from_str::<Workload>(&text).unwrap()
        };
        let mut topology = Topology::default();
        topology.models[0].adapters = vec!["lora-0".to_owned(), "lora-1".to_owned()];
        let target = Target::planned(&topology).unwrap();
        let requests = |adapters| {
            Requests::new(
                &workload(adapters),
                None,
                &target,
                &target.url,
                &[],
                None,
                1,
            )
        };
        let both = requests("['lora-1', 'lora-0']").unwrap();
        let mut counts = [0; 2];
        for number in 0..1000 {
            let (_, body, built) = sent(&both, number);
            assert_eq!(body["model"], ["lora-1", "lora-0"][built.model]);
            counts[built.model] += 1;
        }
        assert!(counts.iter().all(|count| *count > 400), "{counts:?}");
        let message = format!("{:#}", requests("['lora-2']").unwrap_err());
        assert!(message.contains("`adapters = [\"lora-2\"]`"), "{message}");
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
