//! Rooms: a room is a module of `src/lib.rs`, its file and its folder. Knowledge runs one way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::graph::Graph;
use crate::markdown::{self, Block};
use crate::paths::{Token, absolute, named, tokens};
use crate::source::{Source, sources};
use crate::{design, root};

/// Which room knows which. An item at the root of the library must be named by its room, so that the room is visible.
fn rooms(sources: &[Source]) -> Result<Graph, String> {
    let names: BTreeSet<_> = sources.iter().filter_map(Source::room).collect();
    let mut graph = Graph::default();
    names.iter().for_each(|name| graph.add(name));
    for source in sources {
        let Some(room) = source.room() else { continue };
        for path in named(&source.code) {
            let Some(target) = absolute(source, &path.words) else { continue };
            let place = || format!("{}:{}: {}", source.path, source.line(path.at), path.words.join("::"));
            match target.first() {
                Some(to) if to == room => {}
                Some(to) if names.contains(to.as_str()) => graph.know(room, to, place),
                _ => return Err(format!("{}: name the room it comes from", place())),
            }
        }
    }
    Ok(graph)
}

/// Files that know each other and can only be read together, and why.
const TOGETHER: [(&str, &str, &str); 1] = [(
    "src/protocol/job.rs",
    "src/protocol/step.rs",
    "a decision may be a job, and the method that takes what it returns decides again",
)];

/// Which file knows which in each room. A file and the files below it count as one: it declares them, and they continue
/// it.
fn files(sources: &[Source]) -> Graph {
    let library = Library::new(sources);
    let mut graph = Graph::default();
    for source in sources.iter().filter(|source| source.room().is_some()) {
        for path in named(&source.code) {
            let target = absolute(source, &path.words).and_then(|path| library.owner(&path));
            let Some(target) = target.filter(|target| target.room() == source.room()) else { continue };
            if !target.module.starts_with(&source.module) && !source.module.starts_with(&target.module) {
                let place = || format!("line {}: {}", source.line(path.at), path.words.join("::"));
                graph.know(&source.path, &target.path, place);
            }
        }
    }
    graph
}

/// The files, and what each imports: a name, and where that comes from.
struct Library<'a> {
    files: BTreeMap<&'a [String], &'a Source>,
    imports: BTreeMap<&'a [String], BTreeMap<&'a str, Vec<String>>>,
}

impl<'a> Library<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let imports = |source: &'a Source| {
            let imports = named(&source.code).into_iter().filter(|path| path.is_import);
            imports.filter_map(|path| Some((*path.words.last()?, absolute(source, &path.words)?))).collect()
        };
        Self {
            files: sources.iter().map(|source| (&source.module[..], source)).collect(),
            imports: sources.iter().map(|source| (&source.module[..], imports(source))).collect(),
        }
    }

    /// The file that an item comes from, through those that have imported it.
    fn owner(&self, path: &[String]) -> Option<&'a Source> {
        let length = (1..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
        let (module, item) = (&path[..length], path.get(length));
        let from = item.and_then(|item| self.imports[module].get(item.as_str())).filter(|from| *from != path);
        from.map_or_else(|| Some(self.files[module]), |from| self.owner(from))
    }
}

#[test]
fn no_file_of_a_room_knows_one_that_knows_it() {
    let mut files = files(sources());
    for (file, other, _) in TOGETHER {
        assert!(
            files.forget(file, other) && files.forget(other, file),
            "{file}, {other}: the exception is not needed any more"
        );
    }
    if let Some(ring) = files.ring() {
        panic!("files of a room know each other in a ring:\n{}", ring.join("\n"));
    }
}

#[track_caller]
fn house() -> Graph {
    let graph = rooms(sources()).unwrap_or_else(|problem| panic!("{problem}"));
    if let Some(ring) = graph.ring() {
        panic!("rooms know each other in a ring:\n{}", ring.join("\n"));
    }
    graph
}

#[test]
fn no_room_knows_one_that_knows_it() {
    house();
}

