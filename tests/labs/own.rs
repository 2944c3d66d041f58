//! Tests of the runner of the labs, on their own pages.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use crate::lab::{self, Lab};
use crate::pages::refreshed;
use crate::play::{LAB_TIME_MAX, Mode, play};
use crate::{tools, tried, unknown_page};

type Claim = fn() -> Result<(), Failed>;

const CLAIMS: [(&str, Claim); 17] = [
    ("a_lab_that_shows_what_it_prints_passes", passes),
    ("output_that_differs_fails_and_the_difference_is_shown", differs),
    ("a_lab_that_hangs_is_ended_with_all_that_it_has_started", hangs),
    ("a_refresh_rewrites_only_what_differs", refreshes),
    ("a_refresh_keeps_a_page_in_which_only_what_may_vary_differs", keeps),
    ("a_lab_passes_on_any_day", any_day),
    ("what_varies_may_have_blanks_in_it_though_blanks_vary", blanks),
    ("a_refresh_waits_for_a_last_command_that_is_silent_at_first", waits),
    ("a_page_that_cannot_be_read_fails_among_its_own_labs", is_unreadable),
    ("a_filter_for_a_page_without_labs_is_noticed", names_no_page),
    ("a_program_is_typed_to_and_interrupted", is_typed_to),
    ("two_terminals_are_on_one_machine_and_two_labs_are_not", terminals),
    ("a_machine_that_was_killed_is_not_taken_for_who_has_its_number_now", left_behind),
    ("a_machine_of_another_user_is_left_alone_and_its_user_is_named", of_another_user),
    ("a_last_line_without_an_end_is_not_one_with_an_end", unended),
    ("what_another_version_of_a_tool_says_in_other_words_is_the_same", other_words),
    ("a_setting_that_this_kernel_does_not_have_is_noticed", unknown_setting),
];

pub(crate) fn trials() -> Vec<Trial> {
    CLAIMS.into_iter().map(|(name, claim)| tried(format!("runner::{name}"), no_machine(), claim)).collect()
}

/// The reason why this user cannot start a lab's machine, if any.
pub(crate) fn no_machine() -> Option<String> {
    static PROBLEM: OnceLock<Option<String>> = OnceLock::new();
    let try_one = || {
        let problem = play(&only_lab("first", "$ true\n"), Mode::Compare, LAB_TIME_MAX).err()?;
        Some(format!("namespaces for a lab's own machine: {problem}"))
    };
    PROBLEM.get_or_init(try_one).clone()
}

fn page(body: &str) -> String {
    format!("Before.\n\n<!-- varies: time -->\n```console lab=one\n{body}```\n\nAfter.\n")
}

fn only_lab(name: &str, body: &str) -> Lab {
    lab::labs(&format!("own-{name}"), &page(body)).unwrap().remove(0)
}

fn try_lab(name: &str, body: &str) -> Result<Vec<Vec<String>>, String> {
    play(&only_lab(name, body), Mode::Compare, LAB_TIME_MAX)
}

fn fails_with(result: Result<Vec<Vec<String>>, String>, parts: &[&str]) -> Result<(), Failed> {
    let problem = result.err().ok_or("it passed")?;
    match parts.iter().find(|part| !problem.contains(**part)) {
        Some(part) => Err(format!("no {part:?} in:\n{problem}").into()),
        None => Ok(()),
    }
}

fn passes() -> Result<(), Failed> {
    let lines =
        "$ printf 'one\\ntwo\\nthree\\n'\none\n…\n$ cat <<'END' | tr a-z A-Z\n> at 11:22:33\n> END\nAT 00:00:00\n";
    try_lab("passes", lines)?;
    Ok(())
}

fn differs() -> Result<(), Failed> {
    fails_with(
        try_lab("differs", "$ printf 'a\\nb\\nc\\n'\na\nB\nc\n$ echo not reached\n"),
        &["docs/own-differs.md:5: ", "$ printf", "  a\n- B\n+ b\n  c\n"],
    )?;
    fails_with(try_lab("more", "$ printf 'a\\nb\\n'\na\n"), &["  a\n+ b\n"])?;
    fails_with(try_lab("less", "$ echo a\na\nb\n"), &["  a\n- b\n"])
}

