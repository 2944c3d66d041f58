//! Names and sizes from the network.

use crate::bug::Bug;
use crate::bug::Catcher::{Seeds, Unit};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-slash-in-a-name",
        cases: &[62],
        does: "A name may lead into another directory (CVE-2019-6111 of scp, croc#593)",
        file: "src/protocol/file/name.rs",
        function: "offence",
        right: r#"Some("a slash")"#,
        wrong: "None",
        caught_by: Unit("protocol::file::name::tests::a_name_is_one_plain_path_component"),
    },
    Bug {
        name: "dot-dot-is-a-name",
        cases: &[62, 67],
        does: "A name may be `..`, or hidden",
        file: "src/protocol/file/name.rs",
        function: "offence",
        right: "index == 0",
        wrong: "false",
        caught_by: Unit("protocol::file::name::tests::a_name_is_one_plain_path_component"),
    },
    Bug {
        name: "any-name-will-do",
        cases: &[62, 65],
        does: "It does not check the characters of a name at all",
        file: "src/protocol/file/name.rs",
        function: "parse",
        right: "offence(index, char)",
        wrong: "None::<&str>",
        caught_by: Seeds,
    },
    Bug {
        name: "a-size-as-parse-takes-it",
        cases: &[71],
        does: "It accepts `+5` as a size, and text that is not a number as 0, as `atoi(3)` does",
        file: "src/protocol/file/name.rs",
        function: "parse_size",
        right: r#"for (index, &byte) in field.text.iter().enumerate() {
        if index == SIZE_DIGITS_MAX {
            return Err(refuse(BAD_SIZE, format_args!("the size is longer than {SIZE_DIGITS_MAX} digits")));
        }
        if !byte.is_ascii_digit() {
            return Err(refuse(
                BAD_SIZE,
                format_args!("the size has something other than a digit at byte {}", index + 1),
            ));
        }
        size = size * 10 + u64::from(byte - b'0');
    }"#,
        wrong: "size = str::from_utf8(field.text).unwrap_or_default().parse().unwrap_or(0);",
        caught_by: Unit("protocol::file::name::tests::a_size_is_1_to_19_digits_and_nothing_else"),
    },
    Bug {
        name: "a-size-is-judged-after-its-ok",
        cases: &[71],
        does: "It says `OK` to a file that exceeds `max_size`",
        file: "src/protocol/file/sized.rs",
        function: "take",
        right: "store.ensure_allowed(size)?;",
        wrong: "",
        caught_by: Unit(
            "protocol::file::sized::tests::what_is_refused_gets_an_error_instead_of_its_ok_and_creates_nothing",
        ),
    },
];
