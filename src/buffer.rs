//! Arrays that lie in memory or in a mapped file.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// An array of its own, or a part of a mapped file.
#[derive(Debug, Clone)]
pub(crate) enum Buffer<T: Pod> {
    Own(Vec<T>),
    Mapped {
        map: Arc<Mmap>,
        /// Where the array lies, in bytes; whole and aligned values.
        bytes: Range<usize>,
    },
}

impl<T: Pod> Buffer<T> {
    /// A part of a mapped file; `None` when the values are not whole, not aligned or not in it.
    pub(crate) fn mapped(map: &Arc<Mmap>, bytes: Range<usize>) -> Option<Self> {
        let part = map.get(bytes.clone())?;
        bytemuck::try_cast_slice::<u8, T>(part).ok()?;
        Some(Self::Mapped {
            map: Arc::clone(map),
            bytes,
        })
    }

    /// The array, copied into memory first where it is in a file.
    pub(crate) fn make_own(&mut self) -> &mut Vec<T> {
        if let Self::Mapped { .. } = self {
            *self = Self::Own(self.to_vec());
        }
        match self {
            Self::Own(values) => values,
            Self::Mapped { .. } => unreachable!("it was made owned above"),
        }
    }
}

/// What the places of arrays in a file are multiples of, so that a map of it holds them aligned.
pub(crate) const ALIGNMENT: usize = 64;

/// Where arrays of so many bytes lie in a file of `size` bytes, one after another from `start` on.
///
/// # Errors
/// Why they can't be all that is in it.
pub(crate) fn sections<const N: usize>(
    lengths: [u64; N],
    start: usize,
    size: usize,
) -> Result<[Range<usize>; N], &'static str> {
    let mut ranges = [const { 0..0 }; N];
    let mut end = start as u64;
    for (range, length) in ranges.iter_mut().zip(lengths) {
        let next = end
            .checked_add(length)
            .and_then(|end| end.checked_next_multiple_of(ALIGNMENT as u64))
            .filter(|&next| next <= size as u64)
            .ok_or("it is cut short")?;
        *range = end as usize..(end + length) as usize;
        end = next;
    }
    if end != size as u64 {
        return Err("it is longer than its header says");
    }
    Ok(ranges)
}

impl<T: Pod> Default for Buffer<T> {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl<T: Pod + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Own(values)
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        match self {
            Self::Own(values) => values,
            Self::Mapped { map, bytes } => bytemuck::cast_slice(&map[bytes.clone()]),
        }
    }
}
