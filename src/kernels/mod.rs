//! The arithmetic of the CPU backends: plain slices in, plain slices out.
//!
//! Elementwise loops are written once and compiled for several instruction sets; the best one that
//! the machine has is chosen at run time; matrix products do the same through `pulp`. Work is
//! divided into pieces by size alone, never by the number of threads, so that results are the same
//! bits on any number of them.
#![allow(unsafe_code)]

pub(crate) mod activation;
pub(crate) mod adam;
pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod gru;
#[cfg(feature = "flex")]
pub(crate) mod half;
pub(crate) mod inner_product;
pub(crate) mod layer_norm;
pub(crate) mod least_squares;
pub(crate) mod linear;
pub(crate) mod matmul;
pub(crate) mod pairwise;
pub(crate) mod panels;
pub(crate) mod precision;
pub(crate) mod random;
pub(crate) mod rows;
pub(crate) mod scoring;
pub(crate) mod softmax;
pub(crate) mod sparse;
pub(crate) mod top_k;

/// Compiles a function for the plain target, AVX2 and AVX-512, and picks one at each call.
///
/// The body must be safe code; it is inlined into each variant, which lets the compiler use that
/// variant's instructions for it.
macro_rules! for_each_instruction_set {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    body($($argument),*)
                }

                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    body($($argument),*)
                }

                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the machine has every feature that `avx512` is compiled for.
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the machine has every feature that `avx2` is compiled for.
                    return unsafe { avx2($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}
pub(crate) use for_each_instruction_set;
