//! What requests contain.

#![allow(clippy::unwrap_used)]

use super::*;
use poolproof_model::target::Secret;
use poolproof_model::topology::Topology;
use serde_json::Value;

fn requests(mix: &str, seed: u64) -> Result<Requests> {
    let text = format!(
        "shows = 'x'\nduration_s = 1\narrival = {{ process = 'constant', rate_per_s = 1 }}\n{mix}"
    );
    let workload: Workload = toml::from_str(&text).unwrap();
    workload.check()?;
    let mut target = Target::planned(&Topology::default())?;
    let secret = Secret::new("Bearer secret");
    target.access.set("authorization", secret)?;
    let url = Url::parse("http://gateway.test:81/base/").unwrap();
    Requests::new(&workload, None, &target, &[url], None, seed)
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
        head.starts_with("POST /base/v1/chat/completions HTTP/1.1\r\nhost: gateway.test:81\r\n")
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
fn each_api_has_its_own_body_and_headers() {
    let of = |api: &str| sent(&requests(&format!("{CHAT}api = '{api}'\n"), 1).unwrap(), 3);
    let words = |text: &Value| text.as_str().unwrap().split_whitespace().count();
    let (head, body, built) = of("responses");
    assert!(head.starts_with("POST /base/v1/responses HTTP/1.1\r\n"));
    assert_eq!(
        (words(&body["input"]), &body["max_output_tokens"]),
        (30, &7.into())
    );
    assert_eq!(
        (&body["stream"], built.asked.api),
        (&true.into(), Api::Responses)
    );
    let (head, messages, built) = of("messages");
    assert!(head.starts_with("POST /base/v1/messages HTTP/1.1\r\n"));
    assert!(
        head.contains("\r\nanthropic-version: 2023-06-01\r\n"),
        "{head}"
    );
    assert_eq!(words(&messages["messages"][0]["content"]), 30);
    assert_eq!(
        (&messages["max_tokens"], built.asked.api),
        (&7.into(), Api::Messages)
    );
    for body in [body, messages] {
        assert!(
            body.get("ignore_eos")
                .or(body.get("stream_options"))
                .is_none()
        );
    }
}

#[test]
fn prompts_of_a_dataset_are_sent_as_they_are_each_in_turn_in_the_order_of_the_seed() {
    use poolproof_model::workload::dataset::Prompt;
    let prompt = |number: u32| Prompt {
        messages: format!(
            "{{\"role\":\"system\",\"content\":\"s\"}},{{\"role\":\"user\",\"content\":\"q{number}\"}}"
        ),
        text: format!("s\\nq{number}"),
        output_tokens: (number > 0).then_some(100 + number),
    };
    let trace = Trace {
        prompts: (0..20).map(prompt).collect(),
        ..Trace::default()
    };
    let mix = |api: &str| {
        format!(
            "shows = 'x'\nduration_s = 1\narrival = {{ process = 'constant', rate_per_s = 1 }}\n\
             [[mix]]\nclass = 'c'\napi = '{api}'\ninput_tokens = 1\noutput_tokens = 7\n"
        )
    };
    let requests = |api: &str, seed| {
        let workload: Workload = toml::from_str(&mix(api)).unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        let trace = Some(trace.clone());
        Requests::new(
            &workload,
            trace,
            &target,
            std::slice::from_ref(&target.url),
            None,
            seed,
        )
        .unwrap()
    };
    let asked = |seed| -> Vec<String> {
        let requests = requests("chat", seed);
        let texts = (0..40).map(|number| {
            let (_, body, built) = sent(&requests, number);
            assert_eq!(body["messages"][0]["role"], "system");
            let text = body["messages"][1]["content"].as_str().unwrap().to_owned();
            let tokens = body["max_tokens"].as_u64().unwrap();
            let wanted = match text.as_str() {
                "q0" => 7,
                other => 100 + other[1..].parse::<u64>().unwrap(),
            };
            assert_eq!(
                (tokens, built.output_tokens.into()),
                (wanted, wanted),
                "{text}"
            );
            text
        });
        texts.collect()
    };
    let (first, other) = (asked(1), asked(2));
    assert_eq!(
        first[..20],
        first[20..],
        "a second round has the same order"
    );
    assert_ne!(first, other);
    let mut once = first[..20].to_vec();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), 20);
    let (_, body, _) = sent(&requests("completions", 1), 0);
    assert_eq!(body["prompt"], format!("s\n{}", first[0]));
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
        let requests = Requests::new(
            &workload,
            None,
            &target,
            std::slice::from_ref(&url),
            None,
            1,
        );
        let requests = requests.unwrap().marked(0xabc);
        let mut wire = Vec::new();
        let built = requests.build(due, &mut wire);
        (requests, built, wire)
    };
    let (_, built_one, one) = build(Http::One);
    let (requests, built_two, two) = build(Http::Two);
    assert_eq!(built_one, built_two);
    let request = requests.http2(0, 3, two.len()).unwrap();

    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Request::new(&mut headers);
    let body_at = head.parse(&one).unwrap().unwrap();
    assert_eq!(&one[body_at..], two);
    assert_eq!(head.method, Some(request.method().as_str()));
    assert_eq!(head.path, Some(request.uri().path()));
    assert_eq!(request.uri(), "https://other.test/base/v1/chat/completions");
    // One `host`, in place of that of the url (RFC 9112, section 3.2).
    let mut hosts = head
        .headers
        .iter()
        .filter(|it| it.name.eq_ignore_ascii_case("host"));
    assert_eq!(hosts.next().unwrap().value, b"other.test");
    assert!(hosts.next().is_none());
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
        .filter(|(name, _)| !of_connection(name))
        .collect();
    of_one.sort();
    of_two.sort();
    assert_eq!(of_one, of_two);
    let id = request.headers()[poolproof_client::REQUEST_ID_HEADER].as_bytes();
    assert_eq!(id, b"00000abc-load-3");
}

#[test]
fn the_seed_and_the_number_decide_a_request() {
    let prompt = |seed, number| sent(&requests(CHAT, seed).unwrap(), number).1["messages"].clone();
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
    let prefixes: std::collections::BTreeSet<&str> = prompts.clone().map(|it| &it[..200]).collect();
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
            std::slice::from_ref(&target.url),
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
