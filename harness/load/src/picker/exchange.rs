//! One request to an endpoint picker over ext_proc, in the message order of agentgateway v1.2.1 and Envoy: headers, body pieces, an empty
//! piece with the end of stream, then, once the picker has answered these, the headers and the body of a response.

use std::fmt::Write as _;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, Metadata};
use envoy_types::pb::envoy::service::ext_proc::v3::body_mutation::Mutation;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Message;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answer;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyResponse, CommonResponse, HttpBody, HttpHeaders, ProcessingRequest, ProcessingResponse,
};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// The header in which a picker names the endpoint (GIE, docs/proposals/004-endpoint-picker-protocol).
const DESTINATION: &str = "x-gateway-destination-endpoint";
/// The metadata of the endpoint that served a request (the same document).
const METADATA_NAMESPACE: &str = "envoy.lb";
const SERVED: &str = "x-gateway-destination-endpoint-served";
/// The largest piece of a body.
const PIECE_BYTES: usize = 64 << 10;
/// Messages that wait to be sent. A body of 1 MiB has 16 pieces.
const MESSAGES: usize = 64;
/// The response that the picker sees.
const RESPONSE: &str = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
/// The bytes of a token of English text, about.
const TOKEN_BYTES: usize = 4;
/// The text of prompts, over and over.
const WORDS: &str =
    "the wind over the hill was cold and clear that day when they came home from the long road ";

/// The requests: chats with prompts of one length, each with a beginning of its own.
#[derive(Clone, Debug)]
pub struct Prompt {
    model: String,
    /// A JSON string without its beginning and its end.
    text: String,
    /// The tokens, about.
    pub tokens: usize,
}

impl Prompt {
    /// Prompts of about this many tokens for a model.
    pub fn new(model: &str, tokens: usize) -> Self {
        let bytes = tokens * TOKEN_BYTES;
        let text = WORDS.chars().cycle().take(bytes).collect();
        Self {
            model: serde_json::Value::from(model).to_string(),
            text,
            tokens,
        }
    }

    fn body(&self, number: u64) -> Vec<u8> {
        let mut body = String::with_capacity(self.text.len() + 128);
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            r#"{{"model":{},"max_tokens":1,"messages":[{{"role":"user","content":"{number} {}"}}]}}"#,
            self.model, self.text
        );
        body.into_bytes()
    }
}

/// Asks for a pick and completes the exchange. Returns the endpoint, or the reason why there is none.
pub(super) async fn pick(
    mut client: ExternalProcessorClient<Channel>,
    prompt: &Prompt,
    number: u64,
) -> Result<String, String> {
    let body = prompt.body(number);
    let (send, messages) = mpsc::channel(MESSAGES);
    let asking = async {
        let answers = client.process(ReceiverStream::new(messages)).await;
        let mut answers = answers.map_err(|status| reason(&status))?.into_inner();
        let endpoint = picked(&mut answers).await?;
        Ok((answers, endpoint))
    };
    let sending = async {
        let mut messages = vec![request_headers(&body, number)];
        messages.extend(
            body.chunks(PIECE_BYTES)
                .map(|piece| message(Message::RequestBody(http_body(piece.to_vec(), false)))),
        );
        messages.push(message(Message::RequestBody(http_body(Vec::new(), true))));
        for message in messages {
            // The receiver is gone if the picker has ended the exchange; its answer has the reason.
            if send.send(message).await.is_err() {
                break;
            }
        }
    };
    let (asked, ()): (Result<_, String>, ()) = tokio::join!(asking, sending);
    let (mut answers, endpoint) = asked?;
    // The rest of the exchange is the picker's to finish; nobody waits for it at the gateway.
    tokio::spawn({
        let endpoint = endpoint.clone();
        async move {
            let _ = send.send(response_headers(&endpoint)).await;
            let body = message(Message::ResponseBody(http_body(RESPONSE.into(), true)));
            let _ = send.send(body).await;
            // A half-close before the last answer would count as a disconnect.
            while let Ok(Some(answer)) = answers.message().await {
                if matches!(answer.response, Some(Answer::ResponseBody(body)) if ends(&body)) {
                    break;
                }
            }
            drop(send);
        }
    });
    Ok(endpoint)
}

