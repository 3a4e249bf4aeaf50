//! Whose a network namespace is: the containers that are attached in it.
//!
//! Told by what attach wrote down: leases, records of users' networks, records of what CNI plugins carry
//! ([`crate::cni::runner`]). Never by what stands inside: addresses and hardware addresses there are the container's own to
//! change, and with a neighbour's it would get that one's ports opened or closed.
//!
//! A namespace is known by its number, which the kernel gives again when the namespace is gone; so whoever died without a
//! word is looked for first. Of a namespace that is gone itself only the path is left: a record that has the same path, and
//! whose own namespace is there no more, says whose it was.

use crate::error::{Error, Kind, Result};
use crate::lease::Book;
use crate::namespace::{Identity, Namespace, Reference};
use crate::rootless;
use crate::socket::Socket;
use crate::state::State;

const FIND: &str = "find the container of network namespace";
const DISAGREE: &str = "give one of --id and --netns alone, or both of the same container";

/// A container on a network, as records know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The network.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// Its network namespace.
    pub namespace: Identity,
}

/// Who is attached in a namespace.
#[derive(Debug)]
pub struct Occupancy {
    /// The namespace as it was named.
    namespace: String,
    /// The network that was asked for.
    network: Option<String>,
    /// Why it cannot be opened, where it is gone.
    gone: Option<Error>,
    here: Vec<Occupant>,
    elsewhere: Vec<Occupant>,
}

impl Occupancy {
    /// Who is attached in `namespace`: to `network`, or to any.
    pub fn of(state: &State, namespace: &Reference, network: Option<&str>) -> Result<Self> {
        Self::among(namespace, network, |number| recorded(state, network, number))
    }

    /// The same by other records: those of `network` that `records` gives, told the namespace's number where it is there.
    pub(crate) fn among(
        namespace: &Reference,
        network: Option<&str>,
        records: impl FnOnce(Option<u64>) -> Result<Vec<Occupant>>,
    ) -> Result<Self> {
        let (number, gone) = match Namespace::open(namespace) {
            Ok(found) => (Some(found.identity().inode), None),
            Err(e) if e.kind == Kind::NotFound => (None, Some(e)),
            Err(e) => return Err(e),
        };
        if number == Some(Namespace::own()?.identity().inode) {
            return Err(Error::new(Kind::Invalid, FIND, namespace)
                .because("this is the caller's own network namespace")
                .hint("give the namespace of the container, or its id: --id"));
        }
        let path = namespace.place();
        let is_it = |known: &Identity| match number {
            Some(number) => known.inode == number,
            None => known.place() == path && !known.is_there(),
        };
        let (here, elsewhere) = records(number)?.into_iter().partition(|occupant| is_it(&occupant.namespace));
        Ok(Self { namespace: namespace.to_string(), network: network.map(str::to_owned), gone, here, elsewhere })
    }

    /// The containers that are attached there, or were before the namespace went.
    pub fn containers(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for occupant in &self.here {
            if !all.contains(&occupant.container.as_str()) {
                all.push(&occupant.container);
            }
        }
        all
    }

    /// All containers that are attached there now.
    pub fn residents(self) -> Result<Vec<String>> {
        let all = self.containers().into_iter().map(str::to_owned).collect();
        self.gone.map_or(Ok(all), Err)
    }

    /// The one container that is attached there now; the one called `id`, where that is told too.
    pub fn resident(self, id: Option<&str>) -> Result<String> {
        let found = self.container(id)?.map(str::to_owned);
        match (self.gone, found) {
            (Some(gone), _) => Err(gone),
            (None, Some(found)) => Ok(found),
            (None, None) => {
                let network = self.network.as_deref().unwrap_or("NAME");
                let attach = format!("netwire attach --network {network} --netns {} --id ID", self.namespace);
                let to = self.network.as_ref().map_or_else(String::new, |name| format!(" to network {name}"));
                Err(Error::new(Kind::NotFound, FIND, &self.namespace)
                    .because(format!("nothing is attached there{to}"))
                    .hint(format!("{attach} comes first")))
            }
        }
    }

    /// The one container that is attached there or was before the namespace went; the one called `id`, where that is told
    /// too, unless records say that it is somewhere else. Nobody is fine, and then a line says so: who takes something away
    /// may come twice, or late.
    pub fn former(&self, id: Option<&str>) -> Result<std::result::Result<String, String>> {
        if let Some(found) = self.container(id)?.or(id) {
            return Ok(Ok(found.to_owned()));
        }
        Ok(Err(match &self.gone {
            Some(gone) => format!("{gone}, and no record says whose it was"),
            None => {
                let to = self.network.as_ref().map_or_else(String::new, |name| format!(" to network {name}"));
                format!("nothing is attached{to} in network namespace {}", self.namespace)
            }
        }))
    }

