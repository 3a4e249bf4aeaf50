//! Whose: the container that a verb is about, told by its id, by the namespace it is attached in, or by both.

use crate::plan::{container_id, reference};
use cli::Failure;
use network::Error;
use network::namespace::Reference;
use network::occupancy::Occupancy;

/// What there is to do where a namespace tells nothing.
const REMEDY: &str = "the container's id alone finds what is left: --id";

/// What was typed of it, read.
#[derive(Debug)]
pub enum Whose {
    /// `--id`
    Id(String),
    /// `--netns`
    Namespace(Reference),
    /// Both, of one container.
    Both(String, Reference),
}

impl Whose {
    /// Reads `--id` and `--netns` of the verb called `verb`.
    pub(crate) fn read(verb: &str, id: Option<String>, netns: Option<&str>) -> Result<Self, Failure> {
        let missing = || {
            Failure::usage(format!("{verb}: which container is missing"))
                .hint("tell it by its id, --id ID, or by the namespace it is attached in, --netns NETNS")
        };
        Self::given(id, netns)?.ok_or_else(missing)
    }

    /// The same where neither need be given.
    pub(crate) fn given(id: Option<String>, netns: Option<&str>) -> Result<Option<Self>, Failure> {
        let (id, namespace) = (id.map(container_id).transpose()?, netns.map(reference).transpose()?);
        Ok(match (id, namespace) {
            (Some(id), Some(namespace)) => Some(Self::Both(id, namespace)),
            (Some(id), None) => Some(Self::Id(id)),
            (None, Some(namespace)) => Some(Self::Namespace(namespace)),
            (None, None) => None,
        })
    }

    /// The container, which has to be attached. `look` tells who is in a namespace.
    pub(crate) fn resident(&self, look: impl FnOnce(&Reference) -> Result<Occupancy, Error>) -> Result<String, Error> {
        match self {
            Self::Id(id) => Ok(id.clone()),
            Self::Namespace(namespace) => look(namespace)?.resident(None),
            Self::Both(id, namespace) => look(namespace)?.resident(Some(id)),
        }
    }

    /// The container that `done` is done to, which may be gone, and its namespace too. A line instead where nothing says whose
    /// the namespace is or was; then nothing is to be done.
    pub(crate) fn former(
        &self,
        done: &str,
        look: impl FnOnce(&Reference) -> Result<Occupancy, Error>,
    ) -> Result<Result<String, String>, Error> {
        let (id, namespace) = match self {
            Self::Id(id) => return Ok(Ok(id.clone())),
            Self::Namespace(namespace) => (None, namespace),
            Self::Both(id, namespace) => (Some(id.as_str()), namespace),
        };
        let occupancy = look(namespace).map_err(|e| if e.hint.is_none() { e.hint(REMEDY) } else { e })?;
        let found = occupancy.former(id)?;
        Ok(found.map_err(|why| format!("{why}: nothing was {done}; {REMEDY}")))
    }

    /// The containers, all of a namespace that has several; none is fine.
    pub(crate) fn all(&self, look: impl FnOnce(&Reference) -> Result<Occupancy, Error>) -> Result<Vec<String>, Error> {
        match self {
            Self::Namespace(namespace) => look(namespace)?.residents(),
            _ => Ok(vec![self.resident(look)?]),
        }
    }
}