fn hangs() -> Result<(), Failed> {
    let lab = only_lab("hangs", "$ (setsid sleep 86461 &) ; sleep 86461\n$ echo\n");
    fails_with(play(&lab, Mode::Compare, Duration::from_secs(2)), &["it took too long", "sleep 86461"])?;
    let runs = Command::new("pgrep").args(["-f", "^sleep 86461"]).status()?.success();
    if runs { Err("it still runs".into()) } else { Ok(()) }
}

fn refreshes() -> Result<(), Failed> {
    let before = page("$ echo 01:02:03; echo kept with a hole; echo new\n00:00:00\nkept …\nold\n$ echo x\nx\n");
    let lab = lab::labs("own-refreshes", &before).unwrap().remove(0);
    let seen = play(&lab, Mode::Refresh, LAB_TIME_MAX)?;
    let after = page("$ echo 01:02:03; echo kept with a hole; echo new\n01:02:03\nkept …\nnew\n$ echo x\nx\n");
    same(&refreshed(&before, &lab, &seen), &after)
}

fn keeps() -> Result<(), Failed> {
    let before = page("$ date +%T\n00:00:00\n$ seq 9\n1\n…\n9\n");
    let lab = lab::labs("own-keeps", &before).unwrap().remove(0);
    same(&refreshed(&before, &lab, &play(&lab, Mode::Refresh, LAB_TIME_MAX)?), &before)
}

fn waits() -> Result<(), Failed> {
    let before = page("$ sleep 2; echo late\n?\n");
    let lab = lab::labs("own-waits", &before).unwrap().remove(0);
    same(&refreshed(&before, &lab, &play(&lab, Mode::Refresh, LAB_TIME_MAX)?), &page("$ sleep 2; echo late\nlate\n"))
}

fn is_unreadable() -> Result<(), Failed> {
    let trials = crate::page("own", lab::labs("own", &page("")));
    let names: Vec<_> = trials.iter().map(Trial::name).collect();
    same(&names.join(" "), "own::can_be_read")
}

fn names_no_page() -> Result<(), Failed> {
    let trials = vec![Trial::test("ten-minutes::first-words", || Ok(()))];
    let unknown = ["ten-minutes::", "ten-minuets::", "ten", "inbox::tests"].map(|filter| unknown_page(filter, &trials));
    if unknown == [None, Some("ten-minuets"), None, None] { Ok(()) } else { Err(format!("{unknown:?}").into()) }
}

fn is_typed_to() -> Result<(), Failed> {
    try_lab("typed", "$ cat\none⏎\none\n^C\n$ cat\ntwo⏎\ntwo\n^D\n$ (trap 'echo caught' INT; cat)\n^C\ncaught\n")?;
    Ok(())
}

fn terminals() -> Result<(), Failed> {
    let lines = "# terminal 1\n$ nc -l 127.0.0.1 7001\n\n# terminal 2\n$ nc -N 127.0.0.1 7001\nhello⏎\n\n\
                 # terminal 1\nhello\n\n# terminal 2\n^D\n\n# terminal 1\n$ echo \"$?\"\n0\n";
    std::thread::scope(|scope| {
        let other = scope.spawn(|| try_lab("terminals-other", lines));
        let this = try_lab("terminals", lines);
        other.join().unwrap().and(this)
    })?;
    Ok(())
}

