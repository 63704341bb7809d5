//! Ids in columns, which need not be owned.

use super::id::{ExternalId, Key};

/// An id in a column of ids: an integer, a text or an [`ExternalId`]. None is copied but the first
/// of its kind.
pub trait ColumnId: sealed::Keyed {}

mod sealed {
    use super::{ExternalId, Key};

    pub trait Keyed {
        #[doc(hidden)]
        fn key(&self) -> Key<'_>;
    }

    macro_rules! integers {
        ($($integer:ty),*) => {$(
            impl Keyed for $integer {
                fn key(&self) -> Key<'_> {
                    Key::Integer(i64::from(*self))
                }
            }
            impl super::ColumnId for $integer {}
        )*};
    }

    integers!(i16, i32, i64, u8, u16, u32);

    macro_rules! texts {
        ($($text:ty),*) => {$(
            impl Keyed for $text {
                fn key(&self) -> Key<'_> {
                    Key::of_text(self)
                }
            }
            impl super::ColumnId for $text {}
        )*};
    }

    texts!(&str, String, Box<str>);

    impl Keyed for ExternalId {
        fn key(&self) -> Key<'_> {
            Key::of(self)
        }
    }
    impl super::ColumnId for ExternalId {}
}
