//! `ducto tap`: rows as they pass a node of a site that runs, or enter it as a tag.

pub(crate) mod cells;
mod printer;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use ducto_site::Streams;
use ducto_site::protocol::{Answer, Ask, End, LeftOut, RowFormat, Status, TapAsk, Tapping};
use serde_json::json;

use crate::ask::{self, Following, Heard};
use crate::cli::{TapArgs, TapFormat};
use crate::interrupt::{Interrupts, Woken};
use crate::load::grouped;
use crate::output::{Exit, Failure, Output};
use crate::table::{Align, layout};
use crate::times::Zone;
use crate::words::Language;
use printer::{Look, Printer};

/// Rows in a second that a person can do something with.
const READABLE: u32 = 200;
/// How often the keyboard's signals are looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &TapArgs, output: &Output) -> Result<Exit, Failure> {
    let mut client = ask::connect(&args.place)?;
    let status = ask::status(&mut client).map_err(ask::failure)?;
    let Some(name) = &args.name else {
        list(&status, output);
        return Ok(Exit::Done);
    };
    let interrupts = Interrupts::listen()?;
    let format = match args.format {
        Some(format) => format,
        None if output.is_json() => TapFormat::Json,
        None => TapFormat::Table,
    };
    let terminal = std::io::stdout().is_terminal();
    let ask = TapAsk {
        name: name.clone(),
        condition: args.condition.clone(),
        limit: args.limit,
        rows_per_second: (terminal && format == TapFormat::Table).then_some(READABLE),
        format: RowFormat::Arrow,
    };
    let look = Look {
        format,
        language: Language::of(&status.language),
        zone: Zone::named(&status.time_zone),
        coloured: output.colored_out(),
        window: terminal.then(crate::screen::size),
    };
    let following = Following::start(client, Ask::Tap(ask))?;
    let end = args.time.and_then(|time| Instant::now().checked_add(time));
    let shown = Shown { printer: Printer::new(look), streams: Streams::default(), left_out: LeftOut::default() };
    shown.follow(&following, end, args.limit, &interrupts, output)
}

struct Shown {
    printer: Printer,
    streams: Streams,
    left_out: LeftOut,
}

impl Shown {
    fn follow(
        mut self,
        following: &Following,
        end: Option<Instant>,
        limit: Option<u64>,
        interrupts: &Interrupts,
        output: &Output,
    ) -> Result<Exit, Failure> {
        loop {
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
            if let Woken::Signal(_) = interrupts.wait(Some(Instant::now())) {
                break;
            }
            let patience = end.map_or(LOOK, |end| end.saturating_duration_since(Instant::now()).min(LOOK));
            match following.next(patience) {
                None => {}
                Some(Heard::Answer(answer)) => {
                    let text = self.take(answer, output)?;
                    if !text.is_empty() && !output.is_taken(&text) {
                        // Whoever reads the output has gone: nothing is wrong.
                        return Ok(Exit::Done);
                    }
                }
                Some(Heard::Ended(End { rows, left_out })) => {
                    self.left_out = left_out;
                    if limit.is_none_or(|limit| rows < limit) {
                        output.remark("the site has stopped");
                    }
                    break;
                }
                Some(Heard::Failed(error)) => return Err(refused(error, output)),
            }
        }
        if let Some(text) = left_out_text(self.left_out, true) {
            output.remark(&text);
        }
        Ok(Exit::Done)
    }

    /// What is to be printed of an answer.
    fn take(&mut self, answer: Answer, output: &Output) -> Result<String, Failure> {
        match answer {
            Answer::Arrow(piece) => {
                let mut text = String::new();
                for batch in self.streams.take(piece).map_err(ask::failure)? {
                    self.printer.rows(&batch, &mut text);
                }
                Ok(text)
            }
            Answer::Tapping(tapping) => {
                if output.is_watched() {
                    introduce(&tapping, &self.printer.look, output);
                }
                // What else there is to know is told programs too, where they do not read it as rows.
                for note in &tapping.notes {
                    output.remark(&format!("note: {note}"));
                }
                Ok(String::new())
            }
            Answer::LeftOut(left_out) => {
                // The first time at once, so that nobody believes to see everything; the sum at the end.
                if self.left_out == LeftOut::default()
                    && let Some(text) = left_out_text(left_out, false)
                {
                    output.remark(&text);
                }
                self.left_out = left_out;
                Ok(String::new())
            }
            _ => Ok(String::new()),
        }
    }
}

