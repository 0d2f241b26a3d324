//! Files of expected failures, on the command line and in the environment.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use super::App;
use poolproof_records::expect::Expectations;

/// The arguments that name files of expected failures.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExpectArgs {
    /// TOML file of expected failures, may be repeated: `[[expected]]` with `case`, `stack` or `version`, `reason`, `link`. A listed
    /// failure does not fail the run; a listed case that passes does
    #[arg(
        help_heading = "Judging",
        long,
        value_name = "FILE",
        env = "POOLPROOF_EXPECT",
        value_delimiter = ','
    )]
    expect: Vec<PathBuf>,
}

impl ExpectArgs {
    /// Reads the files. Fails if an entry names a case that no suite has.
    pub(super) fn read(&self, app: App) -> Result<Expectations> {
        let is_case = |id: &str| {
            let mut cases = app.suites.iter().flat_map(|suite| suite.cases);
            cases.any(|case| case.id == id)
        };
        let paths = self.expect.iter().map(PathBuf::as_path);
        Expectations::read(paths, is_case)
    }
}

/// The expected failures of the files that `POOLPROOF_EXPECT` names, separated by commas.
pub fn from_env(app: App) -> Result<Expectations> {
    #[derive(Parser)]
    struct Environment {
        #[command(flatten)]
        expect: ExpectArgs,
    }
    Environment::try_parse_from(["poolproof"])?.expect.read(app)
}
