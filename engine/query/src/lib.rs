//! SQL over what a site holds: history in files, the rows that are not in files yet, and the table of tags.
//!
//! A [`Session`] reads and never writes. Each dataset is a table by its name; one whose rows can be corrected shows
//! them at their highest revision, and all revisions as `<dataset>_revisions`; `<dataset>_with_tags` joins what the
//! tags mean. The command line reads a folder ([`Folder`]), a running site gives its historians besides ([`Site`]).

mod dataset;
mod error;
mod latest;
mod left_out;
mod open_files;
mod output;
mod session;
mod source;
mod tables;

pub use error::QueryError;
pub use left_out::{LeftOut, Why};
pub use output::{Format, OutputWriter};
pub use session::{Answer, Session};
pub use source::{Folder, Site, Source};
