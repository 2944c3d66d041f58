//! Licences, versions and sources of the packages, as `.cargo/deny.toml` allows them.
//!
//! It reads what `cargo deny check` reads, so that every test run checks it without a network and without another tool. Advisories
//! are left to that tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::packages::{METADATA, array, name, own};
use crate::root;

/// What the file says. It has a subset of TOML: words, lists of words, and lists of `{ crate = "…", reason = "…" }`.
#[derive(Debug)]
struct Deny {
    licences: Vec<String>,
    banned: Vec<String>,
    /// `NAME@MAJOR`: versions that may be there beside another.
    skipped: Vec<String>,
    registries: Vec<String>,
}

impl Deny {
    fn read() -> Self {
        Self::parse(&fs::read_to_string(root().join(".cargo/deny.toml")).unwrap())
    }

    fn parse(text: &str) -> Self {
        let [licenses, bans, sources] = ["licenses", "bans", "sources"].map(|name| section(text, name));
        for (section, key) in
            [(bans, "multiple-versions"), (bans, "wildcards"), (sources, "unknown-registry"), (sources, "unknown-git")]
        {
            assert!(section.contains(&format!("\n{key} = \"deny\"\n")), "{key} is checked as if it were \"deny\"");
        }
        Self {
            licences: list(licenses, "allow"),
            banned: list(bans, "deny"),
            skipped: list(bans, "skip"),
            registries: list(sources, "allow-registry"),
        }
    }

    /// What a licence expression of SPDX says.
    fn allows(&self, expression: &str) -> bool {
        let spaced =
            expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "+WITH+");
        let words: Vec<_> = spaced.split_whitespace().collect();
        let (is_allowed, rest) = self.any(&words);
        is_allowed && rest.is_empty()
    }

    fn any<'a, 'b>(&self, words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
        let (mut is_allowed, mut rest) = self.all(words);
        while let ["OR", more @ ..] = rest {
            let (other, after) = self.all(more);
            (is_allowed, rest) = (is_allowed || other, after);
        }
        (is_allowed, rest)
    }

    fn all<'a, 'b>(&self, words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
        let (mut is_allowed, mut rest) = self.one(words);
        while let ["AND", more @ ..] = rest {
            let (other, after) = self.one(more);
            (is_allowed, rest) = (is_allowed && other, after);
        }
        (is_allowed, rest)
    }

    fn one<'a, 'b>(&self, words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
        match words {
            ["(", inner @ ..] => match self.any(inner) {
                (is_allowed, [")", rest @ ..]) => (is_allowed, rest),
                (_, rest) => (false, rest),
            },
            [licence, rest @ ..] => (self.licences.contains(&licence.replace("+WITH+", " WITH ")), rest),
            [] => (false, words),
        }
    }

    /// What is wrong with the packages that this machine builds, as `cargo metadata` lists them.
    fn licence_problems(&self, packages: &[Value]) -> Vec<String> {
        let licence = |package: &Value| package["license"].as_str().unwrap_or("none").to_owned();
        let forbidden = packages.iter().filter(|package| !self.allows(&licence(package)));
        let mut problems: Vec<_> =
            forbidden.map(|package| format!("{}: {}", name(package), licence(package))).collect();
        let is_met = |allowed: &str| packages.iter().any(|package| licence(package).contains(allowed));
        problems.extend(
            self.licences.iter().filter(|allowed| !is_met(allowed)).map(|allowed| format!("unused: {allowed}")),
        );
        problems
    }

    /// What is wrong with the packages of a `Cargo.lock`, those of every platform.
    fn lock_problems(&self, lock: &[Locked]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut versions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let mut skipped = BTreeSet::new();
        for Locked { name, version, source } in lock {
            let major = format!("{name}@{}", version.split('.').next().unwrap_or_default());
            if self.skipped.contains(&major) {
                skipped.insert(major);
            } else {
                versions.entry(name).or_default().insert(version);
            }
            if self.banned.contains(name) {
                problems.push(format!("{name} is banned"));
            }
            if source
                .as_ref()
                .is_some_and(|source| !self.registries.iter().any(|known| source.ends_with(&format!("+{known}"))))
            {
                problems.push(format!("{name} comes from {}", source.as_deref().unwrap_or_default()));
            }
        }
        let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
        problems.extend(several.map(|(name, versions)| format!("{name} is there in versions {versions:?}")));
        problems
            .extend(self.skipped.iter().filter(|skip| !skipped.contains(*skip)).map(|skip| format!("unused: {skip}")));
        problems
    }
}

