//! All layers of an image into folders named by chain id, several at once.
//!
//! A layer whose folder is there already is left alone, so doing it twice costs nothing. The folders appear when all of them
//! are complete and on disk, the lowest first; after an error none of the new ones does.

use crate::dedup;
use crate::error::{Error, Kind, Result, system};
use crate::extract::{self, Allowance, Dedup, Options, Report};
use crate::several::largest_first;
use crate::source::{Image, ImageSource, LayerRef};
use crate::stage::{self, Stage};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use spec::ChainId;
use std::ffi::CString;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;

/// What became of a layer.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The chain id of the layers up to this one.
    pub chain_id: ChainId,
    /// What the folder is called below the directory: the digits of the chain id, and [`Options::part`] behind a hyphen.
    pub name: String,
    /// The layer, as the image lists it.
    pub layer: LayerRef,
    /// What was unpacked; `None` where the folder was there already.
    pub report: Option<Report>,
}

/// Unpacks the layers of `image` into folders below `dir`, `jobs` at a time; lowest first in what it returns.
pub fn unpack_image(
    source: &ImageSource,
    image: &Image,
    dir: BorrowedFd<'_>,
    options: &Options<'_>,
    jobs: NonZeroUsize,
) -> Result<Vec<Folder>> {
    stage::sweep(dir);
    let mut folders: Vec<Folder> = image
        .layers
        .iter()
        .zip(image.chain_ids())
        .map(|(layer, chain_id)| Folder {
            chain_id,
            name: name(&chain_id, options),
            layer: layer.clone(),
            report: None,
        })
        .collect();
    let mut missing = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        if !is_there(dir, folder)? {
            missing.push(at);
        }
    }
    if !missing.is_empty() {
        dedup::check(dir, options.dedup)?;
    }
    let allowance = Allowance::default();
    let mut done = largest_first(
        &missing,
        |at| folders[*at].layer.size_bytes,
        jobs,
        |at, stop| {
            let (report, stage) = unpack_one(source, &folders[*at].layer, dir, options, stop, &allowance)?;
            Ok((*at, report, stage))
        },
    )?;
    share(dir, &folders, &mut done, options)?;
    if !done.is_empty() && options.sync {
        stage::sync(dir)?;
    }
    for (at, report, stage) in done {
        stage.commit(&c_name(&folders[at].name))?;
        folders[at].report = Some(report);
    }
    if !missing.is_empty() && options.sync {
        rustix::fs::fsync(dir).map_err(|e| system("fsync", "", e))?;
    }
    Ok(folders)
}

/// A layer that is unpacked: its place, what came of it, its folder.
type Done = (usize, Report, Stage);

/// Lets equal files of the layers that are new and those that were there share their blocks.
fn share(dir: BorrowedFd<'_>, folders: &[Folder], done: &mut [Done], options: &Options<'_>) -> Result<()> {
    if options.dedup == Dedup::Off || done.is_empty() {
        return Ok(());
    }
    let mut layers = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        let fd = match done.iter().find(|(new, ..)| *new == at) {
            Some((.., stage)) => stage.fd().try_clone_to_owned().map_err(|e| system("duplicate descriptor", "", e))?,
            None => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(dir, c_name(&folder.name), flags, Mode::empty())
                    .map_err(|e| system("open", &folder.name, e))?
            }
        };
        layers.push(dedup::Layer { fd, is_new: done.iter().any(|(new, ..)| *new == at) });
    }
    let shared = dedup::share(&layers, options)?;
    for (at, report, _) in done {
        report.shared_bytes = shared.get(*at).copied().unwrap_or(0);
    }
    Ok(())
}

/// How many bytes of blobs [`unpack_image`] would read: those of the layers that are not there yet.
pub fn bytes_to_read(image: &Image, dir: BorrowedFd<'_>, options: &Options<'_>) -> u64 {
    let there = |id: &ChainId| rustix::fs::statat(dir, c_name(&name(id, options)), AtFlags::SYMLINK_NOFOLLOW).is_ok();
    image.layers.iter().zip(image.chain_ids()).filter(|(_, id)| !there(id)).map(|(l, _)| l.size_bytes).sum()
}

fn name(chain_id: &ChainId, options: &Options<'_>) -> String {
    let mut name = chain_id.0.hex();
    if let Some(part) = options.part {
        name.extend(["-", part]);
    }
    name
}

