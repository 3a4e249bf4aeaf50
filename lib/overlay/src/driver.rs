//! Which driver serves an overlay: an ordered list of preferences, the first that works, and why the others did not.

use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::kernel;
use crate::mounted::Mounted;
use crate::options::Options;
use crate::server::{self, Service};
use std::fmt;
use std::str::FromStr;

/// One way to have an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A server of ours in user space.
    Fuse,
    /// The kernel's own overlay.
    Kernel,
}

/// What came of asking the drivers in turn.
#[derive(Debug)]
pub struct Choice {
    /// The overlay, by the driver that serves it.
    pub mounted: Mounted,
    /// Those asked before it, and why they did not.
    pub passed_over: Vec<(Driver, Error)>,
}

/// No driver serves: each that was asked and why not, or the one thing that is wrong with the request.
#[derive(Debug)]
pub enum NoDriver {
    /// The request cannot be served by any.
    Request(Error),
    /// Each was asked; never empty.
    Each(Vec<(Driver, Error)>),
}

impl Driver {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fuse => "fuse",
            Self::Kernel => "kernel",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Driver {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "fuse" => Ok(Self::Fuse),
            "kernel" => Ok(Self::Kernel),
            _ => {
                Err(Error::new(Kind::Request, "driver", name).because("unknown").hint("there are `fuse` and `kernel`"))
            }
        }
    }
}

/// Reads an ordered list such as `kernel,fuse`.
pub fn parse_preferences(list: &str) -> Result<Vec<Driver>> {
    let mut order: Vec<Driver> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let driver = name.parse()?;
        if !order.contains(&driver) {
            order.push(driver);
        }
    }
    if order.is_empty() {
        return Err(Error::new(Kind::Request, "driver", "").because("none named").hint("as in --driver kernel,fuse"));
    }
    Ok(order)
}

/// Mounts with the first of `order` that works.
pub fn mount(order: &[Driver], folders: &Folders, options: &Options, service: &Service) -> Result<Choice, NoDriver> {
    let mut passed_over = Vec::new();
    for &driver in order {
        let result = match driver {
            Driver::Kernel => kernel::mount(folders, options).map(|()| None),
            Driver::Fuse => server::start(folders, options, service).map(Some),
        };
        match result {
            Ok(server) => {
                let mounted = Mounted::new(folders.target.path.clone(), driver, server);
                return Ok(Choice { mounted, passed_over });
            }
            Err(error) if error.kind == Kind::Request => return Err(NoDriver::Request(error)),
            Err(error) => passed_over.push((driver, error)),
        }
    }
    Err(NoDriver::Each(passed_over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_an_ordered_list() {
        assert_eq!(parse_preferences("kernel, fuse,kernel").unwrap(), [Driver::Kernel, Driver::Fuse]);
        assert_eq!(parse_preferences("aufs").unwrap_err().to_string(), "driver aufs: unknown");
        assert_eq!(parse_preferences(",").unwrap_err().to_string(), "driver: none named");
    }
}
