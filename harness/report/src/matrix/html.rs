//! The matrix as a web page: one file without network. It is a table without JavaScript; a script adds the filters.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::rows::holds;
use super::{Cell, Column, LEGEND, LEVELS, Matrix, Row, State, sign, word};
use crate::clipped;
use poolproof_records::judged::Judged;

/// Renders the stacks, the table with filters, and what changes between versions. The findings of a cell open on a click.
pub fn render(matrix: &Matrix) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "poolproof: matrix of " (matrix.columns.len()) " stacks" }
                style { (PreEscaped(include_str!("matrix.css"))) }
            }
            body {
                h1 { "poolproof: cases by stack" }
                (filters(matrix))
                (table(matrix))
                (legend())
                (stacks(matrix))
                (steps(matrix))
                @if !matrix.left_out.is_empty() {
                    h2 { "Left out" }
                    ul {
                        @for out in &matrix.left_out {
                            li { (clipped(&out.file)) ": " (clipped(&out.reason)) }
                        }
                    }
                }
                script { (PreEscaped(include_str!("matrix.js"))) }
            }
        }
    }
    .into_string()
}

/// The controls. They are hidden unless the script runs.
fn filters(matrix: &Matrix) -> Markup {
    html! {
        form #filters hidden {
            label { "suite "
                select name="suite" {
                    option value="" { "all" }
                    @for suite in &matrix.suites {
                        option value=(clipped(&suite.id)) { (clipped(&suite.id)) }
                    }
                }
            }
            label { "level "
                select name="level" {
                    option value="" { "all" }
                    @for level in LEVELS {
                        option value=(level) { (level) }
                    }
                }
            }
            label { input type="checkbox" name="differences"; " only differences between the stacks shown" }
            details {
                summary { "stacks" }
                @for (number, column) in matrix.columns.iter().enumerate() {
                    label { input type="checkbox" name="stack" value=(number) checked; " " (clipped(&column.name)) }
                }
            }
            output #shown {}
        }
    }
}

fn table(matrix: &Matrix) -> Markup {
    html! {
        div.wide {
            table #matrix {
                thead {
                    tr {
                        th scope="col" { "case" }
                        th scope="col" { "level" }
                        @for column in &matrix.columns {
                            th scope="col" { (heading(column)) }
                        }
                    }
                }
                @for suite in &matrix.suites {
                    tbody data-suite=(clipped(&suite.id)) {
                        tr.suite { th colspan=(matrix.columns.len() + 2) scope="rowgroup" { (clipped(&suite.id)) } }
                        @for row in &suite.rows {
                            (line(matrix, row))
                        }
                    }
                }
                tfoot {
                    @for (at, level) in LEVELS.into_iter().enumerate() {
                        tr {
                            th scope="row" { "total" }
                            td { (level) }
                            @for column in &matrix.columns {
                                td { (column.totals.get(at).map(super::Total::in_words).unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heading(column: &Column) -> Markup {
    html! {
        a href=(column.link) { (clipped(&column.name)) }
        @if let Some(flaw) = &column.flaw {
            span.flaw { "flaw " (clipped(flaw)) }
        }
        @match column.state {
            State::Ran => {},
            State::Interrupted => { span.flaw { "interrupted" } },
            State::DidNotStart => { span.flaw { "did not start" } },
        }
        span { (column.place) }
        @for (role, part) in column.parts() {
            span title=(role) {
                @match part {
                    Some(part) => { (clipped(&part.to_string())) },
                    None => { (role) " not recorded" },
                }
            }
        }
    }
}

fn line(matrix: &Matrix, row: &Row) -> Markup {
    html! {
        tr data-level=(row.level) class=[row.differs.then_some("differs")] {
            th scope="row" {
                details {
                    summary {
                        @if row.differs { span.mark title="stacks differ" { "≠ " } }
                        (clipped(&row.id))
                    }
                    p { (clipped(&row.requirement)) }
                    p.source { (clipped(&row.source)) }
                }
            }
            td { (row.level) }
            @for (column, cell) in matrix.columns.iter().zip(&row.cells) {
                @match cell {
                    _ if column.state == State::DidNotStart => { td.none title=(clipped(&column.conclusion)) { "no start" } },
                    None => { td.none title="not in this record" {} },
                    Some(cell) => { (verdict(column, cell)) },
                }
            }
        }
    }
}

fn verdict(column: &Column, cell: &Cell) -> Markup {
    let judged = Some(cell.judged);
    // What the script compares: whether the requirement holds.
    let holds = match holds(cell.judged) {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    html! {
        td class=(class(cell.judged)) data-holds=(holds) {
            details {
                summary {
                    (sign(judged)) " " (word(judged))
                    @if cell.changed { span.mark title="another verdict than with the version before" { " *" } }
                }
                div {
                    @if cell.details.is_empty() {
                        p { (clipped(&cell.summary)) }
                    } @else {
                        ul {
                            @for (kind, line) in &cell.details {
                                li { span.source { (kind) } " " (line) }
                            }
                        }
                    }
                    p { a href=(column.link) { "evidence of " (clipped(&column.name)) } }
                }
            }
        }
    }
}

/// The class of a judgement, which sets its colour.
fn class(judged: Judged) -> &'static str {
    match judged {
        Judged::Pass => "pass",
        Judged::Fail | Judged::UnexpectedPass | Judged::Error => "fail",
        Judged::KnownFailure => "known",
        Judged::Inconclusive | Judged::Invalid => "undecided",
        Judged::Skip => "skip",
    }
}

fn legend() -> Markup {
    html! {
        ul.legend {
            @for (judged, meaning) in LEGEND {
                li { span class=(class(judged)) { (sign(Some(judged))) " " (word(Some(judged))) } " " (meaning) }
            }
            li { "≠ holds on one stack and fails on another" }
            li { "* another verdict than with the version before" }
            li { "empty: not in that record" }
        }
    }
}

fn stacks(matrix: &Matrix) -> Markup {
    html! {
        h2 { "Stacks" }
        ul {
            @for column in &matrix.columns {
                li {
                    a href=(column.link) { (clipped(&column.name)) } ": " (clipped(&column.describe())) "; "
                    @if let Some(flaw) = &column.flaw { span.flaw { "flaw " (clipped(flaw)) } "; " }
                    (clipped(&column.conclusion))
                    @if let Some(started) = column.started { "; " (started.strftime("%Y-%m-%d")) }
                }
            }
        }
    }
}

fn steps(matrix: &Matrix) -> Markup {
    html! {
        @if !matrix.steps.is_empty() {
            h2 { "Changes between versions" }
        }
        @for step in &matrix.steps {
            h3 { (clipped(&step.title())) }
            p {
                (clipped(&matrix.columns[step.from].name)) " → " (clipped(&matrix.columns[step.to].name)) ": " (step.summary())
            }
            ul {
                @for change in &step.changes {
                    li {
                        (clipped(&change.case)) " (" (change.level) "): "
                        span class=(class(change.from)) { (change.from) } " → " span class=(class(change.to)) { (change.to) }
                    }
                }
            }
        }
    }
}
