//! The modules of a crate, read from its files, and the meaning of a name in one of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::{Attribute, Item, ItemUse, Meta, UseTree};

/// Where a module is: its names from the root of the crate on.
pub(crate) type Place = Vec<String>;

/// An item that has a name, and the module that defines it.
pub(crate) type Definition<'a> = (Place, &'a Item);

pub(crate) struct Modules(BTreeMap<Place, Vec<Item>>);

impl Modules {
    /// Reads the modules of the crate whose root is the file `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.read(root, root.parent().unwrap(), Vec::new());
        modules
    }

    fn read(&mut self, file: &Path, directory: &Path, place: Place) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let items = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items;
        self.add(items, directory, place);
    }

    fn add(&mut self, mut items: Vec<Item>, directory: &Path, place: Place) {
        items.retain(|item| !attributes(item).iter().any(is_of_tests));
        for item in &mut items {
            let Item::Mod(module) = item else { continue };
            let name = module.ident.to_string();
            let inner = [place.clone(), vec![name.clone()]].concat();
            match module.content.take() {
                Some((_, items)) => self.add(items, &directory.join(name), inner),
                None => self.read(&directory.join(format!("{name}.rs")), &directory.join(name), inner),
            }
        }
        self.0.insert(place, items);
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.keys()
    }

    pub(crate) fn items(&self, place: &Place) -> &[Item] {
        &self.0[place]
    }

    /// The item of `path` in the module at `place`; `None` if it leads out of the crate.
    pub(crate) fn resolve(&self, place: &Place, path: &[String]) -> Option<Definition<'_>> {
        let (name, modules) = path.split_last()?;
        self.define(&self.walk(place, modules)?, name)
    }

    fn walk(&self, from: &Place, path: &[String]) -> Option<Place> {
        let mut place = from.clone();
        for name in path {
            match name.as_str() {
                "crate" => place.clear(),
                "self" => {}
                "super" => drop(place.pop()),
                name => place.push(name.to_owned()),
            }
        }
        self.0.contains_key(&place).then_some(place)
    }

    fn define(&self, place: &Place, name: &str) -> Option<Definition<'_>> {
        let here = self.items(place).iter().find(|item| name_of(item).is_some_and(|found| found == name));
        if let Some(item) = here {
            return Some((place.clone(), item));
        }
        let uses =
            self.items(place).iter().filter_map(|item| if let Item::Use(used) = item { Some(used) } else { None });
        uses.flat_map(flat).find_map(|(known, path)| match known {
            Some(known) if known == name && path[..] != [name] => self.resolve(place, &path),
            // Globs name the parent module in tests only, and elsewhere modules below.
            None => self.walk(place, &path).filter(|inner| inner != place).and_then(|inner| self.define(&inner, name)),
            Some(_) => None,
        })
    }
}

/// The names that a `use` imports: the name, or `None` for a glob, and the path.
pub(crate) fn flat(item: &ItemUse) -> Vec<(Option<String>, Vec<String>)> {
    let mut found = Vec::new();
    branch(&item.tree, &mut Vec::new(), &mut found);
    found
}

fn branch(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<(Option<String>, Vec<String>)>) {
    let leaf = |name: &syn::Ident, path: &Vec<String>| match name.to_string() {
        // `use a::{self}` makes `a` known.
        name if name == "self" && !path.is_empty() => path.clone(),
        name => [path.clone(), vec![name]].concat(),
    };
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            branch(&inner.tree, path, found);
            path.pop();
        }
        UseTree::Name(name) => {
            let path = leaf(&name.ident, path);
            found.push((path.last().cloned(), path));
        }
        UseTree::Rename(rename) => found.push((Some(rename.rename.to_string()), leaf(&rename.ident, path))),
        UseTree::Glob(_) => found.push((None, path.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| branch(tree, path, found)),
    }
}

/// The name of an item for other items.
pub(crate) fn name_of(item: &Item) -> Option<&syn::Ident> {
    Some(match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    })
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_of_tests(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => matches!(&*list.tokens.to_string(), "test" | "doctest"),
        _ => false,
    }
}
