//! The `ducto` command from outside: what it prints, the codes it leaves, and how it behaves while sites run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod checks;
mod command;
mod connect;
mod data_folder;
mod demo;
mod device;
mod drawings;
mod full_disk;
mod help;
mod imports;
#[path = "../../operators/src/sinks/webhook/receiver.rs"]
#[allow(dead_code)] // Other tests use the rest.
mod receiver;
mod recorded;
mod replay;
mod running;
mod shortage;
mod simulate;
mod site;
mod socket;
mod spreadsheet;
mod tests;
mod views;
mod webhook;