#[test]
fn the_design_draws_the_rooms_as_they_are() {
    let refresh = std::env::var_os("LABS_REFRESH").is_some_and(|set| !set.is_empty());
    let drawing = house().drawing();
    let page = design();
    let blocks = markdown::blocks(&page);
    let is_drawing =
        |block: &&Block| block.info == "text" && block.comments.iter().any(|(keyword, _)| keyword == "rooms");
    let drawn = blocks.iter().find(is_drawing);
    let drawn = drawn.expect("docs/design.md has a block below `<!-- rooms: by floor -->`");
    if drawn.body != drawing && refresh {
        let mut renewed = page;
        renewed.replace_range(drawn.range.clone(), &drawing);
        fs::write(root().join("docs/design.md"), renewed).unwrap();
    } else {
        assert!(
            drawn.body == drawing,
            "docs/design.md:{}: the sources differ; LABS_REFRESH=1 copies them:\n{drawing}",
            drawn.line
        );
    }
}

#[test]
fn a_byte_takes_three_rooms_and_knowledge_goes_their_way() {
    let house = house();
    let calls = |call: &str| -> BTreeSet<String> {
        let callers = sources().iter().filter(|source| source.code.contains(call));
        callers
            .filter_map(|source| source.room().map(str::to_owned))
            .filter(|room| !["protocol", "testing"].contains(&room.as_str()))
            .collect()
    };
    assert_eq!(calls(".on_bytes("), BTreeSet::from(["connection".to_owned()]));
    assert_eq!(calls(".on_datagram("), BTreeSet::from(["datagram".to_owned()]));
    for (from, to) in [("reactor", "connection"), ("connection", "protocol"), ("datagram", "protocol")] {
        assert!(house.reaches(from, to), "{from} does not know {to}");
    }
    for apart in ["kernel", "reactor", "connection", "time"] {
        assert!(!house.reaches("protocol", apart), "a protocol never sees a socket or a clock, but {apart}");
    }
    let sees_tokens = |source: &&Source| tokens(&source.code).iter().any(|(_, word)| *word == Token::Word("Token"));
    let of_protocols = sources().iter().filter(|source| source.room() == Some("protocol"));
    let seen: Vec<_> = of_protocols.filter(sees_tokens).map(|source| &source.path).collect();
    assert!(seen.is_empty(), "a protocol never sees a token, but {seen:?}");
}

#[cfg(test)]
mod tests {
    use super::{Source, files, rooms};

    fn sources(texts: &[(&str, &str)]) -> Vec<Source> {
        let source = |(name, text): &(&str, &str)| {
            let module: Vec<_> = name.split('/').collect();
            Source::new(&format!("src/{name}.rs"), &module, text)
        };
        texts.iter().map(source).collect()
    }

    fn house(texts: &[(&str, &str)]) -> Result<String, String> {
        let graph = rooms(&sources(texts))?;
        graph.ring().map_or_else(|| Ok(graph.drawing()), |ring| Err(ring.join("\n")))
    }

    #[test]
    fn uses_and_paths_in_code_are_known_alike() {
        let ring = house(&[("a", "use crate::b::C;\n"), ("b", ""), ("b/d", "fn f() { super::super::a::g() }\n")]);
        assert_eq!(
            ring.unwrap_err(),
            "a knows b: src/a.rs:1: crate::b::C\nb knows a: src/b/d.rs:1: super::super::a::g"
        );
        let hidden = house(&[("a", "use crate::Registry;\n"), ("b", "")]);
        assert_eq!(hidden.unwrap_err(), "src/a.rs:1: crate::Registry: name the room it comes from");
    }

    #[test]
    fn files_of_a_room_know_each_other_through_their_parent() {
        let ring =
            |above: &str, low: &str| files(&sources(&[("a", above), ("a/b", "use super::C;\n"), ("a/c", low)])).ring();
        let told = ring("pub(crate) use self::c::C;\n", "fn f() { super::b::g() }\n").unwrap();
        assert_eq!(told[0], "src/a/b.rs knows src/a/c.rs: line 1: super::C");
        assert_eq!(ring("pub(crate) use self::c::C;\n", "use super::D;\n"), None);
        assert_eq!(ring("struct C;\n", "fn f() { super::b::g() }\n"), None);
    }

    #[test]
    fn comments_and_tests_may_name_any_room() {
        let tidy = house(&[
            ("a", "use crate::b::C;\n"),
            ("b", "/// [`crate::a::D`]\nfn f() {}\n#[cfg(test)]\nmod tests { use crate::a::D; }\n"),
        ]);
        assert_eq!(tidy.unwrap(), " 1  a  b\n 0  b\n");
    }
}
