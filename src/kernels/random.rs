//! Random bits by seed and place, the same wherever they are drawn.

/// The step from place to place: 2^64 over the golden ratio.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
pub(crate) const FIRST_FACTOR: u64 = 0xbf58_476d_1ce4_e5b9;
pub(crate) const SECOND_FACTOR: u64 = 0x94d0_49bb_1331_11eb;

/// 64 bits, of which the upper ones are the better, by SplitMix64's finalizer (Steele, Lea & Flood,
/// 2014) over a Weyl sequence, without its last step, which changes the lower ones alone.
#[inline(always)]
pub(crate) fn bits(seed: u64, place: u64) -> u64 {
    let mut bits = seed.wrapping_add(place.wrapping_mul(STEP));
    bits = (bits ^ (bits >> 30)).wrapping_mul(FIRST_FACTOR);
    (bits ^ (bits >> 27)).wrapping_mul(SECOND_FACTOR)
}

super::for_each_instruction_set! {
    /// The upper half of the bits of the places from `first` on, as whole numbers from -2^31 up.
    pub(crate) fn upper_bits(seed: u64, first: u64, out: &mut [i32]) {
        for (place, out) in (first..).zip(out.iter_mut()) {
            *out = ((bits(seed, place) >> 32) as u32 ^ 0x8000_0000) as i32;
        }
    }
}
