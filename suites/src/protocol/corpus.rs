//! Valid bodies of the OpenAI API in which a gateway that decodes and encodes them may change something.

use poolproof_client::Api;
use poolproof_client::Api::{Chat, Completions};

/// A kind of body.
pub(super) struct Kind {
    /// What is special about it.
    pub(super) name: &'static str,
    /// The APIs that have it.
    pub(super) apis: &'static [Api],
    /// What differs from a plain body.
    special: Special,
}

enum Special {
    /// Further members.
    Members(&'static str),
    /// What follows the nonce in the prompt, or in the message of a chat, as it is spelled in JSON.
    Text(&'static str),
    /// The prompt, or the messages of a chat. `NONCE` stands for the nonce, `IDS` for token ids that only it has.
    Prompt(&'static str),
    /// Whitespace wherever JSON allows it.
    Spaces,
    /// Many tools.
    Tools(usize),
    /// A member of nested lists.
    Nested(usize),
}

const BOTH: &[Api] = &[Completions, Chat];

/// All kinds.
#[rustfmt::skip]
pub(super) const KINDS: &[Kind] = &[
    Kind { name: "whole numbers beyond 2^53", apis: BOTH, special: Special::Members(
        r#""seed":9007199254740993,"x_least":-9223372036854775809,"x_most":18446744073709551617,"x_in":{"id":[12345678901234567890123]}"#) },
    Kind { name: "spellings of numbers", apis: BOTH, special: Special::Members(
        r#""temperature":0.10,"top_p":1.0,"x":[1e5,1E+2,-0,-0.0,0.1000000000000000055511151231257827,1.0e-7,100000000000000000000000]"#) },
    Kind { name: "numbers that no double has", apis: BOTH, special: Special::Members(r#""x":1e400,"x_small":[-1e-400]"#) },
    Kind { name: "members of the same name", apis: BOTH, special: Special::Members(r#""x":1,"x_in":{"a":"1","b":0,"a":"2"},"x":2"#) },
    Kind { name: "members that OpenAI does not have", apis: BOTH, special: Special::Members(
        r#""x_vendor":{"nested":{"deep":[true,false,null]}},"nvext":{"annotations":["a"]},"chat_template_kwargs":{"enable_thinking":false},"":"no name","a b/c~d.e":1"#) },
    Kind { name: "null and empty values", apis: BOTH, special: Special::Members(r#""stop":null,"user":"","x_list":[],"x_object":{},"x_in":[null,"",{}]"#) },
    Kind { name: "escaped names", apis: BOTH, special: Special::Members(r#""x\u005fname":1,"\u00e9\ud83d\ude00\"\\":{"\/":2}"#) },
    Kind { name: "markup", apis: BOTH, special: Special::Text("<b>a & b</b> <|im_end|> 'c' &amp; %20 +") },
    Kind { name: "line separators", apis: BOTH, special: Special::Text("a\u{2028}b\u{2029}c\u{85}d\u{7f}e\u{a0}f\u{feff}g") },
    Kind { name: "escapes", apis: BOTH, special: Special::Text(r#"\u0061\/\b\f\n\r\t\"\\\u001f\u2028\u003c\r\n  "#) },
    Kind { name: "surrogate pairs", apis: BOTH, special: Special::Text("\\ud83d\\ude00 \u{1f600} \\ud834\\udd1e \u{10ffff}") },
    Kind { name: "texts that a normal form changes", apis: BOTH, special: Special::Text("\u{e9} e\u{301} \u{1112}\u{1161}\u{11ab} \u{2167} \u{fb01} \u{202e}abc\u{202c}") },
    Kind { name: "whitespace", apis: BOTH, special: Special::Spaces },
    Kind { name: "40 nested lists", apis: BOTH, special: Special::Nested(40) },
    Kind { name: "a prompt of several texts", apis: &[Completions], special: Special::Prompt(r#"["NONCE","two"]"#) },
    Kind { name: "a prompt of token ids", apis: &[Completions], special: Special::Prompt("[IDS]") },
    Kind { name: "a prompt of lists of token ids", apis: &[Completions], special: Special::Prompt("[[IDS],[3,4]]") },
    Kind { name: "300 tools", apis: &[Chat], special: Special::Tools(300) },
    Kind { name: "parts of text, image and sound", apis: &[Chat], special: Special::Prompt(
        r#"[{"role":"user","content":[{"type":"text","text":"NONCE"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==","detail":"low"}},{"type":"input_audio","input_audio":{"data":"UklGRiQAAABXQVZF","format":"wav"}}]}]"#) },
    Kind { name: "calls of tools and their results", apis: &[Chat], special: Special::Prompt(
        r#"[{"role":"system","content":"NONCE"},{"role":"user","content":"Go","name":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"id\": 9007199254740993, \"t\": 0.10}"}}],"reasoning_content":"because"},{"role":"tool","tool_call_id":"call_1","content":"{\"ok\":true}"}]"#) },
];

impl Kind {
    /// A body of this kind for exactly two tokens. `nonce`: hexadecimal digits, at least 8.
    pub(super) fn body(&self, api: Api, model: &str, nonce: &str, stream: bool) -> String {
        let text = match self.special {
            Special::Text(text) => text,
            _ => "",
        };
        let prompt = match (&self.special, api) {
            (Special::Prompt(prompt), _) => prompt
                .replace("NONCE", nonce)
                .replace("IDS", &token_ids(nonce)),
            (_, Completions) => format!(r#""{nonce}{text}""#),
            _ => format!(r#"[{{"role":"user","content":"{nonce}{text}"}}]"#),
        };
        let mut members = vec![
            // Names of models are spelled as JSON spells them.
            format!(r#""model":{}"#, serde_json::Value::from(model)),
            format!(
                r#""{}":{prompt}"#,
                match api {
                    Completions => "prompt",
                    _ => "messages",
                }
            ),
            r#""max_tokens":2,"ignore_eos":true"#.to_owned(),
        ];
        match self.special {
            Special::Members(further) => members.push(further.to_owned()),
            Special::Tools(count) => members.push(tools(count)),
            Special::Nested(depth) => {
                let (open, close) = ("[".repeat(depth), "]".repeat(depth));
                members.push(format!(r#""x":{open}"deep"{close}"#));
            }
            _ => {}
        }
        if stream {
            members.push(r#""stream":true,"stream_options":{"include_usage":true}"#.to_owned());
        }
        match self.special {
            Special::Spaces => {
                let members = members.join("\r\n\t, ").replace("\":", "\" :\n ");
                format!("\n \t{{\r\n{members}\n}}\r\n ")
            }
            _ => format!("{{{}}}", members.join(",")),
        }
    }
}

/// Some token ids, by the digits of a nonce. Vocabularies have more than 4,096 tokens.
fn token_ids(nonce: &str) -> String {
    let digits: Vec<char> = nonce.chars().collect();
    let ids = digits.chunks(3).map(|digits| {
        let digits: String = digits.iter().collect();
        u32::from_str_radix(&digits, 16).unwrap_or(0).to_string()
    });
    ids.collect::<Vec<_>>().join(",")
}

fn tools(count: usize) -> String {
    let tools = (0..count).map(|number| {
        format!(
            r#"{{"type":"function","function":{{"name":"tool_{number}","description":"<{number}>","strict":false,"parameters":{{"type":"object","properties":{{"z":{{"type":"number","maximum":1}},"a":{{"type":"string","enum":["b","a"]}}}},"required":["z"],"additionalProperties":false}}}}}}"#
        )
    });
    let tools: Vec<String> = tools.collect();
    format!(r#""tool_choice":"none","tools":[{}]"#, tools.join(","))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::meaning::Meaning;
    use super::*;

    #[test]
    fn every_body_is_json_for_its_model_and_no_two_mean_the_same() {
        let nonce = "0123456789abcdef0123456789abcdef";
        let mut seen = BTreeSet::new();
        for kind in KINDS {
            for api in kind.apis {
                for stream in [false, true] {
                    let body = kind.body(*api, "m/\"x\"", nonce, stream);
                    let meaning = Meaning::of(&body).unwrap();
                    assert_eq!(meaning.text_of("model"), Some("m/\"x\""), "{}", kind.name);
                    assert_ne!(
                        body,
                        kind.body(*api, "m/\"x\"", &nonce.replace('a', "b"), stream)
                    );
                    assert!(seen.insert(format!("{meaning:?}")), "{}", kind.name);
                }
            }
        }
    }
}
