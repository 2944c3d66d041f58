//! Properties of every text that is read as a configuration.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use reactor::config::units::{Size, Span};
use reactor::config::{Listen, Problems};
use reactor::{Config, Registry};

/// Every text is either a configuration, which is the same when printed and read again, or has problems at the places
/// that they name.
pub(crate) fn config(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let registry = Registry::built_in();
    match Config::parse("a.json", text, &registry) {
        Ok(config) => the_effective_configuration_is_the_same(&config, &registry),
        Err(problems) => problems_are_places_in_the_text(&problems, text),
    }
    let mut config = Config::without_listeners();
    if config.add_listener(text, &registry).is_ok() {
        the_effective_configuration_is_the_same(&config, &registry);
    }
    printed_and_read_again_it_is_the_same::<Listen>(text);
    printed_and_read_again_it_is_the_same::<Size>(text);
    printed_and_read_again_it_is_the_same::<Span>(text);
}

fn the_effective_configuration_is_the_same(config: &Config, registry: &Registry) {
    let printed = config.to_json();
    let again = Config::parse("effective.json", &printed, registry);
    assert_eq!(again.as_ref(), Ok(config), "{printed}");
}

fn problems_are_places_in_the_text(problems: &Problems, text: &str) {
    let lines: Vec<_> = text.split('\n').collect();
    let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert!((1..=100).contains(&places.len()) && places.is_sorted(), "{problems}");
    for (line, column) in places {
        let length = lines.get(line - 1).map(|line| line.chars().count());
        assert!(length.is_some_and(|length| (1..=length + 1).contains(&column)), "{problems}");
    }
    let printed = problems.to_string();
    assert!(!printed.contains(|char: char| char.is_control() && char != '\n'), "{printed:?}");
    assert!(printed.lines().count() <= problems.iter().count() + 1, "each problem is one line: {printed}");
}

fn printed_and_read_again_it_is_the_same<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        assert_eq!(printed.parse().ok(), Some(value), "{printed:?}");
    }
}
