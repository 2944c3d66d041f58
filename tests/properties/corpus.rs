//! Every seed of the corpus holds, on the stable compiler too.

use std::fs;
use std::path::Path;

use crate::properties::TARGETS;

#[test]
fn every_property_holds_for_every_seed_of_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/properties/corpus");
    for (target, property) in TARGETS {
        let seeds = fs::read_dir(corpus.join(target)).unwrap().map(|seed| seed.unwrap().path());
        let mut seeds: Vec<_> = seeds.collect();
        assert!(!seeds.is_empty(), "{target} has no seeds");
        seeds.sort();
        for seed in seeds {
            eprintln!("{}", seed.display()); // Shown if the property fails.
            property(&fs::read(&seed).unwrap());
        }
    }
}
