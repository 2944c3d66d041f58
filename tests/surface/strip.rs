//! Removes the parts of an item that are not in the surface: comments, bodies, and private or hidden items.

use syn::punctuated::Punctuated;
use syn::{
    Attribute, Block, Field, Fields, FnArg, ImplItem, Item, ItemImpl, Meta, Pat, PatType, Signature, TraitItem,
    Variant, Visibility, parse_quote,
};

/// Returns the public part of a public item.
pub(crate) fn item(item: &Item) -> Item {
    let mut item = item.clone();
    match &mut item {
        Item::Const(item) => {
            attributes(&mut item.attrs);
            *item.expr = parse_quote!(_);
        }
        Item::Static(item) => {
            attributes(&mut item.attrs);
            *item.expr = parse_quote!(_);
        }
        Item::Enum(item) => {
            attributes(&mut item.attrs);
            item.variants.iter_mut().for_each(variant);
        }
        Item::Fn(item) => function(&mut item.attrs, &mut item.sig, &mut item.block),
        Item::Struct(item) => {
            attributes(&mut item.attrs);
            fields(&mut item.fields);
        }
        Item::Trait(item) => {
            attributes(&mut item.attrs);
            item.items.iter_mut().for_each(trait_item);
        }
        Item::Type(item) => attributes(&mut item.attrs),
        _ => {}
    }
    item
}

/// Returns the public part of an `impl`; `None` if it is not visible from outside.
pub(crate) fn implementation(item: &ItemImpl) -> Option<ItemImpl> {
    let mut item = item.clone();
    attributes(&mut item.attrs);
    if item.trait_.is_some() {
        item.items.retain(|inner| matches!(inner, ImplItem::Type(_)));
        return Some(item);
    }
    item.items.retain(|inner| match inner {
        ImplItem::Fn(inner) => is_public(&inner.vis) && !is_hidden(&inner.attrs),
        ImplItem::Const(inner) => is_public(&inner.vis) && !is_hidden(&inner.attrs),
        _ => false,
    });
    for inner in &mut item.items {
        match inner {
            ImplItem::Fn(inner) => function(&mut inner.attrs, &mut inner.sig, &mut inner.block),
            ImplItem::Const(inner) => {
                attributes(&mut inner.attrs);
                inner.expr = parse_quote!(_);
            }
            _ => {}
        }
    }
    (!item.items.is_empty()).then_some(item)
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(crate) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("doc") && list.tokens.to_string() == "hidden",
        _ => false,
    })
}

/// Only attributes that matter to a user of the item stay.
fn attributes(attributes: &mut Vec<Attribute>) {
    let kept = ["cfg", "derive", "must_use", "non_exhaustive", "repr"];
    attributes.retain(|attribute| kept.iter().any(|kept| attribute.path().is_ident(kept)));
}

fn function(attrs: &mut Vec<Attribute>, signature: &mut Signature, block: &mut Block) {
    attributes(attrs);
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) if receiver.reference.is_none() => receiver.mutability = None,
            FnArg::Typed(PatType { pat, .. }) => {
                if let Pat::Ident(name) = &mut **pat {
                    name.mutability = None;
                }
            }
            FnArg::Receiver(_) => {}
        }
    }
    block.stmts.clear();
}

fn trait_item(item: &mut TraitItem) {
    match item {
        TraitItem::Const(item) => attributes(&mut item.attrs),
        TraitItem::Fn(item) => {
            attributes(&mut item.attrs);
            if let Some(body) = &mut item.default {
                body.stmts.clear();
            }
        }
        TraitItem::Type(item) => attributes(&mut item.attrs),
        _ => {}
    }
}

fn variant(variant: &mut Variant) {
    attributes(&mut variant.attrs);
    variant.fields.iter_mut().for_each(|field| attributes(&mut field.attrs));
}

/// A struct with private fields only notes that it has some.
fn fields(fields: &mut Fields) {
    let (Fields::Named(syn::FieldsNamed { named: list, .. })
    | Fields::Unnamed(syn::FieldsUnnamed { unnamed: list, .. })) = fields
    else {
        return;
    };
    let (mut seen, mut private): (Punctuated<Field, _>, Option<Field>) = (Punctuated::new(), None);
    for mut field in std::mem::take(list) {
        attributes(&mut field.attrs);
        if is_public(&field.vis) {
            seen.push(field);
        } else {
            private = Some(Field { ident: field.ident.map(|_| parse_quote!(_private)), ty: parse_quote!(_), ..field });
        }
    }
    seen.extend(private.map(|field| Field { vis: Visibility::Inherited, ..field }));
    *list = seen;
}