fn left_behind() -> Result<(), Failed> {
    let machine = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{}-left-behind", std::process::id()));
    fs::create_dir_all(machine.join("here"))?;
    fs::write(machine.join("pid"), std::process::id().to_string())?;
    let output = Command::new("sh")
        .args(["-c", "echo 'readlink /proc/self/ns/net' | docs/lab"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("LAB", &machine)
        .env("PROGRAMS", tools::programs())
        .output()?;
    fs::remove_dir_all(&machine)?;
    let (ours, its) = (fs::read_link("/proc/self/ns/net")?, String::from_utf8(output.stdout)?);
    if its.starts_with("net:[") && !its.starts_with(&*ours.to_string_lossy()) {
        return Ok(());
    }
    Err(format!("it is on {its:?}, and we are on {ours:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn of_another_user() -> Result<(), Failed> {
    // Only root can give a directory to another user; other users test with a directory of root's.
    let we_are_root = nix::unistd::geteuid().is_root();
    let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{}-others", std::process::id()));
    let machine = if we_are_root { made.clone() } else { PathBuf::from("/usr") };
    fs::create_dir_all(made.join("here"))?;
    if we_are_root {
        chown(&made, Some(1), None)?;
    }
    let output = Command::new("docs/lab").current_dir(env!("CARGO_MANIFEST_DIR")).env("LAB", &machine).output()?;
    let still_there = machine.exists() && made.join("here").exists();
    fs::remove_dir_all(&made)?;
    let told = String::from_utf8(output.stderr)?;
    if still_there && output.status.code() == Some(1) && told.contains(" belongs to ") {
        return Ok(());
    }
    Err(format!("{}, still there: {still_there}: {told}", output.status).into())
}

fn unended() -> Result<(), Failed> {
    try_lab("unended", "$ printf hello\nhello⊣\n$ printf hello; cat\nhello ^C\n")?;
    fails_with(try_lab("unended", "$ printf hello\nhel…\n"), &["- hel…\n+ hello⊣"])?;
    fails_with(try_lab("unended", "$ echo hello\nhello⊣\n"), &["- hello⊣\n+ hello"])
}

fn any_day() -> Result<(), Failed> {
    for (printed, seen) in [
        ("2026-11-21T17:03:06.517210Z", "1999-12-31T23:59:59Z"),
        ("2026/11/21 17:03:06 socat", "1999/12/31 23:59:59 socat"),
        ("at 17:03:06.517210", "at 23:59:59.000000"),
    ] {
        try_lab("day", &format!("$ echo '{seen}'\n{printed}\n"))?;
    }
    Ok(())
}

fn blanks() -> Result<(), Failed> {
    let body = "<!-- varies: blanks, /at most \\d+/ -->\n```console lab=one\n$ echo 'sleeps  at most 9'\nsleeps at most 10\n```\n";
    play(&lab::labs("own-blanks", body)?.remove(0), Mode::Compare, LAB_TIME_MAX)?;
    Ok(())
}

fn other_words() -> Result<(), Failed> {
    try_lab("words", "$ echo '{data={u32=1, u64=8589934593}} {data={u32=0, u64=0}}'\n{data=0x200000001} {data=0}\n")?;
    try_lab("words", "$ echo 'Local Address:Port Peer Address:Port Process'\nLocal Address:Port Peer Address:Port\n")?;
    fails_with(try_lab("words", "$ echo 'data={u32=1, u64=1}'\ndata=0x2\n"), &["- data=0x2"])?;
    fails_with(try_lab("words", "$ echo 'a Process'\na\n"), &["+ a Process"])?;
    let before = page("$ echo 'data={u32=1, u64=1}'; echo more\n?\n");
    let lab = lab::labs("own-words", &before).unwrap().remove(0);
    let after = page("$ echo 'data={u32=1, u64=1}'; echo more\ndata=0x1\nmore\n");
    same(&refreshed(&before, &lab, &play(&lab, Mode::Refresh, LAB_TIME_MAX)?), &after)
}

fn same(seen: &str, expected: &str) -> Result<(), Failed> {
    if seen == expected { Ok(()) } else { Err(format!("{seen}\ninstead of\n{expected}").into()) }
}

fn unknown_setting() -> Result<(), Failed> {
    let unknown = only_lab("setting", "$ sh -c 'echo 1 > /proc/sys/net/ipv4/from_tomorrow'\n");
    let known = only_lab("known", "$ cat /proc/sys/net/ipv4/tcp_rmem\n");
    match (tools::missing_setting(&unknown), tools::missing_setting(&known)) {
        (Some("/proc/sys/net/ipv4/from_tomorrow"), None) => Ok(()),
        noticed => Err(format!("{noticed:?}").into()),
    }
}
