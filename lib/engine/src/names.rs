//! Names of containers: docker's rule for those given, and an adjective and a craft for those made up.

use crate::{Error, Kind, Result};

const ADJECTIVES: [&str; 32] = [
    "amber", "brave", "brisk", "calm", "clear", "cosy", "deft", "eager", "fair", "fine", "fond", "frank", "glad",
    "hardy", "keen", "kind", "light", "lively", "lucid", "mellow", "merry", "neat", "noble", "plain", "proud", "quick",
    "quiet", "sharp", "steady", "sunny", "tidy", "warm",
];
const CRAFTS: [&str; 32] = [
    "baker", "binder", "brewer", "builder", "carver", "cooper", "cutler", "dyer", "farmer", "fletcher", "founder",
    "gilder", "glazier", "joiner", "luthier", "mason", "miller", "miner", "painter", "plumber", "potter", "printer",
    "sailor", "sawyer", "smith", "tailor", "tanner", "thatcher", "turner", "veneerer", "weaver", "wright",
];

/// A name made from an id's digits; `attempt` makes it another one where it is taken.
pub fn make_up(id: &str, attempt: usize) -> String {
    let number = |at: usize| usize::from_str_radix(id.get(at..at + 4).unwrap_or("0"), 16).unwrap_or(0);
    let (adjective, craft) = (number(0) % ADJECTIVES.len(), number(4) % CRAFTS.len());
    let name = format!("{}_{}", ADJECTIVES[adjective], CRAFTS[craft]);
    if attempt == 0 { name } else { format!("{name}{}", number(8 + attempt) % 1000) }
}

/// Whether docker would take `name`: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn check(name: &str) -> Result<()> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if first && rest && name.len() >= 2 {
        return Ok(());
    }
    Err(Error::new(Kind::Request, "", invalid(name)).hint("at least two of them, a letter or digit first"))
}

/// docker's words for a name that is none.
pub fn invalid(name: &str) -> String {
    format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
}

/// docker's words for a name that the container `id` has.
pub fn taken(name: &str, id: &str) -> String {
    format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) \
         that container to be able to reuse that name."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_valid_and_differ_by_attempt() {
        let id = "0123456789abcdef0123456789abcdef";
        let name = make_up(id, 0);
        check(&name).unwrap();
        assert_ne!(name, make_up(id, 1));
        assert!(check("-x").is_err() && check("a").is_err() && check("a/b").is_err());
    }
}
