//! What a command tells GitHub Actions, if it runs there.

use std::io::Write;

/// Adds a text to the summary of the job, and prints annotations, if this runs in a job. A summary that cannot be written is told, and
/// changes no verdict.
pub(super) fn tell(summary: &str, annotations: &str) {
    if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{summary}"));
        if let Err(error) = written {
            eprintln!("GITHUB_STEP_SUMMARY {}: {error}", path.display());
        }
    }
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|it| it == "true") {
        // Commands are read from both outputs; standard output may be for a program.
        eprint!("{annotations}");
    }
}
