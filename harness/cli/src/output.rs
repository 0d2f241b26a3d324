//! What a command prints and saves: nothing is lost without a word, and no text of a server controls a terminal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Exit, Failure};
use poolproof_client::lock::lock;
use poolproof_model::target::conceal;
use poolproof_records::file;

/// The first error of standard output.
static UNPRINTED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Creates the output folder, and checks that a record can be saved there.
pub(super) fn make_out_folder(out: &Path) -> Result<(), Failure> {
    let failure = |what: &str, error: io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Internal,
            _ => Exit::Usage,
        };
        let what = format!("--out {}: cannot {what}", out.display());
        let error = anyhow::Error::from(error).context(what);
        Failure { exit, error }
    };
    std::fs::create_dir_all(out).map_err(|error| failure("create the folder", error))?;
    file::check_folder(out).map_err(|error| failure("save a record there", error))
}

/// Saves a rendering next to its record.
pub(super) fn save(out: &Path, name: &str, text: &str) -> Result<()> {
    file::save_text(text, &out.join(name))
}

/// Saves a record by `save`, under its name in the output folder. If that fails, it is saved among temporary files, or else printed; the
/// error names the place.
pub(super) fn save_record<T: Serialize>(
    record: &mut T,
    out: &Path,
    name: &str,
    save: impl Fn(&mut T, &Path) -> Result<()>,
) -> Result<()> {
    let Err(error) = save(record, &out.join(name)) else {
        return Ok(());
    };
    let spare = format!("poolproof-{}-{name}", std::process::id());
    let spare = std::env::temp_dir().join(spare);
    if save(record, &spare).is_ok() {
        return Err(error.context(format!("the record is kept as {}", spare.display())));
    }
    print_line(&serde_json::to_string_pretty(record).context("writing the record")?);
    Err(error.context("the record is printed instead"))
}

/// Prints a line to standard output. A reader that closes the pipe early is not an error; any other one ends the process with an error.
pub(super) fn print_line(text: &str) {
    let mut out = io::stdout();
    let printed = writeln!(out, "{}", printable(text)).and_then(|()| out.flush());
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        lock(&UNPRINTED).get_or_insert(error);
    }
}

/// The first error of standard output, if there was one.
pub(super) fn unprinted() -> Option<io::Error> {
    lock(&UNPRINTED).take()
}

/// A text that may repeat what a server sent, without secrets and controls of the terminal.
pub(super) fn harmless(text: &str) -> String {
    printable(&conceal(text)).into_owned()
}

/// A text without controls of a terminal, but for colours, which tables have.
fn printable(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_unsafe) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_unsafe) {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = colour(rest);
        if let Some(length) = length {
            shown.push_str(&rest[..length]);
        } else {
            shown.push('\u{fffd}');
        }
        let own = rest.chars().next().map_or(0, char::len_utf8);
        rest = &rest[length.unwrap_or(own)..];
    }
    (shown + rest).into()
}

/// The length of the sequence for a colour that a text begins with (ECMA-48, section 8.3.117), if it does.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';'))?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_control_the_terminal() {
        assert_eq!(printable("a\tb\nc"), "a\tb\nc");
        assert_eq!(printable("\x1b[31mred\x1b[0;1m"), "\x1b[31mred\x1b[0;1m");
        let hostile = "\x1b[2Ja\x1b]0;title\x07\u{9b}31m\r\x1b[";
        assert_eq!(
            printable(hostile),
            "\u{fffd}[2Ja\u{fffd}]0;title\u{fffd}\u{fffd}31m\u{fffd}\u{fffd}["
        );
    }

    #[test]
    fn a_record_that_cannot_be_saved_is_kept_elsewhere() {
        let name = format!("record-{:?}.json", std::thread::current().id());
        let out = Path::new("/dev/null");
        let save = |record: &mut &str, path: &Path| file::save_text(record, path);
        let error = save_record(&mut "whole", out, &name, save).err();
        let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
        let kept = error.split(": ").next().unwrap_or_default();
        let kept = kept.trim_start_matches("the record is kept as ");
        assert_eq!(
            std::fs::read_to_string(kept).ok().as_deref(),
            Some("whole"),
            "{error}"
        );
        let _ = std::fs::remove_file(kept);
    }
}
