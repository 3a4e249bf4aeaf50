//! Containers' records: `containers/<id>/config.json` (what it is, written once) and `containers/<id>/state` (how it is).
//!
//! The writable layer, `overlay2/<id>/`, is made after the record and removed before it, so that no folder of a container is
//! ever without an owner. A name belongs to the record that holds it; giving one out is done under [`Lock::Containers`].

use crate::error::damaged;
use crate::temp::{AT_ONCE, leading};
use crate::{Error, Guard, Kind, Lock, Mode, Result, Root, TempDir};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use spec::{ContainerId, Digest};
use std::path::PathBuf;

mod names;

/// What a container is; what was asked for as documents, or read as an `A` at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<A = serde_json::Value> {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without docker's leading slash.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The image as it was asked for.
    pub image: String,
    /// The image's id; none for `host`.
    pub image_id: Option<Digest>,
    /// Layers below the writable one, lowest first.
    pub layers: Vec<PathBuf>,
    /// What was asked for and what the image says; the engine's own documents.
    pub asked: A,
}

impl<A> Record<A> {
    /// All but what was asked for, and that.
    pub fn apart(self) -> (Record<()>, A) {
        let Self { id, name, created, image, image_id, layers, asked } = self;
        (Record { id, name, created, image, image_id, layers, asked: () }, asked)
    }
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// Its supervisor is putting it together, or its process lives.
    Running,
    /// Its process is frozen.
    Paused,
    /// Its process has ended and is started again after a while.
    Restarting,
    /// It is being removed.
    Removing,
    /// Its process has ended.
    Exited,
    /// It could not be removed whole, or what is known of it cannot be read.
    Dead,
}

/// A process that is the same only as long as it lives: pids come again, pid and start time together do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid in the first pid namespace that sees the store.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub start_ticks: u64,
}

/// How a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where in its life.
    pub status: Status,
    /// PID 1 of the container.
    pub process: Option<ProcessId>,
    /// Its supervisor.
    pub supervisor: Option<ProcessId>,
    /// Its exit code, once it has ended.
    pub exit_code: u8,
    /// Whether a process of it was killed because memory ran out.
    pub oom_killed: bool,
    /// How often its supervisor has started it again.
    pub restart_count: u32,
    /// Whether somebody stopped it by hand: then it is not started again.
    pub stopped_by_hand: bool,
    /// Whether it stays although it was made with `--rm`: it is being started again by hand.
    pub kept: bool,
    /// Who removes it, while its status is [`Status::Removing`].
    pub remover: Option<ProcessId>,
    /// Its health as the supervisor saw it last; none where nothing looks at it.
    pub health: Option<serde_json::Value>,
    /// Why it could not be started.
    pub error: String,
    /// RFC 3339.
    pub started: Option<String>,
    /// RFC 3339.
    pub finished: Option<String>,
    /// Its address on its network.
    pub address: Option<String>,
    /// What its networks gave it: the lines of JSON that `netwire attach` printed.
    pub wires: Vec<serde_json::Value>,
    /// Its folder for run state, as long as a supervisor has it.
    pub run: Option<PathBuf>,
    /// The mount point of its root file system, in the supervisor's mount namespace.
    pub root: Option<PathBuf>,
    /// Which boot of the machine this was written in (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

impl State {
    /// Nobody has the container any more: no supervisor, and nothing that one made.
    pub fn disown(&mut self) {
        (self.process, self.supervisor, self.run, self.root) = (None, None, None, None);
    }

    /// The same without what looks at its health printed: nothing else makes a state long.
    fn shortened(&self) -> Self {
        let mut state = self.clone();
        if let Some(serde_json::Value::Object(health)) = &mut state.health {
            health.remove("Log");
        }
        state
    }
}

impl Root {
    /// Writes a new container's record. [`Kind::Exists`] where its name is taken; the error's subject is the id of who
    /// has it.
    pub fn create_container(&self, record: &Record) -> Result<()> {
        let _names = self.lock_names()?;
        self.take_name(&record.name, &record.id)?;
        let folder = self.temp_dir()?;
        let config = folder.write("config.json", &json(record)?)?;
        folder.write("state", &json(&State::default())?)?;
        folder.keep_with(self, PathBuf::from("containers").join(record.id.as_str()), &config)
    }