/// Receives the answers to the request, to the end of its body.
async fn picked(answers: &mut Streaming<ProcessingResponse>) -> Result<String, String> {
    let mut endpoint = None;
    loop {
        let answer = answers.message().await.map_err(|status| reason(&status))?;
        let answer = answer.ok_or("the picker ended the exchange")?;
        match answer.response {
            Some(Answer::RequestHeaders(headers)) => {
                endpoint = headers.response.as_ref().and_then(destination).or(endpoint);
            }
            Some(Answer::RequestBody(body)) => {
                endpoint = body.response.as_ref().and_then(destination).or(endpoint);
                if ends(&body) {
                    return endpoint.ok_or_else(|| "no endpoint was named".to_owned());
                }
            }
            Some(Answer::ImmediateResponse(refusal)) => {
                let code = refusal.status.map_or(0, |status| status.code);
                return Err(format!("refused with {code}"));
            }
            _ => return Err("an answer to something that was not sent".to_owned()),
        }
    }
}

/// The name of a failure: its gRPC code, since texts may contain addresses and times.
fn reason(status: &tonic::Status) -> String {
    format!("grpc {:?}", status.code())
}

/// The endpoint that a response names in its header.
fn destination(response: &CommonResponse) -> Option<String> {
    let set = &response.header_mutation.as_ref()?.set_headers;
    let header = set
        .iter()
        .filter_map(|option| option.header.as_ref())
        .find(|header| header.key.eq_ignore_ascii_case(DESTINATION))?;
    let value = if header.raw_value.is_empty() {
        header.value.clone()
    } else {
        String::from_utf8_lossy(&header.raw_value).into_owned()
    };
    Some(value)
}

/// Whether an answer is about the end of a body.
fn ends(body: &BodyResponse) -> bool {
    let mutation = body
        .response
        .as_ref()
        .and_then(|response| response.body_mutation.as_ref())
        .and_then(|mutation| mutation.mutation.as_ref());
    match mutation {
        Some(Mutation::StreamedResponse(streamed)) => streamed.end_of_stream,
        // A picker that buffers bodies answers once.
        _ => true,
    }
}

fn request_headers(body: &[u8], number: u64) -> ProcessingRequest {
    let length = body.len().to_string();
    let id = number.to_string();
    headers(
        &[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "picker.load"),
            (":path", "/v1/chat/completions"),
            ("content-type", "application/json"),
            ("content-length", &length),
            ("x-request-id", &id),
        ],
        Message::RequestHeaders,
    )
}

fn response_headers(endpoint: &str) -> ProcessingRequest {
    let served = Value {
        kind: Some(Kind::StringValue(endpoint.to_owned())),
    };
    let served = Struct {
        fields: [(SERVED.to_owned(), served)].into(),
    };
    ProcessingRequest {
        metadata_context: Some(Metadata {
            filter_metadata: [(METADATA_NAMESPACE.to_owned(), served)].into(),
            ..Metadata::default()
        }),
        ..headers(
            &[(":status", "200"), ("content-type", "application/json")],
            Message::ResponseHeaders,
        )
    }
}

fn headers(list: &[(&str, &str)], kind: fn(HttpHeaders) -> Message) -> ProcessingRequest {
    let headers = list.iter().map(|(key, value)| HeaderValue {
        key: (*key).to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    });
    message(kind(HttpHeaders {
        headers: Some(HeaderMap {
            headers: headers.collect(),
        }),
        ..HttpHeaders::default()
    }))
}

fn http_body(body: Vec<u8>, end_of_stream: bool) -> HttpBody {
    HttpBody {
        body,
        end_of_stream,
        ..HttpBody::default()
    }
}

fn message(request: Message) -> ProcessingRequest {
    ProcessingRequest {
        request: Some(request),
        ..ProcessingRequest::default()
    }
}
