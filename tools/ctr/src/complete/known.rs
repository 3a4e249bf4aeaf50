//! The names there are. A store that is not there is not made for the sake of a completion, and what fails gives no names.

use crate::context::Context;
use engine::life::list;
use store::{Root, Status};

/// Which containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    /// Those that run, also paused ones and those that wait for their next run.
    Active,
    /// Those that run and are not paused.
    Running,
    Paused,
    /// Those that can be started.
    AtRest,
}

impl Which {
    fn takes(self, status: Status) -> bool {
        match self {
            Self::Any | Self::Active => true,
            Self::Running => status != Status::Paused,
            Self::Paused => status == Status::Paused,
            Self::AtRest => matches!(status, Status::Created | Status::Exited),
        }
    }
}

fn store(context: &Context) -> Option<Root> {
    Root::look(&context.state_root().ok()?).ok()?
}

/// Containers by name, newest first; with docker's `DOCKER_COMPLETION_SHOW_CONTAINER_IDS=yes` by id too.
pub(super) fn containers(context: &Context, which: Which) -> Vec<String> {
    let Some(root) = store(context) else { return Vec::new() };
    let active = matches!(which, Which::Active | Which::Running | Which::Paused);
    let ids = std::env::var("DOCKER_COMPLETION_SHOW_CONTAINER_IDS").is_ok_and(|value| value == "yes");
    let all = list::list(&root, active).unwrap_or_default();
    let fitting = all.into_iter().filter(|one| which.takes(one.state.status));
    fitting
        .flat_map(|one| [ids.then(|| one.record.id.to_string()), Some(one.record.name)].into_iter().flatten())
        .collect()
}

/// Images by name and tag.
pub(super) fn images(context: &Context) -> Vec<String> {
    let Some(root) = store(context) else { return Vec::new() };
    let all = engine::images::summaries(&root).unwrap_or_default();
    all.into_iter().filter_map(|image| Some(format!("{}:{}", image.repository?, image.tag?))).collect()
}

/// Networks that are always there, and those that were created.
pub(super) fn networks(context: &Context) -> Vec<String> {
    let mut names: Vec<String> = ["bridge", "host", "none"].map(str::to_owned).into();
    let (Ok(own), Ok(root), Ok(place)) = (context.own(), context.state_root(), context.place()) else { return names };
    let created = engine::networks::list(&own, &root, &place).unwrap_or_default();
    names.extend(created.into_iter().map(|network| network.name));
    names
}

/// Secrets by name. Without root they are in the hands of root of a user namespace, as which this command is run again.
pub(super) fn secrets(context: &Context) -> Vec<String> {
    if context.become_root().is_err() {
        return Vec::new();
    }
    let all = store(context).and_then(|root| root.secrets().ok()).unwrap_or_default();
    all.into_iter().map(|secret| secret.name).collect()
}