/// From the head of a section to the next one.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("[{name}]")).unwrap_or_else(|| panic!("no section {name}"));
    rest.split("\n[").next().unwrap_or_default()
}

/// The words of a list, or the crates of its tables.
fn list(section: &str, key: &str) -> Vec<String> {
    let (_, rest) = section.split_once(&format!("\n{key} = [")).unwrap_or_else(|| panic!("no list {key}"));
    let body = rest.split("]\n").next().unwrap_or_default();
    let words = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    if !body.contains("crate = ") {
        return words(body);
    }
    body.split("crate = ").skip(1).filter_map(|table| words(table).into_iter().next()).collect()
}

/// A package of a `Cargo.lock`.
struct Locked {
    name: String,
    version: String,
    /// None for those of this repository.
    source: Option<String>,
}

fn locked(lock: &str) -> Vec<Locked> {
    let value = |package: &str, key: &str| {
        let rest = package.split_once(&format!("\n{key} = \""))?.1;
        rest.split('"').next().map(str::to_owned)
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .map(|package| Locked {
            name: value(package, "name").unwrap(),
            version: value(package, "version").unwrap(),
            source: value(package, "source"),
        })
        .collect()
}

#[test]
fn every_licence_is_allowed() {
    let problems = Deny::read().licence_problems(array(&METADATA["packages"]));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_package_is_banned_comes_twice_or_from_elsewhere() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let problems = Deny::read().lock_problems(&locked(&lock));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let wild: Vec<_> = array(&own()["dependencies"]).iter().filter(|needs| needs["req"] == "*").map(name).collect();
    assert!(wild.is_empty(), "any version of {wild:?} would do");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Deny, locked};

    fn deny() -> Deny {
        Deny::parse(
            "[licenses]\nallow = [\"A\", \"B WITH x\"]\n\n[bans]\nmultiple-versions = \"deny\"\nwildcards = \"deny\"\n\
             deny = [\"cc\"]\nskip = [\n    { crate = \"syn@2\", reason = \"old\" },\n]\n\n\
             [sources]\nunknown-registry = \"deny\"\nunknown-git = \"deny\"\nallow-registry = [\"https://good\"]\n",
        )
    }

    #[test]
    fn a_licence_expression_is_read_as_spdx_has_it() {
        for allowed in ["A", "A OR C", "C/A", "A AND (C OR B WITH x)", "(A)"] {
            assert!(deny().allows(allowed), "{allowed}");
        }
        for forbidden in ["C", "A AND C", "B", "A WITH x", "(A", "A)", "A C", ""] {
            assert!(!deny().allows(forbidden), "{forbidden}");
        }
        let packages = [json!({ "name": "a", "license": "A" }), json!({ "name": "b", "license": null })];
        assert_eq!(deny().licence_problems(&packages), ["b: none", "unused: B WITH x"]);
    }

    #[test]
    fn what_the_lock_should_not_have_is_found() {
        let package = |name: &str, version: &str, source: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n\n")
        };
        let problems = |packages: &[String]| deny().lock_problems(&locked(&packages.concat()));
        let (old, new) =
            (package("syn", "2.0.1", "registry+https://good"), package("syn", "3.0.0", "registry+https://good"));
        assert_eq!(problems(&[old.clone(), new.clone()]), [""; 0]);
        assert_eq!(problems(&[new]), ["unused: syn@2"]);
        let problems = problems(&[
            old,
            package("x", "1.0.0", "registry+https://good"),
            package("x", "1.1.0", "git+https://other"),
            package("cc", "1.0.0", "registry+https://good"),
        ]);
        let expected =
            ["x comes from git+https://other", "cc is banned", "x is there in versions {\"1.0.0\", \"1.1.0\"}"];
        assert_eq!(problems, expected);
    }
}
