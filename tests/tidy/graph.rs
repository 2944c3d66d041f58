//! A graph of which module knows which: rings, floors, and a drawing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// For each node, the nodes that it knows directly, and the place where it first names each.
#[derive(Debug, Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeMap<String, String>>);

impl Graph {
    pub(crate) fn add(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    /// Notes that `from` knows `to`, as `place` says.
    pub(crate) fn know(&mut self, from: &str, to: &str, place: impl FnOnce() -> String) {
        self.add(to);
        self.0.entry(from.to_owned()).or_default().entry(to.to_owned()).or_insert_with(place);
    }

    /// Removes an edge. Returns whether there was one.
    pub(crate) fn forget(&mut self, from: &str, to: &str) -> bool {
        self.0.get_mut(from).is_some_and(|known| known.remove(to).is_some())
    }

    fn known_by<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a String> {
        self.0.get(name).into_iter().flat_map(BTreeMap::keys)
    }

    /// A ring, if there is one: each line names two nodes of it, and the place.
    pub(crate) fn ring(&self) -> Option<Vec<String>> {
        let mut done = BTreeSet::new();
        self.0.keys().find_map(|name| self.ring_from(name, &mut Vec::new(), &mut done))
    }

    fn ring_from<'a>(
        &'a self,
        name: &'a String,
        way: &mut Vec<&'a String>,
        done: &mut BTreeSet<&'a String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|met| *met == name) {
            let ring = [&way[start..], &[name]].concat();
            return Some(ring.windows(2).map(|pair| self.told(pair[0], pair[1])).collect());
        }
        if done.contains(name) {
            return None;
        }
        way.push(name);
        let found = self.known_by(name).find_map(|known| self.ring_from(known, way, done));
        way.pop();
        done.insert(name);
        found
    }

    fn told(&self, from: &str, to: &str) -> String {
        format!("{from} knows {to}: {}", self.0[from][to])
    }

    /// Whether `from` knows `to`, directly or through others. There must be no ring.
    pub(crate) fn reaches(&self, from: &str, to: &str) -> bool {
        self.below().get(from).is_some_and(|below| below.contains(to))
    }

    /// For each node, the nodes that it knows, directly or through others. There must be no ring.
    fn below(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut below = BTreeMap::new();
        self.0.keys().for_each(|name| self.note_below(name, &mut below));
        below
    }

    fn note_below<'a>(&'a self, name: &'a str, below: &mut BTreeMap<&'a str, BTreeSet<&'a str>>) {
        if below.contains_key(name) {
            return;
        }
        let mut all = BTreeSet::new();
        for known in self.known_by(name) {
            self.note_below(known, below);
            all.insert(known.as_str());
            all.extend(&below[known.as_str()]);
        }
        below.insert(name, all);
    }

    /// The length of the longest path down from each node. There must be no ring.
    fn floors(&self) -> BTreeMap<&str, usize> {
        let below = self.below();
        // A node that knows another knows more nodes than that one.
        let mut names: Vec<_> = self.0.keys().map(String::as_str).collect();
        names.sort_by_key(|name| below[name].len());
        let mut floors = BTreeMap::new();
        for name in names {
            let floor = self.known_by(name).map(|known| floors[known.as_str()] + 1).max().unwrap_or(0);
            floors.insert(name, floor);
        }
        floors
    }

    /// All nodes by floor, from the top. Each node above the ground is listed with the nodes that it knows directly,
    /// without those that one of these knows too.
    pub(crate) fn drawing(&self) -> String {
        let below = self.below();
        let width = self.0.keys().map(String::len).max().unwrap_or(0);
        let mut rows: Vec<_> = self.floors().into_iter().collect();
        rows.sort_by_key(|(name, floor)| (Reverse(*floor), *name));
        let mut drawing = String::new();
        let mut floor_before = None;
        for (name, floor) in rows.iter().filter(|(_, floor)| *floor > 0) {
            let number = if floor_before.replace(*floor) == Some(*floor) { String::new() } else { floor.to_string() };
            let is_near =
                |known: &&String| !self.known_by(name).any(|other| below[other.as_str()].contains(known.as_str()));
            let near: Vec<_> = self.known_by(name).filter(is_near).map(String::as_str).collect();
            let row = format!("{number:>2}  {name:width$}  {}", near.join(" "));
            drawing += &format!("{row}\n");
        }
        let ground: Vec<_> = rows.iter().filter(|(_, floor)| *floor == 0).map(|(name, _)| *name).collect();
        drawing + &format!(" 0  {}\n", ground.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    fn graph(arrows: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in arrows {
            graph.know(from, to, || format!("{from}.rs"));
        }
        graph
    }

    #[test]
    fn a_ring_is_found_and_reported() {
        assert_eq!(graph(&[("a", "b"), ("b", "c"), ("a", "c")]).ring(), None);
        let ring = graph(&[("a", "b"), ("b", "c"), ("c", "b")]).ring().unwrap();
        assert_eq!(ring, ["b knows c: b.rs", "c knows b: c.rs"]);
    }

    #[test]
    fn the_drawing_leaves_out_indirect_edges() {
        let drawing = graph(&[("top", "low"), ("top", "mid"), ("mid", "low"), ("other", "low")]).drawing();
        assert_eq!(drawing, " 2  top    mid\n 1  mid    low\n    other  low\n 0  low\n");
        assert_eq!(graph(&[("top", "a"), ("top", "b")]).drawing(), " 1  top  a b\n 0  a b\n");
    }
}
