//! The binary: the allocator, and the exit status of what `cli` did.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    hotspare::cli::main()
}
