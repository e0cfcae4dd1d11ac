//! A running site behind its data folder: what starts it, stops it, and answers for it on a local socket.
//!
//! [`LiveSite`] is the site; [`Client`] is the other end of its socket, in another process. What they say to each
//! other is in [`protocol`].

mod alarms;
mod error;
mod live;
mod lookers;
mod rows;
#[cfg(test)]
mod shortage_tests;
mod socket;
mod status;
mod users;

pub use error::{ClientError, SiteError};
pub use live::{History, Kept, LiveSite, Start};
pub use socket::client::{Answers, Batches, Client, HangUp, Streams};
pub use socket::protocol;
