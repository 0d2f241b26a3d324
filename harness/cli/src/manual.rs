//! `poolproof completions` and `poolproof manual`: shell completions and the man page.

use anyhow::Result;
use clap::Command;
use clap_complete::Shell;

const PROGRAM: &str = "poolproof";

/// Prints the completions for a shell.
pub(super) fn completions(program: &mut Command, shell: Shell) {
    clap_complete::generate(shell, program, PROGRAM, &mut std::io::stdout());
}

/// One page: the program, then each of its commands.
pub(super) fn page(program: &mut Command) -> Result<String> {
    *program = std::mem::take(program).name(PROGRAM);
    program.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut page)?;
    for command in program
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
    }
    Ok(String::from_utf8_lossy(&page).trim_end().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_each_command_with_its_arguments() {
        let load = Command::new("load")
            .about("sends")
            .arg(clap::arg!(--rate <N>));
        let hidden = Command::new("inner").hide(true);
        let page = page(&mut Command::new("x").subcommand(load).subcommand(hidden)).unwrap();
        assert!(
            page.contains(".TH poolproof 1") && page.contains(".TH poolproof-load 1"),
            "{page}"
        );
        assert!(
            page.contains("rate") && !page.contains("poolproof\\-inner"),
            "{page}"
        );
    }
}
