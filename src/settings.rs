//! Settings: their defaults with some of them [replaced](overridden) by what JSON says.
//!
//! `model::visit_model` gives the defaults of a model by its name.

// Structs of settings by `settings!`: their defaults, `new`, and a `with_…` for each.

pub(crate) mod overrides;

pub use overrides::{merge, overridden};

/// A method `with_…` for each of some fields.
macro_rules! setters {
    ($($field:ident: $type:ty, $with:ident;)*) => {
        $(
            #[doc = concat!("The same with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $with(self, $field: $type) -> Self {
                Self { $field, ..self }
            }
        )*
    };
}

/// A struct of settings with a default for each, but for those that are `required`, which `new`
/// takes.
///
/// ```ignore
/// settings! {
///     /// How large a garden is.
///     #[derive(Copy)]
///     pub struct Garden {
///         required {
///             /// Beds.
///             pub beds: usize,
///         }
///         /// Trees.
///         pub trees: usize = 3, with_trees;
///     }
/// }
/// assert_eq!(Garden::new(2).with_trees(4).trees, 4);
/// ```
///
/// What is read back has to have every setting but those that are an `Option`, unless the struct
/// says `#[serde(default)]`, which needs that none is required.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            required { $($(#[$required_meta:meta])* pub $required:ident: $required_type:ty,)* }
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty = $default:expr, $with:ident;)*
        }
    ) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        $(#[$meta])*
        pub struct $name {
            $($(#[$required_meta])* pub $required: $required_type,)*
            $(
                $(#[$field_meta])*
                #[doc = ""]
                #[doc = concat!("Unless set: `", stringify!($default), "`.")]
                pub $field: $type,
            )*
        }

        impl $name {
            /// The defaults.
            pub fn new($($required: $required_type),*) -> Self {
                Self {
                    $($required,)*
                    $($field: $default,)*
                }
            }

            $crate::settings::setters! { $($field: $type, $with;)* }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::settings::settings! {
            $(#[$meta])*
            pub struct $name { required {} $($fields)* }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

pub(crate) use {setters, settings};
