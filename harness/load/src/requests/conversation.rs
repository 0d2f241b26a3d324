//! A session: a conversation that grows turn by turn. Its user's messages and their times follow from the seed, the user and the number
//! of the session; the answers come from the server.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::{Asked, Built, Requests};
use poolproof_model::api::Api;
use poolproof_model::workload::{Count, Seconds};

/// A conversation, as far as it has come.
#[derive(Clone, Debug)]
pub struct Conversation {
    rng: ChaCha8Rng,
    /// The place of its class in the workload.
    class: usize,
    /// The place of its adapter in the class.
    model: usize,
    /// Turns in total.
    turns: u32,
    /// Turns that have begun.
    begun: u32,
    think_time: Seconds,
    /// The messages so far, as the inside of a JSON array.
    messages: Vec<u8>,
    /// Tokens of the messages, as they were asked for.
    input_tokens: u32,
    /// Tokens that are asked for in this turn.
    output_tokens: u32,
}

/// A conversation of this many bytes is over, even if turns are left: no model accepts a longer one.
const LENGTH_MAX_BYTES: usize = 8 << 20;

impl Requests {
    /// The session of this number of a user: with its system prompt, if its class has one, and before its first turn.
    pub fn converse(&self, user: u64, session: u64) -> Conversation {
        let mut rng = self.rng.clone();
        rng.set_stream((user << 32) | session);
        let (turns, think_time) = self
            .sessions
            .unwrap_or((Count::Fixed(1), Seconds::default()));
        let class = self.draw_class(&mut rng);
        let mut conversation = Conversation {
            class,
            model: self.classes[class].draw_model(&mut rng),
            turns: turns.draw(&mut rng),
            begun: 0,
            think_time,
            messages: Vec::new(),
            input_tokens: 0,
            output_tokens: 0,
            rng,
        };
        if let Some(shared) = self.classes[class].class.shared_prefix {
            conversation.input_tokens = shared.tokens;
            let Conversation { rng, messages, .. } = &mut conversation;
            say(messages, "system", |text| {
                let begins_at = text.len();
                self.append_shared(text, rng, shared);
                self.texts.end(text, begins_at);
            });
        }
        conversation
    }

    /// Begins the next turn of a conversation: adds its user's message.
    pub fn begin_turn(&self, conversation: &mut Conversation) {
        let class = &self.classes[conversation.class].class;
        let Conversation { rng, messages, .. } = conversation;
        let tokens = class.input_tokens.draw(rng);
        say(messages, "user", |text| {
            let begins_at = text.len();
            self.texts.append_unique(text, rng, tokens);
            self.texts.end(text, begins_at);
        });
        conversation.begun += 1;
        conversation.input_tokens = conversation.input_tokens.saturating_add(tokens);
        conversation.output_tokens = class.output_tokens.draw(rng);
    }

    /// Writes the request of a conversation's current turn over what `wire` held, as [`Requests::build`] does.
    pub fn build_turn(&self, number: u64, of: &Conversation, wire: &mut Vec<u8>) -> Built {
        let template = &self.classes[of.class];
        let is_member = template.class.api == Api::Messages;
        template.write(self.http1_id(number), of.model, wire, |wire| {
            wire.extend_from_slice(if is_member { b"\"messages\":[" } else { b"" });
            wire.extend_from_slice(&of.messages);
            wire.extend_from_slice(if is_member { b"]" } else { b"" });
            of.output_tokens
        });
        Built {
            class: of.class,
            model: of.model,
            asked: Asked {
                text: true,
                ..template.asked()
            },
            input_tokens: of.input_tokens,
            output_tokens: of.output_tokens,
        }
    }
}

impl Conversation {
    /// How long its user thinks before the next turn.
    pub fn think(&mut self) -> Duration {
        Duration::from_secs_f64(self.think_time.draw(&mut self.rng))
    }

    /// The turn that it is in, the first one being 0.
    pub fn turn(&self) -> usize {
        self.begun.saturating_sub(1) as usize
    }

