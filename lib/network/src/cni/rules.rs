//! Packet rules of attachments: masquerading and hardware addresses that cannot be forged. Still to come; refused by key.

use super::call::Call;
use super::configuration::unsupported;
use spec::cni::{Attachment, Failure, Success};

pub(super) fn forget(_call: &Call<'_>) -> Result<(), Failure> {
    Ok(())
}

pub(super) fn forget_all_but(_network: &str, _valid: &[Attachment]) -> Result<(), Failure> {
    Ok(())
}

pub(super) fn pin_mac(_call: &Call<'_>, _outer: &str, _mac: &str) -> Result<(), Failure> {
    Err(unsupported("macspoofchk", "true"))
}

pub(super) fn masquerade(_call: &Call<'_>, _result: &Success) -> Result<(), Failure> {
    Err(unsupported("ipMasq", "true"))
}

pub(super) fn expect_masquerade(_call: &Call<'_>, _on: bool, _result: &Success) -> Result<(), Failure> {
    Ok(())
}