    /// The same with a folder of [`Root::temp_dir`], and all that it holds already, as the container's folder. That the disk has it is
    /// waited for later ([`Root::sync_container`]). It is locked as the container's is, until it is dropped.
    pub fn create_container_in(&self, folder: &mut TempDir, record: &Record) -> Result<()> {
        let _names = self.lock_names()?;
        self.take_name(&record.name, &record.id)?;
        folder.write("config.json", &json(record)?)?;
        folder.write("state", &json(&State::default())?)?;
        folder.give(self, PathBuf::from("containers").join(record.id.as_str()))
    }

    /// Waits until the disk has the record of this container, and knows that there is one.
    pub fn sync_container(&self, id: &ContainerId) -> Result<()> {
        let folder = self.container_folder(id);
        let path = folder.join("config.json");
        let synced = std::fs::File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|e| crate::error::system("fsync", &path, e))?;
        crate::temp::sync_parent(&folder)
    }

    /// Gives a container another name, and its record with that. [`Kind::Exists`] where somebody has it; the error's
    /// subject is his id.
    pub fn rename_container(&self, id: &ContainerId, name: &str) -> Result<Record> {
        let _names = self.lock_names()?;
        let _alone = self.lock_container(id)?;
        let mut record = self.container(id)?;
        self.take_name(name, id)?;
        let old = std::mem::replace(&mut record.name, name.to_owned());
        self.write_atomic(PathBuf::from("containers").join(id.as_str()).join("config.json"), &json(&record)?)?;
        self.drop_name(&old, id);
        Ok(record)
    }

    /// The ids of all containers, in no order.
    pub fn container_ids(&self) -> Result<Vec<ContainerId>> {
        let path = self.path().join("containers");
        let entries = std::fs::read_dir(&path).map_err(|e| crate::error::system("read", &path, e))?;
        Ok(entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    /// Every container's record, newest first. One that is being removed or does not parse is left out.
    pub fn containers(&self) -> Result<Vec<Record>> {
        let mut all: Vec<Record> = self.container_ids()?.iter().filter_map(|id| self.container(id).ok()).collect();
        all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(all)
    }

    /// One container's record. An empty one is none: a power cut came while the container was being made, and nobody was told of it.
    pub fn container(&self, id: &ContainerId) -> Result<Record> {
        self.container_as(id)
    }

    /// The same with what was asked for as an `A`: one reading where there are two.
    pub fn container_as<A: DeserializeOwned>(&self, id: &ContainerId) -> Result<Record<A>> {
        let bytes = self.read(PathBuf::from("containers").join(id.as_str()).join("config.json"))?;
        if bytes.is_empty() {
            return Err(unknown(id));
        }
        let folder = self.container_folder(id);
        serde_json::from_slice(&bytes).map_err(|e| {
            damaged("container", id, e)
                .hint(format!("what is left of it is in {}; remove that if it is lost", folder.display()))
        })
    }

    /// The container called `text`: by name, id, or unique beginning of its id.
    pub fn find_container(&self, text: &str) -> Result<Record> {
        if text.trim().is_empty() {
            return Err(Error::new(Kind::Invalid, "", "invalid container name or ID: value is empty"));
        }
        let unknown = || unknown(text);
        if let Ok(id) = text.parse::<ContainerId>() {
            return self.container(&id).map_err(|e| if e.kind == Kind::NotFound { unknown() } else { e });
        }
        if let Some(record) = self.named(text.strip_prefix('/').unwrap_or(text)) {
            return Ok(record);
        }
        let mut all = self.container_ids()?;
        all.retain(|id| id.as_str().starts_with(text));
        match &all[..] {
            [id] => self.container(id).map_err(|e| if e.kind == Kind::NotFound { unknown() } else { e }),
            [] => Err(unknown()),
            several => Err(Error::new(Kind::Ambiguous, "", format!("Multiple IDs found with provided prefix: {text}"))
                .hint(format!("{} begin so: give more of its digits", several.len()))),
        }
    }

    /// Writes a container's record anew. The caller holds its lock ([`Root::lock_container`]) since before it read it.
    pub fn rewrite_container(&self, record: &Record) -> Result<()> {
        self.write_atomic(PathBuf::from("containers").join(record.id.as_str()).join("config.json"), &json(record)?)
    }

    /// A container's state.
    pub fn container_state(&self, id: &ContainerId) -> Result<State> {
        let path = PathBuf::from("containers").join(id.as_str()).join("state");
        let mut patience = 3;
        loop {
            let bytes = self.read(&path)?;
            if bytes.is_empty() {
                // Nobody waits for the disk for the state of one that was only made.
                if !self.was_started(id) {
                    return Ok(State::default());
                }
                let error = "its state was lost when the machine went down".into();
                return Ok(State { status: Status::Exited, exit_code: 255, error, ..State::default() });
            }
            match leading(&bytes) {
                Ok(state) => return Ok(state),
                Err(e) if patience == 0 => {
                    let error = damaged("container state", id, e);
                    return Err(error.hint(format!("ctr rm -f {} ends what is left of it", id.short())));
                }
                // One that is being written over, on a full disk, is whole in a moment.
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
            patience -= 1;
        }
    }

    /// Whether somebody ever started it: that leaves something beside record and state, at least the log of the supervisor itself.
    fn was_started(&self, id: &ContainerId) -> bool {
        let own = |name: &std::ffi::OsStr| name == "config.json" || name == "state";
        let entries = std::fs::read_dir(self.container_folder(id));
        entries.is_ok_and(|entries| entries.flatten().any(|entry| !own(&entry.file_name())))
    }

    /// Changes a container's state under its lock and gives the new one.
    pub fn update_container(&self, id: &ContainerId, change: impl FnOnce(&mut State)) -> Result<State> {
        self.update_container_then(id, change, |_| {})
    }

    /// The same; `then` is done under the lock too, once the new state is written.
    pub fn update_container_then(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut State),
        then: impl FnOnce(&State),
    ) -> Result<State> {
        // Whoever removes it does so without the lock, which is on what is removed.
        let gone = |e| if self.container_folder(id).exists() { e } else { unknown(id) };
        self.change_container(id, change, then).map_err(gone)
    }

    fn change_container(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut State),
        then: impl FnOnce(&State),
    ) -> Result<State> {
        let _alone = self.lock_container(id)?;
        let mut state = self.container_state(id)?;
        change(&mut state);
        let path = PathBuf::from("containers").join(id.as_str()).join("state");
        // As long as somebody is at work on it a reboot ends that, whatever was written.
        let bytes = json(&state)?;
        let written = match state.supervisor.is_some() || state.remover.is_some() {
            true => self.write_volatile(&path, &bytes),
            false => self.write_atomic(&path, &bytes),
        };
        match written {
            // How a container ended is to be known, and one can be removed, also where there is no room for a new file.
            Err(full) if full.kind == Kind::Full => {
                let bytes = if bytes.len() > AT_ONCE { json(&state.shortened())? } else { bytes };
                self.write_over(&path, &bytes).map_err(|_| full)?;
            }
            other => other?,
        }
        then(&state);
        Ok(state)
    }

    /// Nobody else changes this container while the guard lives.
    pub fn lock_container(&self, id: &ContainerId) -> Result<Guard> {
        self.lock(Lock::Container(id.as_str()), Mode::Exclusive)
    }

    /// The folder of a container's own files.
    pub fn container_folder(&self, id: &ContainerId) -> PathBuf {
        self.path().join("containers").join(id.as_str())
    }

    /// The folder of a container's writable layer (`diff`) and the overlay's work folder (`work`).
    pub fn container_layer(&self, id: &ContainerId) -> PathBuf {
        self.path().join("overlay2").join(id.as_str())
    }

    /// Removes a container: its writable layer first, its record last. Twice is no error.
    pub fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let record = self.container(id);
        self.discard(&[self.container_layer(id), self.container_folder(id)])?;
        if let Ok(record) = record {
            let _names = self.lock_names()?;
            self.drop_name(&record.name, id);
        }
        Ok(())
    }
}

