//! The program `seqrec`; see `seqrec --help`.

use std::process::ExitCode;

/// Training gives large buffers back at every step, which glibc's allocator gives on to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    seqrec_cli::main()
}