    /// Adds the answer of this turn: the inside of a JSON string, which may come from anywhere.
    pub fn answered(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        say(&mut self.messages, "assistant", |into| {
            into.extend_from_slice(text.as_bytes());
        });
        self.input_tokens = self.input_tokens.saturating_add(self.output_tokens);
    }

    /// Whether it has no further turn.
    pub fn is_over(&self) -> bool {
        self.begun >= self.turns || self.messages.len() >= LENGTH_MAX_BYTES
    }
}

/// Appends a message.
fn say(messages: &mut Vec<u8>, role: &str, text: impl FnOnce(&mut Vec<u8>)) {
    if !messages.is_empty() {
        messages.push(b',');
    }
    messages.extend_from_slice(b"{\"role\":\"");
    messages.extend_from_slice(role.as_bytes());
    messages.extend_from_slice(b"\",\"content\":\"");
    text(messages);
    messages.extend_from_slice(b"\"}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;
    use poolproof_model::workload::Workload;
    use serde_json::Value;
    use url::Url;

    const AGENT: &str = "shared_prefix = { groups = 2, tokens = 40 }\ninput_tokens = { from = 20, to = 60 }\noutput_tokens = { from = 1, to = 9 }";

    fn workload(turns: &str, class: &str) -> Workload {
        let text = format!(
            "shows = 'x'\nduration_s = 1\n[arrival]\nprocess = 'sessions'\nusers = 9\nturns = {turns}\n\
             think_time_s = {{ from = 1, to = 2 }}\n[[mix]]\nclass = 'agent'\n{class}"
        );
        toml::from_str(&text).unwrap()
    }

    fn requests(turns: &str, class: &str, seed: u64) -> Requests {
        let workload = workload(turns, class);
        workload.check().unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        let url = Url::parse("http://gateway.test:81/").unwrap();
        Requests::new(&workload, None, &target, &[url], None, seed).unwrap()
    }

    fn body(requests: &Requests, conversation: &Conversation) -> (Value, Built) {
        let mut wire = Vec::new();
        let built = requests.build_turn(7, conversation, &mut wire);
        let text = String::from_utf8(wire).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.rsplit_once("content-length: ").unwrap().1;
        assert_eq!(length.parse::<usize>().unwrap(), body.len());
        (serde_json::from_str(body).unwrap(), built)
    }

    /// A whole session, answered with these words: the bodies of its requests, and how long its user thought.
    fn session(
        requests: &Requests,
        user: u64,
        number: u64,
        answer: &str,
    ) -> Vec<(Duration, Value)> {
        let mut conversation = requests.converse(user, number);
        let mut turns = Vec::new();
        while !conversation.is_over() {
            let think = conversation.think();
            requests.begin_turn(&mut conversation);
            turns.push((think, body(requests, &conversation).0));
            conversation.answered(answer.as_bytes());
        }
        turns
    }

    fn content(body: &Value, message: usize) -> &str {
        body["messages"][message]["content"].as_str().unwrap()
    }

    #[test]
    fn every_turn_carries_all_that_was_said_before_it() {
        let requests = requests("4", AGENT, 1);
        let turns = session(&requests, 0, 0, "so \\\"it\\\" is\\n");
        assert_eq!(turns.len(), 4);
        for (number, (think, body)) in turns.iter().enumerate() {
            let messages = body["messages"].as_array().unwrap();
            assert_eq!(messages.len(), 2 + 2 * number);
            let roles: Vec<&str> = messages
                .iter()
                .map(|it| it["role"].as_str().unwrap())
                .collect();
            assert_eq!(roles[0], "system");
            assert!(roles[1..].iter().step_by(2).all(|role| *role == "user"));
            assert!(
                roles[2..]
                    .iter()
                    .step_by(2)
                    .all(|role| *role == "assistant")
            );
            assert_eq!(content(body, 0).split_whitespace().count(), 40);
            assert!((20..=60).contains(&content(body, 1 + 2 * number).split_whitespace().count()));
            assert!((1..=9).contains(&body["max_tokens"].as_u64().unwrap()));
            assert!((1.0..=2.0).contains(&think.as_secs_f64()));
            if number > 0 {
                assert_eq!(content(body, 2 * number), "so \"it\" is\n");
                let before = turns[number - 1].1["messages"].as_array().unwrap();
                assert_eq!(&messages[..before.len()], before);
            }
        }
    }

    #[test]
    fn the_seed_the_user_and_the_number_decide_a_session_and_its_answers_do_not() {
        let turns = "{ from = 1, to = 9 }";
        let said = |seed, user, number, answer: &str| {
            let turns = session(&requests(turns, AGENT, seed), user, number, answer);
            let last = &turns.last().unwrap().1["messages"];
            let said = last
                .as_array()
                .unwrap()
                .iter()
                .filter(|it| it["role"] == "user");
            let said: Vec<Value> = said.cloned().collect();
            let thought: Vec<Duration> = turns.iter().map(|turn| turn.0).collect();
            (said, thought)
        };
        assert_eq!(said(1, 3, 5, "yes"), said(1, 3, 5, "no"));
        for (seed, user, number) in [(2, 3, 5), (1, 4, 5), (1, 3, 6), (1, 5, 3)] {
            assert_ne!(
                said(1, 3, 5, "yes").0[0],
                said(seed, user, number, "yes").0[0]
            );
        }
    }

    #[test]
    fn sessions_have_the_turns_and_the_system_prompts_that_were_asked_for() {
        let requests = requests("{ from = 2, to = 4 }", AGENT, 1);
        let mut turns = std::collections::BTreeSet::new();
        let mut systems = std::collections::BTreeSet::new();
        let mut openings = std::collections::BTreeSet::new();
        for number in 0..100 {
            let session = session(&requests, number % 5, number, "");
            turns.insert(session.len());
            systems.insert(content(&session[0].1, 0).to_owned());
            openings.insert(content(&session[0].1, 1)[..60].to_owned());
        }
        assert_eq!(turns, [2, 3, 4].into());
        assert_eq!((systems.len(), openings.len()), (2, 100));
    }

    #[test]
    fn answers_are_bounded_and_bytes_that_are_no_text_do_no_harm() {
        let requests = requests("1000", "input_tokens = 5\noutput_tokens = 3", 1);
        let mut conversation = requests.converse(0, 0);
        requests.begin_turn(&mut conversation);
        conversation.answered(b"a \xff b");
        requests.begin_turn(&mut conversation);
        let (sent, built) = body(&requests, &conversation);
        assert_eq!(content(&sent, 1), "a \u{fffd} b");
        assert_eq!((built.input_tokens, built.asked.text), (13, true));
        let mut turns = 0;
        while !conversation.is_over() {
            requests.begin_turn(&mut conversation);
            conversation.answered(&vec![b'x'; 1 << 20]);
            turns += 1;
        }
        assert_eq!(turns, 8);
    }

    #[test]
    fn a_session_is_carried_by_every_api_of_conversations_and_by_no_other() {
        for (api, key) in [("responses", "input"), ("messages", "messages")] {
            let class = format!("api = '{api}'\ninput_tokens = 5\noutput_tokens = 3");
            let turns = session(&requests("3", &class, 1), 0, 0, "yes");
            assert_eq!(turns[2].1[key].as_array().unwrap().len(), 5, "{api}");
            assert_eq!(turns[2].1[key][1]["content"], "yes");
        }
        let class = format!("api = 'messages'\n{AGENT}");
        let message = format!("{:#}", workload("3", &class).check().unwrap_err());
        assert!(message.contains("`shared_prefix`"), "{message}");
        let class = format!("api = 'completions'\n{AGENT}");
        let message = format!("{:#}", workload("3", &class).check().unwrap_err());
        assert!(
            message.contains("`api`") && message.contains("agent"),
            "{message}"
        );
    }
}
