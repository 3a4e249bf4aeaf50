//! What an interface inside is called where nobody says: its network's prefix and the lowest number that is free in the
//! container's namespace. So several networks may have one prefix, as most have, and the order in which a container is
//! attached to them is the order of its interfaces.
//!
//! An attachment that is repeated keeps its name: the book knows it, and where the book was lost the end outside does, whose
//! name follows from the one inside. What has been detached from the same namespace a moment ago has its name for some
//! milliseconds still (see `attach/leave.rs`); whoever would get a higher number for that waits.

use crate::bridge;
use crate::bridge::veth::outer_name;
use crate::definition::Definition;
use crate::error::Result;
use crate::lease::Book;
use crate::socket::Socket;
use crate::state::State;

/// What comes before the number where a network says nothing else.
pub const PREFIX: &str = "eth";

/// A name that can be had now.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) name: String,
    /// The network of an interface that has a better one, and is just leaving.
    pub(crate) better: Option<String>,
}

/// The name of `container`'s interface on the network in the namespace with number `inside`, of which `inner` is a socket;
/// `outer` is one of the caller's.
pub(crate) fn choose(
    state: &State,
    definition: &Definition,
    book: &Book,
    container: &str,
    inside: u64,
    [outer, inner]: [&mut Socket; 2],
) -> Result<Choice> {
    let prefix = definition.interface_prefix();
    let own = book.entries().filter(|lease| lease.container == container && lease.namespace.inode == inside);
    if let Some(known) = lowest(prefix, own.map(|lease| lease.interface.as_str())) {
        return Ok(Choice { name: known.to_owned(), better: None });
    }
    let mut better = None;
    let mut number = 0_u32;
    loop {
        let name = format!("{prefix}{number}");
        let Some(link) = bridge::find(inner, &name)? else { return Ok(Choice { name, better }) };
        if definition.driver.has_outer_end()
            && bridge::find(outer, &outer_name(&definition.id, container, &name))?.is_some()
        {
            return Ok(Choice { name, better });
        }
        // Who leaves was cut off first.
        if !link.carrier && better.is_none() {
            better = left(state, inside, &name)?;
        }
        number += 1;
    }
}

/// The network that the interface `name` in the namespace with number `inside` is leaving.
fn left(state: &State, inside: u64, name: &str) -> Result<Option<String>> {
    let leaves = |network: &String| {
        let book = Book::load(state, network);
        book.is_ok_and(|book| book.leaving().any(|l| l.namespace.inode == inside && l.interface == name))
    };
    Ok(state.list()?.into_iter().find(leaves))
}

/// The first name that no interface has in the namespace that `inner` is a socket of.
pub(crate) fn free(prefix: &str, inner: &mut Socket) -> Result<String> {
    let mut number = 0_u32;
    loop {
        let name = format!("{prefix}{number}");
        if bridge::find(inner, &name)?.is_none() {
            return Ok(name);
        }
        number += 1;
    }
}

/// The one of `names` that is `prefix` and the lowest number.
pub(crate) fn lowest<'a>(prefix: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let numbered = names.filter_map(|name| Some((number(prefix, name)?, name)));
    numbered.min().map(|(_, name)| name)
}

fn number(prefix: &str, name: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::lowest;

    #[test]
    fn a_name_is_a_prefix_and_a_number() {
        let of = |names: &[&'static str]| lowest("net", names.iter().copied());
        assert_eq!(of(&["net10", "net9", "eth0", "net"]), Some("net9"));
        assert_eq!(of(&["eth0", "net", "net0~7", "netx", "net+1", "lan0", "net99999999999"]), None);
    }
}
