//! The public surface of a crate, module by module: every item by its name, followed by its implementations.

use std::collections::BTreeMap;

use syn::{
    File, GenericArgument, Ident, ImplItem, Item, ItemImpl, ItemMod, Path, PathArguments, Type, Visibility, parse_quote,
};

use crate::modules::{Modules, Place, attributes, flat, name_of};
use crate::strip::{self, is_hidden, is_public};

/// The definition of an item: its module and its name.
type Key = (Place, String);

pub(crate) struct Listing<'a> {
    modules: &'a Modules,
    /// All items that can be named from outside, each with the module that lists it: the one with the shortest path,
    /// but preferably not `kernel`, which is not stable.
    public: BTreeMap<Key, Place>,
    /// The implementations for an item; for a trait also those for types of other crates.
    implementations: BTreeMap<Key, Vec<ItemImpl>>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(modules: &'a Modules) -> Self {
        let mut listing = Self { modules, public: BTreeMap::new(), implementations: BTreeMap::new() };
        listing.note_public(&Vec::new());
        for place in modules.places() {
            for item in modules.items(place) {
                if let Item::Impl(item) = item
                    && let Some(key) = listing.subject(place, item)
                    && let Some(stripped) = strip::implementation(item)
                {
                    listing.implementations.entry(key).or_default().push(stripped);
                }
            }
        }
        listing
    }

    /// The listing as source text, in an order that does not depend on files.
    pub(crate) fn file(&self) -> File {
        File { shebang: None, attrs: Vec::new(), items: self.list(&Vec::new()) }
    }

    fn note_public(&mut self, place: &Place) {
        for key in self.exports(place).into_iter().filter_map(|(_, _, key)| key) {
            let listed = self.public.entry(key).or_insert_with(|| place.clone());
            let rank = |place: &Place| (place.len(), place[..] == ["kernel"]);
            if rank(place) < rank(listed) {
                listed.clone_from(place);
            }
        }
        for inner in self.inner(place) {
            self.note_public(&inner);
        }
    }

    /// The public modules in the one at `place`.
    fn inner(&self, place: &Place) -> Vec<Place> {
        let modules = self.modules.items(place).iter().filter_map(|item| match item {
            Item::Mod(module) if is_public(&module.vis) && !is_hidden(&module.attrs) => Some(&module.ident),
            _ => None,
        });
        modules.map(|name| [place.clone(), vec![name.to_string()]].concat()).collect()
    }

    /// The exports of a module, by name: its own items, those of other modules, and of other crates.
    fn exports(&self, place: &Place) -> Vec<(String, Item, Option<Key>)> {
        let mut exports = Vec::new();
        for item in self.modules.items(place) {
            if is_hidden(attributes(item)) {
                continue;
            }
            match item {
                Item::Use(used) if is_public(&used.vis) => {
                    for (name, path) in flat(used) {
                        let name = name.unwrap_or_else(|| panic!("{place:?} exports a glob"));
                        exports.push(match self.modules.resolve(place, &path) {
                            Some((defined, item)) => (name.clone(), item.clone(), Some((defined, name))),
                            None => {
                                let path: Path = syn::parse_str(&path.join("::")).unwrap();
                                (name, parse_quote!(pub use #path;), None)
                            }
                        });
                    }
                }
                Item::Use(_) => {}
                item if visibility(item).is_some_and(is_public) => {
                    let name = name_of(item).map(Ident::to_string).unwrap_or_default();
                    exports.push((name.clone(), item.clone(), Some((place.clone(), name))));
                }
                _ => {}
            }
        }
        exports.sort_by(|one, other| one.0.cmp(&other.0));
        exports
    }

    fn list(&self, place: &Place) -> Vec<Item> {
        let mut items = Vec::new();
        for (name, item, key) in self.exports(place) {
            match key.as_ref().map(|key| (key, &self.public[key])) {
                Some((_, listed)) if listed != place => {
                    let path: Path = syn::parse_str(&[&listed[..], &[name]].concat().join("::")).unwrap();
                    items.push(parse_quote!(pub use crate::#path;));
                }
                listed => {
                    items.push(strip::item(&item));
                    items.extend(listed.iter().flat_map(|(key, _)| self.implemented(key)));
                }
            }
        }
        for inner in self.inner(place) {
            let name: Ident = syn::parse_str(inner.last().unwrap()).unwrap();
            let content = self.list(&inner);
            let module: ItemMod = parse_quote!(pub mod #name { #(#content)* });
            items.push(Item::Mod(module));
        }
        items
    }

    /// Methods first, in one block for each head; then traits by name.
    fn implemented(&self, key: &Key) -> Vec<Item> {
        let mut blocks: BTreeMap<(bool, String), ItemImpl> = BTreeMap::new();
        for item in self.implementations.get(key).into_iter().flatten() {
            let head = ItemImpl { items: Vec::new(), ..item.clone() };
            let text =
                prettyplease::unparse(&File { shebang: None, attrs: Vec::new(), items: vec![head.clone().into()] });
            let block = blocks.entry((item.trait_.is_some(), text)).or_insert(head);
            block.items.extend(item.items.iter().cloned());
        }
        let sorted = blocks.into_values().map(|mut block| {
            block.items.sort_by_key(|item| match item {
                ImplItem::Fn(item) => (1, item.sig.ident.to_string()),
                ImplItem::Const(item) => (0, item.ident.to_string()),
                _ => (0, String::new()),
            });
            block.into()
        });
        sorted.collect()
    }

    /// The item of an `impl`; `None` if it is not visible from outside.
    fn subject(&self, place: &Place, item: &ItemImpl) -> Option<Key> {
        // The item of a path of this crate, if it is public.
        let known = |path: &Path| {
            let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let (defined, item) = self.modules.resolve(place, &names)?;
            let key = (defined, name_of(item)?.to_string());
            Some(self.public.contains_key(&key).then_some(key))
        };
        let of = item.trait_.as_ref().map(|(_, path, _)| path);
        let parameters =
            of.into_iter().flat_map(|path| &path.segments).filter_map(|segment| match &segment.arguments {
                PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
                _ => None,
            });
        let types = parameters.flatten().filter_map(|parameter| match parameter {
            GenericArgument::Type(of) => named(of),
            _ => None,
        });
        if types.chain(of).any(|path| known(path) == Some(None)) {
            return None;
        }
        named(&item.self_ty).and_then(known).unwrap_or_else(|| of.and_then(known).flatten())
    }
}

/// The path of a type, behind a reference too.
fn named(of: &Type) -> Option<&Path> {
    match of {
        Type::Path(path) => Some(&path.path),
        Type::Reference(reference) => named(&reference.elem),
        _ => None,
    }
}

fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        _ => return None,
    })
}
