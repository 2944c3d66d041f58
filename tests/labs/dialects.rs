//! The same thing said by two versions of a tool. The pages show what Debian 13 says.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

/// What the strace of Debian 12 (6.1) says of the number that came with `epoll_ctl` or `epoll_wait`.
static SPLIT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"data=\{u32=\d+, u64=(\d+)\}").unwrap());

/// A line in the words of Debian 13: strace 6.13, iproute2 6.15.
pub(crate) fn translated(line: &str) -> Cow<'_, str> {
    let line = line.trim_end();
    // The ss of Debian 12 (6.1) heads a column of processes that nobody has asked for.
    let line = line.strip_suffix("Process").filter(|rest| rest.contains(" Address:Port ")).map_or(line, str::trim_end);
    SPLIT.replace_all(line, |data: &Captures<'_>| match data[1].parse() {
        Ok(0_u64) => "data=0".to_owned(),
        Ok(number) => format!("data={number:#x}"),
        Err(_) => data[0].to_owned(),
    })
}
