//! Edits that several targets make to whole files.

/// Overwrites single bytes of a file: of each three bytes of `edits`, two say where and one says
/// what.
pub fn overwrite_bytes(file: &mut [u8], edits: &[u8]) {
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % file.len();
        file[place] = edit[2];
    }
}