fn c_name(name: &str) -> CString {
    // Hexadecimal digits hold no NUL.
    CString::new(name).unwrap_or_default()
}

fn is_there(dir: BorrowedFd<'_>, folder: &Folder) -> Result<bool> {
    let name = c_name(&folder.name);
    match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(true),
        Ok(_) => Err(Error::new(Kind::System, "", name.to_string_lossy())
            .because("is in the way: it is named like a layer's folder and is none")),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(system("stat", name.to_string_lossy(), e)),
    }
}

fn unpack_one(
    source: &ImageSource,
    layer: &LayerRef,
    dir: BorrowedFd<'_>,
    options: &Options<'_>,
    stop: &AtomicBool,
    allowance: &Allowance,
) -> Result<(Report, Stage)> {
    let stage = Stage::new(dir)?;
    let blob = source.blob(layer)?;
    let report = extract::unpack_until(blob, stage.fd(), &layer.expected(), options, Some(stop), allowance)?;
    Ok((report, stage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::Digest;
    use std::io::Write;
    use std::os::fd::AsFd;

    /// A docker-archive of layers with one file each, whose contents are given.
    fn archive(contents: &[&str]) -> ImageSource {
        let append = |builder: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, data).unwrap();
        };
        let mut image = tar::Builder::new(Vec::new());
        let (mut paths, mut ids) = (Vec::new(), Vec::new());
        for (n, content) in contents.iter().enumerate() {
            let mut layer = tar::Builder::new(Vec::new());
            append(&mut layer, "file", content.as_bytes());
            let layer = layer.into_inner().unwrap();
            append(&mut image, &format!("{n}.tar"), &layer);
            paths.push(format!("\"{n}.tar\""));
            // A layer of this content is not the one that the configuration names.
            let id = if *content == "wrong" { Digest::of(b"other") } else { Digest::of(&layer) };
            ids.push(format!("\"{id}\""));
        }
        append(&mut image, "c.json", format!(r#"{{"rootfs":{{"diff_ids":[{}]}}}}"#, ids.join(",")).as_bytes());
        let manifest = format!(r#"[{{"Config":"c.json","Layers":[{}]}}]"#, paths.join(","));
        append(&mut image, "manifest.json", manifest.as_bytes());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&image.into_inner().unwrap()).unwrap();
        ImageSource::from_file(file, "image.tar", &std::env::temp_dir()).unwrap()
    }

    fn unpack(source: &ImageSource, dir: &tempfile::TempDir, cancel: bool) -> Result<Vec<Folder>> {
        let fd = rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let cancel = AtomicBool::new(cancel);
        let owners = extract::Owners::Caller;
        let options = Options { cancel: Some(&cancel), owners, ..Options::default() };
        unpack_image(source, &source.images()[0], fd.as_fd(), &options, NonZeroUsize::new(3).unwrap())
    }

    fn names(dir: &tempfile::TempDir) -> usize {
        std::fs::read_dir(dir.path()).unwrap().count()
    }

    #[test]
    fn all_folders_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let error = unpack(&archive(&["1", "2", "3", "wrong", "5"]), &dir, false).unwrap_err();
        assert_eq!((error.kind, names(&dir)), (Kind::DiffId, 0));
        let good = archive(&["1", "2", "3", "4", "5", "1"]);
        let error = unpack(&good, &dir, true).unwrap_err();
        assert_eq!((error.kind, names(&dir)), (Kind::Cancelled, 0));
        let folders = unpack(&good, &dir, false).unwrap();
        assert_eq!((folders.len(), names(&dir)), (6, 6));
        for (folder, content) in folders.iter().zip(["1", "2", "3", "4", "5", "1"]) {
            assert!(folder.report.is_some());
            let file = dir.path().join(folder.chain_id.0.hex()).join("file");
            assert_eq!(std::fs::read_to_string(file).unwrap(), content);
        }
        assert!(unpack(&good, &dir, false).unwrap().iter().all(|f| f.report.is_none()));
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_named() {
        let (dir, source) = (tempfile::tempdir().unwrap(), archive(&["1"]));
        let name = source.images()[0].chain_ids()[0].0.hex();
        std::fs::write(dir.path().join(&name), "").unwrap();
        let error = unpack(&source, &dir, false).unwrap_err();
        assert_eq!(error.to_string(), format!("{name}: is in the way: it is named like a layer's folder and is none"));
    }
}
