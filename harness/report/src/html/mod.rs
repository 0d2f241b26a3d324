//! Records as web pages. Each page is one file without scripts and without anything from the network, for any width of
//! screen, light and dark, and for paper. The verdict comes first, and no verdict is shown by colour alone.
//!
//! One folder or file per kind of record, one file per section of its page. [`part`] is the frame of a page, `chart` draws,
//! `number` makes numbers readable. Texts of servers are escaped by `maud`, and cut by `clipped`.

mod chart;
mod compared;
mod load;
mod number;
mod overhead;
mod part;
mod picker;
mod run;
mod search;
mod sweep;

use super::compare::beside::Beside;
use poolproof_records::any::AnyRecord;

pub use load::render as render_load;
pub use overhead::render as render_overhead;
pub use picker::render as render_picker;
pub use run::render;
pub use search::render as render_search;
pub use sweep::render as render_sweep;

/// Renders a run or a load run beside its comparison with an earlier one. `None` for other kinds of records, which are not compared on a page.
pub fn render_compared(record: &AnyRecord, with: &Beside) -> Option<String> {
    match record {
        AnyRecord::Run(record) => Some(run::render_compared(record, Some(with))),
        AnyRecord::Load(record) => Some(load::render_compared(record, Some(with))),
        _ => None,
    }
}
