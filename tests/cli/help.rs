//! Help, usage and the small commands.

use crate::command::run;

const COMMANDS: [&str; 13] = [
    "run",
    "check",
    "graph",
    "test",
    "replay",
    "query",
    "explain",
    "alarms",
    "bench",
    "schema",
    "completions",
    "simulate",
    "demo",
];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_of_the_command() {
    let folder = folder();
    let help = run(folder.path(), &["--help"]).expect(0);
    insta::assert_snapshot!(help.stdout);
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command} is not in the help");
        let own = run(folder.path(), &[command, "--help"]).expect(0);
        assert!(own.stdout.contains("Usage: ducto"), "{own:?}");
    }
}

#[test]
fn help_of_what_runs_and_asks() {
    let folder = folder();
    let help = ["run", "query", "alarms"].map(|command| run(folder.path(), &[command, "--help"]).expect(0).stdout);
    insta::assert_snapshot!(help.join("\n----\n\n"));
}

#[test]
fn wrong_usage_is_2_and_says_what_is_right() {
    let folder = folder();
    for arguments in
        [&["rnu"][..], &["run"], &["run", "site", "--for", "soon"], &["query"], &["graph", "x", "--format", "png"]]
    {
        let finished = run(folder.path(), arguments).expect(2);
        assert!(finished.stdout.is_empty() && finished.stderr.contains("error:"), "{finished:?}");
    }
    let finished = run(folder.path(), &["run", "site", "--for", "soon"]);
    assert!(finished.stderr.contains("soon"), "{finished:?}");
}

#[test]
fn completions_name_the_commands() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(folder.path(), &["completions", shell]).expect(0).stdout;
        assert!(script.contains("explain") && script.contains("alarms"), "{shell}");
    }
}

#[test]
fn schemas_are_json_and_know_the_operators() {
    let folder = folder();
    let schema = |of: &str| run(folder.path(), &["schema", of, "--json"]).expect(0).json();
    for (of, fields) in [
        ("site", &["site", "templates", "alarm_classes", "pipelines", "memory"][..]),
        ("pipeline", &["pipeline", "sources", "transforms", "sinks", "parameters"]),
        ("test", &["tests"]),
        ("simulation", &["simulation", "wells", "separators", "events"]),
    ] {
        let schema = schema(of);
        for field in fields {
            assert!(schema["properties"][field].is_object(), "`{field}` is not in the schema of a {of}");
        }
    }
    let text = schema("pipeline").to_string();
    for operator in ["quality", "alarm", "aggregate", "historian"] {
        assert!(text.contains(&format!("\"{operator}\"")), "{operator}");
    }
    insta::assert_snapshot!(run(folder.path(), &["schema", "log"]).expect(0).stdout);
    let list = run(folder.path(), &["schema"]).expect(0).stdout;
    assert!(list.contains("historian") && list.contains("pipeline"), "{list}");
    let unknown = run(folder.path(), &["schema", "historain"]).expect(2);
    assert!(unknown.stderr.contains("did you mean `historian`?"), "{unknown:?}");
}
