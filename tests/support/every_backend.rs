//! Every test of a list on every backend that is built.

macro_rules! on_backend {
    ($name:ident, $backend:ty, [$($test:ident),* $(,)?]) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test::<$backend>();
                }
            )*
        }
    };
}

/// wgpu's backend without burn's fusing of operations, whether that is on or not.
#[cfg(feature = "wgpu")]
pub type UnfusedWgpu = seqrec::burn::backend::wgpu::CubeBackend<
    seqrec::burn::backend::wgpu::WgpuRuntime,
    f32,
    i32,
    u32,
>;

macro_rules! on_every_backend {
    ($tests:tt) => {
        on_backend!(flex, seqrec::backend::Flex, $tests);
        #[cfg(feature = "ndarray")]
        on_backend!(ndarray, seqrec::backend::NdArray, $tests);
        #[cfg(feature = "cuda")]
        on_backend!(cuda, seqrec::backend::Cuda, $tests);
        #[cfg(feature = "wgpu")]
        on_backend!(wgpu, crate::every_backend::UnfusedWgpu, $tests);
        // As burn is built: fused by its default features.
        #[cfg(feature = "wgpu")]
        on_backend!(fused_wgpu, seqrec::backend::Wgpu, $tests);
    };
}
