//! Fuzz targets for the properties in `tests/properties`: see `docs/design.md` for how to run them.

#[path = "../../properties/properties/mod.rs"]
mod properties;

/// Tries the property of a target on `input`.
pub fn hold(target: &str, input: &[u8]) {
    properties::hold(target, input);
}
