//! Pages as a browser shows them.

use std::path::Path;
use std::process::Command;

use crate::support::Scratch;

/// The final state of a page, and the errors of its script.
pub(crate) struct Shown {
    dom: String,
    pub(crate) complaints: Vec<String>,
}

/// Opens the page in `file`, with `fragment` behind the `#` of its address.
#[track_caller]
pub(crate) fn open(file: &Path, fragment: &str) -> Shown {
    open_at(&format!("file://{}#{fragment}", file.display()))
}

/// Opens the page at `address`.
#[track_caller]
pub(crate) fn open_at(address: &str) -> Shown {
    let profile = Scratch::new();
    let output = Command::new("timeout")
        .args(["120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        // No network access, not even by the browser itself.
        .args(["--disable-background-networking", "--no-first-run", "--enable-logging=stderr"])
        // A page that looks at other files.
        .arg("--allow-file-access-from-files")
        // The page's timers run in virtual time, and the DOM is printed when none is left.
        .args(["--virtual-time-budget=2000", "--window-size=1400,900", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(address)
        .env("HOME", profile.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8_lossy(&output.stderr);
    Shown {
        dom: String::from_utf8(output.stdout).unwrap(),
        complaints: log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
    }
}

impl Shown {
    /// The text of the element with this id.
    #[track_caller]
    pub(crate) fn text(&self, id: &str) -> String {
        let (_, rest) = self.dom.split_once(&format!(" id=\"{id}\"")).unwrap_or_else(|| panic!("no element {id}"));
        let (_, rest) = rest.split_once('>').unwrap();
        let (text, _) = rest.split_once('<').unwrap();
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }
}
