//! Numbers that tell data from other data.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::user::User;

/// FNV-1a (Fowler, Noll & Vo), so that files keep their meaning from build to build.
pub(super) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn add_history(&mut self, history: User<'_>) {
        // What is fingerprinted has millions of them: one checksum each for what FNV takes a
        // multiplication a byte for.
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(bytemuck::cast_slice(history.items()));
        checksum.update(bytemuck::cast_slice(history.times()));
        checksum.update(bytemuck::cast_slice(history.features()));
        checksum.update(bytemuck::cast_slice(history.events()));
        self.add(&(history.items().len() as u64).to_le_bytes());
        self.add(&checksum.finalize().to_le_bytes());
    }

    pub(super) fn finish(self) -> u64 {
        self.0
    }
}
