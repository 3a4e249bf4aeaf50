//! A user namespace of our own, for those who are not root.

use cli::Failure;

/// Enters a fresh user and mount namespace in which this user is root.
pub(crate) fn enter() -> Result<(), Failure> {
    Err(Failure::new("without root: not there yet"))
}
