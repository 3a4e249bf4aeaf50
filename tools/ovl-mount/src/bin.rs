//! The program `ovl-mount`.
fn main() -> std::process::ExitCode {
    ovl_mount::main(std::env::args_os().collect())
}
