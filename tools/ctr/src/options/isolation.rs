//! Options of `ctr run` and `ctr create` about namespaces and rights.

use cli::failure::Failure;
use engine::request::Request;
use engine::request::isolation::Isolation;

/// Which namespaces it has, and what it may do.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Add a capability
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,
    /// no-new-privileges
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
}

impl Options {
    /// Writes them into `request`, with docker's words for what is wrong.
    pub(crate) fn read(&self, request: &mut Request) -> Result<(), Failure> {
        for option in &self.security_opt {
            match option.as_str() {
                "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => {
                    request.no_new_privileges = true;
                }
                other => {
                    return Err(Failure::new(format!("--security-opt {other}: not known")).hint("no-new-privileges is"));
                }
            }
        }
        request.cap_add.clone_from(&self.cap_add);
        request.cap_drop.clone_from(&self.cap_drop);
        request.isolation = Isolation {};
        Ok(())
    }
}
