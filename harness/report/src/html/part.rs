//! Parts that several pages share: the frame of a page, verdicts, bars, and lists of facts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::{clipped, moment};
use super::chart::Ink;
use jiff::Timestamp;
use poolproof_model::component::Component;
use poolproof_model::workload::Workload;
use poolproof_records::environment::Environment;

/// One section of a page.
pub(super) struct Section {
    /// Its anchor.
    pub(super) id: &'static str,
    /// Its heading, and its name among the links at the top.
    pub(super) title: &'static str,
    /// Its content.
    pub(super) body: Markup,
}

impl Section {
    /// A section; `None` without content.
    pub(super) fn new(id: &'static str, title: &'static str, body: Markup) -> Option<Self> {
        (!body.0.is_empty()).then_some(Self { id, title, body })
    }
}

/// The conclusion of a record, which sets the colour of the page's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Good.
    Pass,
    /// Bad.
    Fail,
    /// Not decided.
    Undecided,
}

impl State {
    fn class(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undecided => "undecided",
        }
    }
}

/// The head of a page: what it is about, the conclusion, and what else a reader must know first.
pub(super) struct Head<'a> {
    /// What the record is about.
    pub(super) name: &'a str,
    /// Its stack.
    pub(super) stack: &'a str,
    /// The conclusion.
    pub(super) state: State,
    /// The conclusion in words.
    pub(super) conclusion: String,
    /// Everything below these.
    pub(super) more: Markup,
}

/// A whole page.
pub(super) fn page(head: &Head<'_>, sections: Vec<Option<Section>>) -> String {
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    let (name, stack) = (clipped(head.name), clipped(head.stack));
    let title = format!("{name} on {stack}: {}", head.conclusion);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main {
                    header class=(head.state.class()) {
                        p.about { bdi { (name) } " on " bdi { (stack) } }
                        h1 { (sign(head.state.class())) " " (first_upper(&head.conclusion)) }
                        (head.more)
                    }
                    nav aria-label="Sections" {
                        @for section in &sections { a href={ "#" (section.id) } { (section.title) } }
                    }
                    @for section in &sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            (section.body)
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

fn first_upper(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect()
}

/// The sign of a verdict or conclusion, for readers who cannot tell the colours apart.
fn sign(verdict: &str) -> Markup {
    let sign = match verdict {
        "pass" => "✓",
        "fail" | "unexpected-pass" => "✕",
        "known-failure" => "◆",
        "skip" => "–",
        "error" => "!",
        _ => "?",
    };
    html! { span.sign aria-hidden="true" { (sign) } }
}

/// A verdict, as sign, word and colour.
pub(super) fn verdict(verdict: &str) -> Markup {
    html! { span class={ "verdict " (class(verdict)) } { (sign(verdict)) " " (verdict.replace('-', " ")) } }
}

/// The class of a verdict, which sets its colour.
pub(super) fn class(verdict: &str) -> &'static str {
    match verdict {
        "pass" => "pass",
        "fail" | "error" | "unexpected-pass" => "fail",
        "known-failure" => "known",
        "skip" => "skip",
        _ => "undecided",
    }
}

/// A bar whose length is a share of its cell.
pub(super) fn bar(share: f64, ink: Ink) -> Markup {
    let width = 100.0 * share.clamp(0.0, 1.0);
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect class={ "fill " (ink.class()) } width=(format!("{width:.1}")) height="8" {}
        }
    }
}

/// A table in a box of its own. A table wider than the page scrolls inside that box.
pub(super) fn wide(label: &str, table: Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// A list of facts. Empty ones are left out.
pub(super) fn facts(facts: &[(&str, String)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                dt { (clipped(name)) }
                dd { bdi { (clipped(value)) } }
            }
        }
    }
}

/// How the load runs of a record were made: the facts at the end of its page.
pub(super) struct Method<'a> {
    /// When the first one was started.
    pub(super) started: Timestamp,
    /// What was sent.
    pub(super) workload: &'a Workload,
    /// What only records of its kind have.
    pub(super) own: Vec<(&'a str, String)>,
    /// The version of poolproof.
    pub(super) tool_version: &'a str,
    /// The seed.
    pub(super) seed: u64,
    /// The client's machine, if it is known.
    pub(super) environment: Option<&'a Environment>,
    /// What the stack consisted of.
    pub(super) components: &'a [Component],
}

impl Method<'_> {
    /// The list of these facts.
    pub(super) fn facts(self) -> Markup {
        let mut about = vec![
            ("started", moment(self.started)),
            ("sent", self.workload.outline().replace('\n', "; ")),
        ];
        about.extend(self.own);
        let poolproof = format!("{}, seed {}", self.tool_version, self.seed);
        about.push(("poolproof", poolproof));
        let machine = self.environment.map(Environment::in_words);
        about.extend(machine.map(|machine| ("client", machine)));
        let components = self.components.iter();
        about.extend(components.map(|it| (it.role.as_str(), it.version.clone())));
        facts(&about)
    }
}

/// The client's machine. Older records hold only its number of processors.
pub(super) fn machine(environment: Option<&Environment>, cores: usize) -> String {
    match environment {
        Some(environment) => environment.in_words(),
        None => format!("{cores} processors"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_links_to_the_sections_that_it_has_and_escapes_its_names() {
        let head = Head {
            name: "<u>n",
            stack: "s\u{1b}",
            state: State::Fail,
            conclusion: "an objective was missed".to_owned(),
            more: html! {},
        };
        let sections = vec![
            Section::new("one", "First", html! { p { "x" } }),
            Section::new("two", "Second", html! {}),
        ];
        let page = page(&head, sections);
        assert!(
            page.contains("href=\"#one\"") && page.contains("id=\"one\""),
            "{page}"
        );
        assert!(!page.contains("#two") && !page.contains("Second"), "{page}");
        assert!(
            page.contains("</span> An objective was missed</h1>"),
            "{page}"
        );
        assert!(!page.contains("<u>") && !page.contains('\u{1b}'), "{page}");
    }

    #[test]
    fn every_verdict_has_a_word_and_a_sign_of_its_kind() {
        let text = verdict("known-failure").into_string();
        assert!(
            text.contains("◆") && text.contains("known failure"),
            "{text}"
        );
        assert!(verdict("invalid").into_string().contains('?'));
        assert!(verdict("pass").into_string().contains("verdict pass"));
    }

    #[test]
    fn a_bar_never_leaves_its_cell() {
        for (share, width) in [(2.0, "100.0"), (-1.0, "0.0"), (0.25, "25.0")] {
            let bar = bar(share, Ink::Series(0)).into_string();
            assert!(bar.contains(&format!("width=\"{width}\"")), "{bar}");
        }
    }
}
