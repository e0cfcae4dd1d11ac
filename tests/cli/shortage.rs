//! A disk that is really full: a small one in memory, in a namespace of its own.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::{Background, Finished, eventually};
use crate::device::Device;
use crate::site::TestSite;

const DUCTO: &str = env!("CARGO_BIN_EXE_ducto");

/// A shell that sees the folder `data` of `folder` as a disk of 3 MB; `None` where this user may not have one.
fn on_small_disk(folder: &Path, script: &str) -> Option<Command> {
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        let mount = format!("mount -t tmpfs -o size=3m tmpfs data && {script}");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount, DUCTO]).current_dir(folder);
        command
    };
    let may = shell("true").output().is_ok_and(|output| output.status.success());
    may.then(|| shell(script))
}

/// Runs a line of shell where the disk is seen.
fn there(running: &Background, folder: &Path, script: &str) -> Finished {
    let mut command = Command::new("nsenter");
    let target = running.id().to_string();
    command.args(["--target", &target, "--user", "--mount", "--preserve-credentials", "sh", "-c"]);
    command.arg(format!("cd {} && {script}", folder.display())).arg(DUCTO);
    let output = command.output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_site_on_a_full_disk_goes_on_and_loses_nothing_once_there_is_room() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let folder = site.path();
    std::fs::create_dir(folder.join("data")).unwrap();
    let Some(mut command) = on_small_disk(folder, "\"$0\" run site --for 100s; exec \"$0\" data verify data/TEST-001")
    else {
        eprintln!("this user may not mount anything in a namespace: nothing is tested");
        return;
    };
    let mut running = Background::spawn(&mut command);
    running.line("Ctrl-C");
    let ask = |script: &str| there(&running, folder, script);
    let alarm = |name: &str| {
        let listed = ask("\"$0\" alarms --all --json").expect(0).json();
        let alarms = listed["alarms"].as_array().unwrap().clone();
        alarms.into_iter().find(|alarm| alarm["name"] == name)
    };
    let rows = |what: &str| -> Value {
        ask(&format!("\"$0\" query --json \"SELECT {what} FROM history WHERE tag = 'WELL-001.THP'\"")).expect(0).json()
    };
    let count = || rows("count(*) AS n")[0]["n"].as_u64().unwrap();
    eventually("rows", || (count() > 5).then_some(()));
    // Takes what there is, and fails.
    ask("cat /dev/zero > data/fill 2> /dev/null; true").expect(0);
    let waits = eventually("the alarm of the site", || alarm("site.JOURNAL_WAITS"));
    assert!(waits["reason"].as_str().unwrap().contains("No space left"), "{waits}");
    // Alarms of the field are seen all the same.
    device.set(0, 2_700.0);
    let raised = eventually("the alarm of the well", || alarm("WELL-001.THP.H").filter(|alarm| alarm["state"] == "B"));
    assert!(alarm("site.JOURNAL_WAITS").is_some());
    ask("rm data/fill").expect(0);
    eventually("the alarm to go", || alarm("site.JOURNAL_WAITS").is_none().then_some(()));
    assert!(alarm("site.ROWS_DROPPED").is_none() && alarm("site.ENTRIES_LOST").is_none());

    // What came meanwhile waited in memory, and is stored.
    let [from, to] = [&waits, &raised].map(|alarm| alarm["time"].as_str().unwrap());
    eventually("rows from while it was full", || {
        let when = format!("count(*) FILTER (WHERE time >= TIMESTAMP '{from}' AND time <= TIMESTAMP '{to}') AS n");
        rows(&when)[0]["n"].as_u64().filter(|rows| *rows > 0)
    });
    let all = rows("count(*) AS n, count(DISTINCT time) AS times, max(value) AS greatest");
    assert_eq!(all[0]["n"], all[0]["times"], "{all}");
    assert_eq!(all[0]["greatest"], 2_700.0);
    let process: i32 = ask("cat data/TEST-001/LOCK").expect(0).stdout.trim().parse().unwrap();
    kill_process(Pid::from_raw(process).unwrap(), Signal::INT).unwrap();
    let finished = running.wait().expect(0);
    assert!(finished.stderr.contains("system alarm"), "{}", finished.stderr);
}
