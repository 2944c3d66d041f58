#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| reactor_fuzz::hold("proxy", input));