    fn container<'a>(&'a self, id: Option<&'a str>) -> Result<Option<&'a str>> {
        let error = |why: String| Error::new(Kind::Invalid, FIND, &self.namespace).because(why);
        let all = self.containers();
        match (id, all.as_slice()) {
            (Some(id), []) => {
                let is_there = |other: &&Occupant| other.container == id && other.namespace.is_there();
                match self.elsewhere.iter().find(is_there) {
                    Some(other) => {
                        let path = other.namespace.path.display();
                        Err(error(format!("{id} is not attached there, but in {path}")).hint(DISAGREE))
                    }
                    None => Ok(None),
                }
            }
            (Some(id), all) if all.contains(&id) => Ok(Some(id)),
            (Some(id), all) => {
                Err(error(format!("{id} is not attached there, but {}", all.join(" and "))).hint(DISAGREE))
            }
            (None, []) => Ok(None),
            (None, [one]) => Ok(Some(*one)),
            (None, _) => {
                let on = |occupant: &Occupant| format!("{} on network {}", occupant.container, occupant.network);
                let each: Vec<String> = self.here.iter().map(on).collect();
                Err(error(format!("several containers are attached there: {}", each.join(", ")))
                    .hint("say which one: --id"))
            }
        }
    }
}

/// Who is attached to `network`, or to any, by leases and by records of users' networks. Whoever died without a word is left
/// out where one of them had the namespace with this number.
fn recorded(state: &State, network: Option<&str>, number: Option<u64>) -> Result<Vec<Occupant>> {
    let mut all = Vec::new();
    let networks = match network {
        Some(name) if rootless::is_meant_by(name) => Vec::new(),
        Some(name) => vec![name.to_owned()],
        None => state.list()?,
    };
    for network in networks {
        let mut book = Book::load(state, &network)?;
        if book.leases().any(|lease| Some(lease.namespace.inode) == number) {
            book.collect(Namespace::own()?.identity().inode, &mut Socket::open_route()?)?;
        }
        all.extend(book.leases().map(|lease| Occupant {
            network: network.clone(),
            container: lease.container.clone(),
            namespace: lease.namespace.clone(),
        }));
    }
    if network.is_none_or(rootless::is_meant_by) {
        all.extend(rootless::list(state)?.into_iter().map(|record| Occupant {
            network: record.attachment.map_or_else(|| rootless::USER.to_owned(), |attachment| attachment.network),
            container: record.container,
            namespace: record.namespace,
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Occupancy, Occupant};
    use crate::namespace::{Identity, Reference};

    /// Containers, each with its network, in `/run/netns/gone`, which is not there; and `else` in a namespace that is.
    fn occupancy(of: &[(&str, &str)]) -> Occupancy {
        let occupant = |network: &str, container: &str, path: &str, inode| Occupant {
            network: network.into(),
            container: container.into(),
            namespace: Identity { path: path.into(), inode },
        };
        let own = std::fs::metadata("/proc/self/ns/net").map(|m| std::os::unix::fs::MetadataExt::ino(&m)).unwrap();
        let mut all: Vec<_> = of.iter().map(|(on, id)| occupant(on, id, "/run/netns/no-such", 7)).collect();
        all.push(occupant("web", "else", "/proc/self/ns/net", own));
        Occupancy::among(&Reference::Name("no-such".into()), None, |number| {
            assert_eq!(number, None);
            Ok(all)
        })
        .unwrap()
    }

    #[test]
    fn whoever_had_a_namespace_that_is_gone_is_known_by_its_path() {
        let one = occupancy(&[("web", "c1"), ("db", "c1")]);
        assert_eq!(one.containers(), ["c1"]);
        assert_eq!(one.former(None).unwrap(), Ok("c1".into()));
        assert_eq!(one.former(Some("c1")).unwrap(), Ok("c1".into()));
        let gone = one.resident(None).unwrap_err().to_string();
        assert_eq!(gone, "open network namespace no-such: no such name in /run/netns", "nobody is there now");
        let nobody = occupancy(&[]);
        let said = nobody.former(None).unwrap().unwrap_err();
        assert!(said.ends_with("no such name in /run/netns, and no record says whose it was"), "{said}");
        assert_eq!(nobody.former(Some("c1")).unwrap(), Ok("c1".into()), "the id says it");
    }

    #[test]
    fn what_is_said_twice_must_agree() {
        let said = |occupancy: &Occupancy, id: Option<&str>| {
            let error = occupancy.former(id).unwrap_err();
            format!("{error}; {}", error.hint.as_deref().unwrap_or_default())
        };
        const FIND: &str = "find the container of network namespace no-such:";
        const HINT: &str = "give one of --id and --netns alone, or both of the same container";
        let one = occupancy(&[("web", "c1")]);
        assert_eq!(said(&one, Some("c2")), format!("{FIND} c2 is not attached there, but c1; {HINT}"));
        let nobody = occupancy(&[]);
        let there = "else is not attached there, but in /proc/self/ns/net";
        assert_eq!(said(&nobody, Some("else")), format!("{FIND} {there}; {HINT}"));
        let two = occupancy(&[("web", "c1"), ("db", "c2")]);
        let several = "several containers are attached there: c1 on network web, c2 on network db";
        assert_eq!(said(&two, None), format!("{FIND} {several}; say which one: --id"));
        assert_eq!(two.former(Some("c2")).unwrap(), Ok("c2".into()));
    }
}
