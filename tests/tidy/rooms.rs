//! Rooms: a room is a module of `src/lib.rs`, its file and its folder. Knowledge runs one way between them.

use std::collections::BTreeSet;
use std::fs;

use crate::graph::Graph;
use crate::markdown::{self, Block};
use crate::paths::{absolute, named};
use crate::source::{Source, sources};
use crate::{design, root};

/// Who knows whom. An item that the library has at its root is named by its room instead, or it would hide who is meant.
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
        let mut renewed = page.clone();
        renewed.replace_range(drawn.range.clone(), &drawing);
        fs::write(root().join("docs/design.md"), renewed).unwrap();
    } else {
        assert!(
            drawn.body == drawing,
            "docs/design.md:{}: the sources say instead, and LABS_REFRESH=1 takes it over:\n{drawing}",
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
    for apart in ["kernel", "reactor", "connection", "time", "token"] {
        assert!(!house.reaches("protocol", apart), "a protocol never sees a socket, a token or a clock, but {apart}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, rooms};

    fn house(files: &[(&str, &str)]) -> Result<String, String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(name, text)| {
                let module: Vec<_> = name.split('/').collect();
                Source::new(&format!("src/{name}.rs"), &module, text)
            })
            .collect();
        let graph = rooms(&sources)?;
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
    fn comments_and_tests_know_whom_they_like() {
        let tidy = house(&[
            ("a", "use crate::b::C;\n"),
            ("b", "/// [`crate::a::D`]\nfn f() {}\n#[cfg(test)]\nmod tests { use crate::a::D; }\n"),
        ]);
        assert_eq!(tidy.unwrap(), " 1  a  b\n 0  b\n");
    }
}
