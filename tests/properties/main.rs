//! Properties: what holds for every input, tried on inputs chosen by chance, and on those that fuzzing has found worth
//! keeping.
//!
//! The same inputs come in every run. `PROPTEST_RNG_SEED` chooses others, and `PROPTEST_CASES` how many; see
//! `docs/design.md` for how to fuzz.

mod by_chance;
mod corpus;
mod properties;
