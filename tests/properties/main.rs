//! Properties that hold for every input, tried on random inputs, and on those that fuzzing has found worth keeping.
//!
//! Every run tries the same inputs. `PROPTEST_RNG_SEED` chooses others, and `PROPTEST_CASES` their number; see
//! `docs/design.md` for how to fuzz.

mod by_chance;
mod corpus;
mod properties;
