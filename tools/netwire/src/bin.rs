//! The program `netwire`.
fn main() -> std::process::ExitCode {
    netwire::main(std::env::args_os().collect())
}