fn unknown(name: impl std::fmt::Display) -> Error {
    Error::new(Kind::NotFound, "", format!("No such container: {name}")).hint("ctr ps -a lists those there are")
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let fail = |e| damaged("container", "", e);
    serde_json::to_vec(value).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digit: u8, name: &str) -> Record {
        Record {
            id: ContainerId::from_random([digit; 32]),
            name: name.into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: "host".into(),
            image_id: None,
            layers: vec!["/".into()],
            asked: serde_json::Value::Null,
        }
    }

    #[test]
    fn found_by_name_id_and_prefix_and_gone_after_removal() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        root.create_container(&record(0x11, "web")).unwrap();
        root.create_container(&record(0x12, "db")).unwrap();
        let taken = root.create_container(&record(0x33, "web")).unwrap_err();
        assert_eq!((taken.kind, taken.subject.len()), (Kind::Exists, 64));
        assert_eq!(root.find_container("web").unwrap().name, "web");
        assert_eq!(root.find_container("/db").unwrap().name, "db");
        assert_eq!(root.find_container("11").unwrap().name, "web");
        assert_eq!(root.find_container("1").unwrap_err().to_string(), "Multiple IDs found with provided prefix: 1");
        assert_eq!(root.find_container("x").unwrap_err().to_string(), "No such container: x");
        let id = root.find_container("web").unwrap().id;
        let state = root.update_container(&id, |s| s.status = Status::Exited).unwrap();
        assert_eq!(root.container_state(&id).unwrap(), state);
        root.remove_container(&id).unwrap();
        root.remove_container(&id).unwrap();
        assert_eq!(root.find_container("web").unwrap_err().kind, Kind::NotFound);
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_done_behind_a_change_is_done_when_it_is_written_and_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        root.create_container(&record(0x11, "web")).unwrap();
        let id = record(0x11, "").id;
        let mut seen = None;
        let then = |_: &State| {
            let lock = || root.try_lock(Lock::Container(id.as_str()), Mode::Exclusive).map(|guard| guard.is_some());
            let free = std::thread::scope(|scope| scope.spawn(lock).join());
            seen = Some((root.container_state(&id).unwrap().exit_code, free.unwrap().unwrap()));
        };
        root.update_container_then(&id, |state| state.exit_code = 7, then).unwrap();
        assert_eq!(seen, Some((7, false)));
    }

    #[test]
    fn a_state_that_a_power_cut_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        root.create_container(&record(0x11, "web")).unwrap();
        let id = record(0x11, "").id;
        std::fs::write(root.container_folder(&id).join("state"), "").unwrap();
        // also one into which something was copied
        std::fs::create_dir_all(root.container_layer(&id)).unwrap();
        assert_eq!(root.container_state(&id).unwrap(), State::default(), "it was never started");
        // also one without a layer of its own
        std::fs::remove_dir(root.container_layer(&id)).unwrap();
        std::fs::write(root.container_folder(&id).join("supervisor.log"), "").unwrap();
        let lost = root.container_state(&id).unwrap();
        assert_eq!((lost.status, lost.exit_code), (Status::Exited, 255));
        assert!(lost.error.contains("lost"), "{lost:?}");
    }

    #[test]
    fn a_state_written_over_a_longer_one_is_whole_at_any_instant() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        root.create_container(&record(0x11, "web")).unwrap();
        let id = record(0x11, "").id;
        let path = root.container_folder(&id).join("state");
        let health = serde_json::json!({ "Status": "healthy", "Log": ["x".repeat(4 * AT_ONCE)] });
        let long = root.update_container(&id, |state| state.health = Some(health)).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        let short = State { exit_code: 7, ..long }.shortened();
        assert_eq!(short.health, Some(serde_json::json!({ "Status": "healthy" })));
        let bytes = json(&short).unwrap();
        assert!(bytes.len() < AT_ONCE);
        root.write_over(format!("containers/{id}/state"), &bytes).unwrap();
        // one page was written, and what lies behind it is as it was
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
        assert!(std::fs::read(&path).unwrap().ends_with(b"\"boot\":\"\"}"));
        assert_eq!(root.container_state(&id).unwrap(), short);
        root.update_container(&id, |state| state.status = Status::Running).unwrap();
        assert!(root.users().unwrap()[0].running);
        assert!(std::fs::metadata(&path).unwrap().len() < length);
    }

    #[test]
    fn one_that_a_power_cut_kept_from_being_made_is_none_and_one_that_is_damaged_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        root.create_container(&record(0x11, "web")).unwrap();
        let id = record(0x11, "").id;
        let config = root.container_folder(&id).join("config.json");
        std::fs::write(&config, "").unwrap();
        assert_eq!(root.find_container(id.as_str()).unwrap_err().kind, Kind::NotFound);
        assert!(root.users().unwrap().is_empty());
        assert!(root.sweep(std::time::Duration::ZERO).unwrap().is_some());
        root.create_container(&record(0x22, "web")).unwrap();
        std::fs::write(&config, "{").unwrap();
        let error = root.find_container("1111").unwrap_err();
        assert_eq!(error.kind, Kind::Damaged);
        assert!(error.hint.is_some_and(|hint| hint.contains(id.as_str())));
    }
}
