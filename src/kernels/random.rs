//! What chance gives a place under a seed, wherever it is asked.

/// 64 bits, of which the upper ones are the better, by SplitMix64's finalizer (Steele, Lea & Flood, 2014)
/// over a Weyl sequence, without its last step, which changes the lower ones alone.
#[inline(always)]
pub(super) fn bits(seed: u64, place: u64) -> u64 {
    let mut bits = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// A number from 0 up to 1, in steps of 2^-13: as fine as what half precision lacks of single.
#[inline(always)]
pub(super) fn chance(seed: u64, place: u64) -> f32 {
    (bits(seed, place) >> 51) as f32 * (1.0 / 8192.0)
}

/// The same for the places from 0 on.
pub(crate) fn chances(seed: u64, out: &mut [f32]) {
    for (place, out) in (0..).zip(out.iter_mut()) {
        *out = chance(seed, place);
    }
}
