//! The output of two versions of a tool. The pages show the output of Debian 13.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

/// How the strace of Debian 12 (6.1) prints the data of `epoll_ctl` and `epoll_wait`.
static SPLIT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"data=\{u32=\d+, u64=(\d+)\}").unwrap());

/// A line in the words of Debian 13: strace 6.13, iproute2 6.15.
pub(crate) fn translated(line: &str) -> Cow<'_, str> {
    let line = line.trim_end();
    // The ss of Debian 12 (6.1) prints the header of a column of processes that was not requested.
    let line = line.strip_suffix("Process").filter(|rest| rest.contains(" Address:Port ")).map_or(line, str::trim_end);
    SPLIT.replace_all(line, |data: &Captures<'_>| match data[1].parse() {
        Ok(0_u64) => "data=0".to_owned(),
        Ok(number) => format!("data={number:#x}"),
        Err(_) => data[0].to_owned(),
    })
}
