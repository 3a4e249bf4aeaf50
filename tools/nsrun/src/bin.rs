//! The program `nsrun`.
fn main() -> std::process::ExitCode {
    nsrun::main(std::env::args_os().collect())
}
