//! The reference of the command line.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

use super::{NOTE, table};

/// Lines of Markdown; writing to a text cannot fail.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _ = writeln!($page, $($text)*); }};
}

pub(super) fn page(mut command: Command) -> String {
    command.build();
    let mut page = format!("# Command line\n\n{NOTE}");
    section(&mut page, &command, 2, true);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// A command and those below it.
fn section(page: &mut String, command: &Command, depth: usize, root: bool) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    line!(page, "{} `{name}`\n", "#".repeat(depth.min(6)));
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        line!(page, "{}\n", sentence(about));
    }
    let usage = plain(&command.clone().render_usage());
    line!(page, "```text\n{}\n```\n", usage.strip_prefix("Usage: ").unwrap_or(&usage));

    let arguments: Vec<&Arg> = command.get_positionals().filter(|argument| !argument.is_hide_set()).collect();
    table(page, &["Argument", "Meaning"], &arguments.iter().map(|argument| row(argument)).collect::<Vec<_>>());
    // Options that every command takes stand with the root alone.
    let options: Vec<Vec<String>> = command
        .get_opts()
        .chain(command.get_arguments().filter(|argument| is_flag(argument)))
        .filter(|option| !option.is_hide_set())
        .filter(|option| root || !(option.is_global_set() && is_of_root(option)))
        .filter(|option| !matches!(option.get_id().as_str(), "help" | "version"))
        .map(row)
        .collect();
    table(page, &["Option", "Meaning"], &options);

    let commands: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let listed: Vec<Vec<String>> = commands
        .iter()
        .map(|command| {
            let name = command.get_bin_name().unwrap_or(command.get_name());
            vec![format!("[`{name}`](#{})", name.replace(' ', "-")), command.get_about().map(plain).unwrap_or_default()]
        })
        .collect();
    table(page, &["Command", ""], &listed);
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        line!(page, "```text\n{}\n```\n", plain(after).trim_end());
    }
    for command in commands {
        section(page, command, depth + 1, false);
    }
}

fn is_flag(argument: &Arg) -> bool {
    !argument.is_positional() && !takes_value(argument)
}

/// Those that the root passes on to all commands.
fn is_of_root(option: &Arg) -> bool {
    matches!(option.get_id().as_str(), "json" | "color")
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

/// How it is written, and what it means, with its choices and its default.
fn row(argument: &Arg) -> Vec<String> {
    let mut written = String::new();
    if let Some(short) = argument.get_short() {
        written.push_str(&format!("-{short}, "));
    }
    if let Some(long) = argument.get_long() {
        written.push_str(&format!("--{long}"));
    }
    if takes_value(argument) {
        let names = argument.get_value_names().unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
        if !argument.is_positional() {
            written.push(' ');
        }
        written.push_str(&names.join(" "));
        if argument.get_num_args().is_some_and(|range| range.max_values() > 1) {
            written.push('…');
        }
    }
    let mut meaning = argument.get_long_help().or(argument.get_help()).map(sentence).unwrap_or_default();
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|_| takes_value(argument))
        .filter(|choice| !choice.is_hide_set())
        .map(|choice| {
            let name = choice.get_name();
            match choice.get_help().map(|help| inside(&plain(help))) {
                Some(help) if help != name => format!("`{name}` ({help})"),
                _ => format!("`{name}`"),
            }
        })
        .collect();
    if !choices.is_empty() {
        meaning.push_str(&format!(" One of {}.", choices.join(", ")));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if takes_value(argument) && !defaults.is_empty() {
        meaning.push_str(&format!(" Default: {}.", defaults.join(", ")));
    }
    vec![format!("`{written}`"), meaning]
}

fn plain(text: &StyledStr) -> String {
    text.to_string()
}

/// Clap takes the full stop off a text of one sentence.
fn sentence(text: &StyledStr) -> String {
    let mut text = plain(text).trim_end().to_owned();
    if text.ends_with(char::is_alphanumeric) || text.ends_with(['`', ')']) {
        text.push('.');
    }
    text
}

/// A sentence as it stands in brackets. A first word in capitals is a name.
fn inside(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}
