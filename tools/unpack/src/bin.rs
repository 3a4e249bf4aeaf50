//! The program `unpack`.
fn main() -> std::process::ExitCode {
    unpack::main(std::env::args_os().collect())
}
