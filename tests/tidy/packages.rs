//! The packages of the program: pure Rust, each direct one with its reason in docs/design.md.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::source::files_below;
use crate::{design, root};

/// Returns the output of a cargo command.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `cargo metadata`, for this machine and default features.
pub(crate) static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let version = cargo(&["--version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = cargo(&["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform", host]);
    serde_json::from_str(&metadata).unwrap()
});

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn with_id<'a>(list: &'a Value, id: &Value) -> &'a Value {
    array(list).iter().find(|package| package["id"] == *id).unwrap()
}

pub(crate) fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// The packages that a build of `id` needs, including itself: all except those for tests, examples and benches.
fn needed<'a>(metadata: &'a Value, id: &'a Value, found: &mut BTreeSet<&'a str>) {
    if !found.insert(id.as_str().unwrap()) {
        return;
    }
    for needs in array(&with_id(&metadata["resolve"]["nodes"], id)["deps"]) {
        if array(&needs["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev") {
            needed(metadata, &needs["pkg"], found);
        }
    }
}

/// This package.
pub(crate) fn own() -> &'static Value {
    with_id(&METADATA["packages"], &METADATA["resolve"]["root"])
}

/// The reason why a package may need more than Rust and a linker, if any. What compiles C is banned in
/// `.cargo/deny.toml`, by name.
fn more_than_rust(package: &Value) -> Option<String> {
    let library = package["links"].as_str()?;
    Some(format!("{} links {library}", name(package)))
}

fn not_rust_alone(metadata: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    needed(metadata, &metadata["resolve"]["root"], &mut found);
    let packages = array(&metadata["packages"]).iter();
    let packages = packages.filter(|package| found.contains(package["id"].as_str().unwrap()));
    packages.filter_map(more_than_rust).collect()
}

#[test]
fn the_default_build_needs_rust_and_a_linker_only() {
    let problems = not_rust_alone(&METADATA);
    assert!(problems.is_empty(), "a compiler of C may be needed: {problems:?}");
}

#[test]
fn cargo_run_starts_the_server() {
    assert_eq!(own()["default_run"], "reactor");
}

/// `cargo install reactord` installs the server alone, and with `--example load` the load tool: an example needs no feature, and
/// its packages are not those of the server. The package must have all files of it.
#[test]
fn the_load_tool_can_be_installed_from_the_package() {
    let targets = array(&own()["targets"]);
    let commands = targets.iter().filter(|target| target["kind"][0] == "bin").map(name);
    assert_eq!(commands.collect::<Vec<_>>(), ["reactor"]);
    let load = targets.iter().find(|target| target["kind"][0] == "example" && target["name"] == "load").unwrap();
    assert_eq!(load.get("required-features"), None);

    let listed = cargo(&["package", "--list", "--allow-dirty", "--offline", "--locked"]);
    let listed: BTreeSet<_> = listed.lines().collect();
    let directory = root().join("examples/tools/load");
    let main = fs::read_to_string(directory.join("main.rs")).unwrap();
    let shared = main.lines().filter_map(|line| line.strip_prefix("#[path = \"../../")?.strip_suffix("\"]"));
    let mut files: Vec<_> = shared.map(|path| format!("examples/{path}")).collect();
    assert_eq!(files.len(), main.matches("#[path").count());
    let own = files_below(&directory, "rs").into_iter();
    files.extend(own.map(|path| path.strip_prefix(root()).unwrap().display().to_string()));
    let missing: Vec<_> = files.iter().filter(|path| !listed.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_package_has_its_reason_in_the_design() {
    let of_the_build = array(&own()["dependencies"]).iter().filter(|needs| needs["kind"] != "dev");
    let direct: BTreeSet<_> = of_the_build.map(name).collect();
    let page = design();
    let section = page.split("\n## Packages\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let told = section.lines().filter_map(|line| {
        let (name, why) = line.strip_prefix("| `")?.split_once("` | ")?;
        (why.len() > "| ".len()).then_some(name)
    });
    assert_eq!(told.collect::<BTreeSet<_>>(), direct, "docs/design.md, Packages, and Cargo.toml");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::not_rust_alone;

    /// A package that needs `sys` for a build, or for tests alone.
    fn metadata(kind: &Value, sys: &Value) -> Value {
        let needs = json!([{ "pkg": "sys 1", "dep_kinds": [{ "kind": kind }] }]);
        json!({
            "packages": [{ "id": "own 1", "name": "own", "links": null }, sys],
            "resolve": { "root": "own 1", "nodes": [{ "id": "own 1", "deps": needs }, { "id": "sys 1", "deps": [] }] },
        })
    }

    #[test]
    fn what_links_a_library_is_found_unless_tests_alone_need_it() {
        let links = json!({ "id": "sys 1", "name": "sys", "links": "z" });
        assert_eq!(not_rust_alone(&metadata(&json!(null), &links)), ["sys links z"]);
        assert_eq!(not_rust_alone(&metadata(&json!("dev"), &links)), [""; 0]);
    }
}
