//! A target that is found by asking a URL, for commands that are given no file.

use std::path::Path;

use anyhow::{Context, anyhow};
use url::Url;

use super::access::AccessArgs;
use super::{Exit, Failure};
use poolproof_client::discover::{self, Listed};
use poolproof_model::target::{Model, Target};

/// What a command wants to know about a gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// The address, as the user gave it.
    pub(super) url: &'a Url,
    /// The model that the user named.
    pub(super) model: Option<&'a str>,
    /// Keys, headers and certificates of every request.
    pub(super) access: &'a AccessArgs,
    /// Whether one chat of one token may be sent, to see in which header answers name their endpoint.
    pub(super) may_chat: bool,
}

/// Whether an argument is a URL rather than a name or a file.
pub(super) fn is_url(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.starts_with("http://") || text.starts_with("https://")
}

/// Parses a URL of the command line. The error does not repeat it, since it may have a password.
pub(super) fn url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).context("the URL on the command line")?;
    Ok(discover::base_of(&url))
}

/// Asks the gateway, and prints what was found to standard error.
pub(super) async fn find(question: Question<'_>) -> Result<Target, Failure> {
    let Question {
        url,
        model,
        access,
        may_chat,
    } = question;
    let mut target = Target::at(Target::name_of(url), url.clone());
    target.resolve(Path::new("")).map_err(Failure::usage)?;
    let access = access.read().map_err(Failure::usage)?;
    target.access = target.access.with(&access);
    let listed = discover::models(&target).await?;
    let is_unlisted = match (&listed, model) {
        (Listed::Models(models), Some(name)) => !models.iter().any(|model| serves(model, name)),
        _ => false,
    };
    target.models = match (listed, model) {
        (Listed::Unreachable(why), _) => {
            return Err(Failure {
                exit: Exit::Unavailable,
                error: anyhow!("no server answers at {}: {why}", target.name),
            });
        }
        (Listed::Models(models), model) => chosen(models, model),
        (Listed::Nothing(..), Some(model)) => vec![discover::of_name(model)],
        (Listed::Nothing(status, what), None) => {
            let has_key = !target.access.headers(&target.url, true).is_empty();
            let why = no_list(status, has_key);
            return Err(Failure::usage(anyhow!(
                "{}/v1/models {why}; the answer was {what}",
                target.name
            )));
        }
    };
    eprintln!("{}", in_words(&target, is_unlisted));
    if may_chat && let Some(model) = target.models.first() {
        let header = discover::served_by_header(&target, &model.name).await?;
        target.served_by_header = header;
    }
    Ok(target)
}

/// Why there is no list of models, and what to do.
fn no_list(status: Option<u16>, has_key: bool) -> &'static str {
    match (status, has_key) {
        (Some(401 | 403), false) => {
            "asks for a key: --api-key-env NAME or --api-key-file FILE sends one"
        }
        (Some(401 | 403), true) => "refuses the key or the headers that were sent",
        (Some(500..), false) => {
            "failed; some gateways fail so without a key: --api-key-env NAME sends one, and --model NAME names a model without asking"
        }
        (Some(500..), true) => "failed: --model NAME names a model without asking",
        _ => "does not list models, so that the model has to be named with --model NAME",
    }
}

/// Whether a name is that of a model or of one of its adapters.
fn serves(model: &Model, name: &str) -> bool {
    model.name == name || model.adapters.iter().any(|adapter| adapter == name)
}

/// The models with the named one first. One that is not listed may be served nevertheless: a gateway may list those of one pool.
fn chosen(mut models: Vec<Model>, name: Option<&str>) -> Vec<Model> {
    let Some(name) = name else {
        return models;
    };
    for model in &mut models {
        model.adapters.retain(|adapter| adapter != name);
    }
    let first = match models.iter().position(|model| model.name == name) {
        Some(place) => models.remove(place),
        None => discover::of_name(name),
    };
    models.insert(0, first);
    models
}

/// The model that is used, and the others, in one line.
fn in_words(target: &Target, is_unlisted: bool) -> String {
    const NAMED_MAX: usize = 8;
    let names: Vec<&str> = target
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    let Some((first, others)) = names.split_first() else {
        return String::new();
    };
    let mut text = format!("{}: model {first}", target.name);
    if is_unlisted {
        text += ", which /v1/models does not list";
    }
    if !others.is_empty() {
        let named = others[..others.len().min(NAMED_MAX)].join(", ");
        let more = others.len().saturating_sub(NAMED_MAX);
        text += &format!("; --model chooses another: {named}");
        if more > 0 {
            text += &format!(" and {more} more");
        }
    }
    // Names come from a server.
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_named_model_comes_first_whether_it_is_listed_an_adapter_or_neither() {
        let listed = || {
            let mut first = discover::of_name("a");
            first.adapters = vec!["lora".to_owned()];
            vec![first, discover::of_name("b")]
        };
        let names = |name| -> Vec<String> {
            let models = chosen(listed(), name);
            let adapters: Vec<&String> = models.iter().flat_map(|model| &model.adapters).collect();
            assert_eq!(adapters.is_empty(), name == Some("lora"));
            models.iter().map(|model| model.name.clone()).collect()
        };
        assert_eq!(names(None), ["a", "b"]);
        assert_eq!(names(Some("b")), ["b", "a"]);
        assert_eq!(names(Some("lora")), ["lora", "a", "b"]);
        assert_eq!(names(Some("c")), ["c", "a", "b"]);
    }

    #[test]
    fn the_other_models_are_named_in_one_line() {
        let url = url("http://me:secret@h:1/v1").unwrap();
        let mut target = Target::at(Target::name_of(&url), url);
        target.models = (0..10)
            .map(|number| discover::of_name(&format!("m{number}")))
            .collect();
        let line = in_words(&target, false);
        assert!(
            line.starts_with("http://h:1: model m0; --model chooses another: m1, "),
            "{line}"
        );
        assert!(line.ends_with("m8 and 1 more"), "{line}");
        let line = in_words(&target, true);
        assert!(
            line.contains("model m0, which /v1/models does not list; "),
            "{line}"
        );
    }

    #[test]
    fn a_refusal_asks_for_a_key_only_where_none_was_sent() {
        assert!(no_list(Some(401), false).contains("--api-key-env"));
        assert!(no_list(Some(403), true).starts_with("refuses the key"));
        assert!(no_list(Some(500), false).contains("--api-key-env"));
        assert!(!no_list(Some(503), true).contains("--api-key-env"));
        for status in [Some(200), Some(404), None] {
            assert!(no_list(status, false).ends_with("--model NAME"));
        }
        let mut model = discover::of_name("m");
        model.adapters = vec!["lora".to_owned()];
        assert!(serves(&model, "lora") && serves(&model, "m") && !serves(&model, "n"));
    }

    #[test]
    fn only_http_urls_are_urls() {
        assert!(is_url("http://h") && is_url("HTTPS://h"));
        assert!(!is_url("steady-chat") && !is_url("a/b.toml") && !is_url("localhost:8000"));
    }
}
