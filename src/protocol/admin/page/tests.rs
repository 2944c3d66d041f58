use super::*;

/// SHA-256 (FIPS 180-4) in Base64 (RFC 4648), by arithmetic alone: the constants are roots of primes.
fn hash(text: &str) -> String {
    let primes: Vec<u64> =
        (2_u64..).filter(|number| (2..*number).all(|less| !number.is_multiple_of(less))).take(64).collect();
    let fraction = |root: f64| (root.fract() * 2_f64.powi(32)) as u32;
    let k: Vec<u32> = primes.iter().map(|prime| fraction((*prime as f64).cbrt())).collect();
    let mut state: Vec<u32> = primes[..8].iter().map(|prime| fraction((*prime as f64).sqrt())).collect();
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0x80);
    bytes.resize((bytes.len() + 8).next_multiple_of(64) - 8, 0);
    bytes.extend_from_slice(&(8 * text.len() as u64).to_be_bytes());
    for block in bytes.chunks_exact(64) {
        let mut w: Vec<u32> = block.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for t in 16..64 {
            let (early, late) = (w[t - 15], w[t - 2]);
            let small = early.rotate_right(7) ^ early.rotate_right(18) ^ early >> 3;
            let large = late.rotate_right(17) ^ late.rotate_right(19) ^ late >> 10;
            w.push(w[t - 16].wrapping_add(small).wrapping_add(w[t - 7]).wrapping_add(large));
        }
        let mut v = state.clone();
        for t in 0..64 {
            let (a, e) = (v[0], v[4]);
            let choice = e & v[5] ^ !e & v[6];
            let majority = a & v[1] ^ a & v[2] ^ v[1] & v[2];
            let one = [e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25), choice, k[t], w[t]];
            let one = one.into_iter().fold(v[7], u32::wrapping_add);
            let two = (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add(majority);
            v.rotate_right(1);
            v[0] = one.wrapping_add(two);
            v[4] = v[4].wrapping_add(one);
        }
        state.iter_mut().zip(v).for_each(|(word, more)| *word = word.wrapping_add(more));
    }
    base64(&state.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().chain([&0; 2]).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |place: usize| char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
        (0..4).map(|place| if place > three.len() { '=' } else { digit(place) }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn the_hash_is_the_one_of_the_standard() {
    assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "FIPS 180-4, the example of one block");
}

#[test]
fn the_policy_permits_the_script_and_the_style_of_the_page_alone() {
    assert!(POLICY.contains(&format!("script-src 'sha256-{}';", hash(SCRIPT))), "script: {}", hash(SCRIPT));
    assert!(POLICY.contains(&format!("style-src 'sha256-{}';", hash(STYLE))), "style: {}", hash(STYLE));
    assert!(POLICY.starts_with("Content-Security-Policy: default-src 'none';") && !POLICY.contains("unsafe"));
}

#[test]
fn the_page_has_all_its_parts_and_loads_none() {
    let page = String::from_utf8(response().body).unwrap();
    assert!(!page.contains("{{") && page.contains(SCRIPT) && page.contains(STYLE));
    for outside in
        [" src=\"", "url(", "@import", "https:", "eval(", "innerHTML", "outerHTML", "insertAdjacentHTML", " style=\""]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    let links: Vec<_> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links, ["data:,"]);
}