fn introduce(tapping: &Tapping, look: &Look, output: &Output) {
    let Tapping { name, raw, .. } = tapping;
    let zone = look.zone.name();
    if *raw {
        output.remark(&format!("{name} as it enters the site, before any check; times in {zone}; Ctrl-C ends"));
    } else {
        output.remark(&format!("{name}; times in {zone}; Ctrl-C ends"));
    }
}

/// What was not shown, and what can be done about it.
fn left_out_text(left_out: LeftOut, at_the_end: bool) -> Option<String> {
    let LeftOut { slow, thinned, failed } = left_out;
    let rows = |count: u64| if at_the_end { format!("{} rows", grouped(count)) } else { "rows".to_owned() };
    let mut parts = Vec::new();
    if thinned > 0 {
        parts.push(format!("{} are not shown: more than {READABLE} a second came", rows(thinned)));
    }
    if slow > 0 {
        parts.push(format!("{} are missing: they came faster than they were read", rows(slow)));
    }
    if failed > 0 {
        parts.push(format!("{} are left out: the condition could not be computed for them", rows(failed)));
    }
    let help = match (thinned, slow) {
        (0, 0) => "",
        (0, _) => "; narrow them with `--where`",
        _ => "; narrow them with `--where`, or write all with `--format csv`",
    };
    (!parts.is_empty()).then(|| format!("{}{help}", parts.join("; ")))
}

fn refused(error: ducto_site::ClientError, output: &Output) -> Failure {
    if let ducto_site::ClientError::Refused(refusal) = &error
        && let Some(findings) = &refusal.findings
        && output.is_json()
    {
        output.object(&json!({"ok": false, "findings": findings}));
    }
    ask::failure(error)
}

/// What can be tapped: every node that gives something, with its ports.
fn list(status: &Status, output: &Output) {
    if output.is_json() {
        let nodes: Vec<_> = status
            .pipelines
            .iter()
            .flat_map(|pipeline| pipeline.nodes.iter().map(move |node| (pipeline, node)))
            .flat_map(|(pipeline, node)| {
                node.ports.iter().map(move |port| {
                    json!({"pipeline": pipeline.id, "node": node.id, "port": port.name, "type": node.operator,
                        "gives": if port.samples { "samples" } else { "rows" }})
                })
            })
            .collect();
        output.object(&json!({"site": status.site, "ports": nodes}));
        return;
    }
    let several = status.pipelines.len() > 1;
    let mut rows = Vec::new();
    for pipeline in &status.pipelines {
        for node in &pipeline.nodes {
            for (index, port) in node.ports.iter().enumerate() {
                let name = if several { format!("{}.{}", pipeline.id, node.id) } else { node.id.clone() };
                rows.push(vec![
                    if index == 0 { name } else { format!("{name}.{}", port.name) },
                    node.operator.clone(),
                    if port.samples { "samples" } else { "rows" }.to_owned(),
                    node.inputs.join(", "),
                ]);
            }
        }
    }
    let columns =
        [("NODE", Align::Left, 32), ("TYPE", Align::Left, 16), ("GIVES", Align::Left, 7), ("READS", Align::Left, 18)];
    output.print(&layout(&columns, &rows));
    output.line("\n`ducto tap NODE` shows what passes; a tag or an asset in its place, what enters.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_said_with_what_can_be_done() {
        assert_eq!(left_out_text(LeftOut::default(), true), None);
        let thinned = LeftOut { thinned: 9_800, ..LeftOut::default() };
        let text = left_out_text(thinned, true).unwrap();
        assert!(text.starts_with("9,800 rows are not shown") && text.contains("--where"), "{text}");
        let failed = LeftOut { failed: 3, ..LeftOut::default() };
        assert!(!left_out_text(failed, false).unwrap().contains("--where"));
    }
}
