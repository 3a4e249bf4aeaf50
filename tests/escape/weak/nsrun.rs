//! The program `nsrun` as tests of escapes need it: `VENEER_WEAK` names the defences it leaves out.
use runtime as _;

fn main() -> std::process::ExitCode {
    nsrun::main(std::env::args_os().collect())
}
