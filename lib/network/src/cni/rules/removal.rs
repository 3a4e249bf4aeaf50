//! Taking elements out of a table, and the table itself with the last of them.

use super::super::call::failed;
use crate::error::Kind;
use crate::nft::message::{self, Set};
use crate::nft::transaction::Rules;
use crate::socket::Request;
use spec::cni::Failure;

/// A table of ours.
pub(super) struct Removal {
    /// What is being done, for errors.
    pub(super) op: &'static str,
    pub(super) table: &'static str,
    /// The sets that must be empty before the table goes.
    pub(super) sets: &'static [&'static [Set]],
    /// The same request about the table's family; unchanged it is inet.
    pub(super) family: fn(Request) -> Request,
}

impl Removal {
    /// Takes out every element of `sets` whose comment is `meant`.
    pub(super) fn take_out(&self, sets: &[Set], subject: &str, meant: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let mut rules = match Rules::open(self.op, subject) {
            Err(e) if e.kind == Kind::Unsupported => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let dump = |set: &Set| (self.family)(message::dump_elements(self.table, set.name));
        let done = rules.retry(|rules| {
            let generation = rules.generation()?;
            let (mut gone, mut left) = (Vec::new(), 0);
            for set in sets {
                for element in rules.list(&dump(set), set.name)? {
                    if meant(&element.comment) { gone.push(element) } else { left += 1 }
                }
            }
            if gone.is_empty() {
                return Ok(Ok(()));
            }
            let mut others = self.sets.iter().copied().flatten().filter(|set| !sets.contains(set));
            let is_last = left == 0
                && others.try_fold(true, |none, set| Ok(none && rules.list(&dump(set), set.name)?.is_empty()))?;
            let changes = match is_last {
                true => vec![message::delete_table(self.table)],
                false => message::delete_elements(self.table, &gone),
            };
            rules.send(Some(generation), changes.into_iter().map(self.family).collect())
        });
        done.map_err(failed)
    }
}
