//! One image out of several: by name and by platform.

use super::Image;
use crate::error::{Error, Kind, Result};
use spec::{Platform, Reference};

/// The image of `images` (of the source called `source`) that is called `name`, for `platform`.
///
/// A name fits as written, with what Docker leaves out (`debian` is `docker.io/library/debian:latest`) or podman does
/// (`localhost/`), by its tag alone where the source names images by tag, by the digest of the image's manifest, of its
/// configuration or of an index that lists it (`sha256:…`, `NAME@sha256:…`), or by the start of one (12 hexadecimal digits at
/// least). Without a platform the machine's own is taken where there is a choice, and the one that is there where there is
/// none.
pub fn choose<'a>(
    images: &'a [Image],
    source: &str,
    name: Option<&str>,
    platform: Option<&Platform>,
) -> Result<&'a Image> {
    let named: Vec<&Image> = match name {
        None => images.iter().collect(),
        Some(name) => called(images, name),
    };
    let machine = Platform::machine();
    let fitting = match platform {
        Some(platform) => best_for(&named, platform),
        None if named.len() > 1 => best_for(&named, &machine),
        None => named.clone(),
    };
    match (fitting[..].first(), fitting.len()) {
        (Some(image), 1) => Ok(image),
        (Some(image), _) if fitting.iter().all(|i| i.layers == image.layers) => Ok(image),
        (Some(first), count) => {
            let same = fitting.iter().all(|i| labels(i) == labels(first));
            let labels = fitting.iter().flat_map(|i| if same { vec![id(i)] } else { labels(i) });
            Err(Error::new(Kind::Choice, "", source)
                .because(format!("holds {count} images"))
                .hint(format_args!("name one: {source}:REF with REF of {}", listed(labels))))
        }
        (None, _) if named.is_empty() => Err(Error::new(Kind::Choice, "", source)
            .because(format!("holds no image {}", name.unwrap_or_default()))
            .hint(format_args!("it holds {}", listed(images.iter().flat_map(labels))))),
        (None, _) => {
            let wanted = platform.unwrap_or(&machine);
            let have = named.iter().map(|i| i.platform.to_string());
            Err(Error::new(Kind::Choice, "", source)
                .because(format!("holds no image for {wanted}"))
                .hint(format_args!("choose with --platform one of {}", listed(have))))
        }
    }
}

/// Those of `images` that do best on `wanted`: of the same variant, else of the highest one below it (an arm/v7 machine runs
/// arm/v6). Several only where they do equally well.
pub fn best_for<'a>(images: &[&'a Image], wanted: &Platform) -> Vec<&'a Image> {
    let below: Vec<(&Image, u32)> =
        images.iter().filter_map(|i| Some((*i, steps_below(&i.platform, wanted)?))).collect();
    match below.iter().map(|(_, steps)| *steps).min() {
        Some(least) => below.iter().filter(|(_, steps)| *steps == least).map(|(i, _)| *i).collect(),
        // Of a variant that was not asked for, but there is none that was.
        None => images.iter().copied().filter(|i| i.platform.serves(wanted)).collect(),
    }
}

/// How far what `image` is for lies below `wanted`; `None` if it does not run there.
fn steps_below(image: &Platform, wanted: &Platform) -> Option<u32> {
    let bare = |p: &Platform| Platform { variant: None, ..p.clone() };
    if !bare(image).serves(&bare(wanted)) {
        return None;
    }
    match (level(image), level(wanted)) {
        (Some(image), Some(wanted)) => wanted.checked_sub(image),
        _ => (image.variant == wanted.variant).then_some(0),
    }
}

/// A variant as a number, ten to a version: `v8` and `v8.1` are 80 and 81. What an architecture without one means is as in
/// containerd (github.com/containerd/platforms, database.go).
fn level(platform: &Platform) -> Option<u32> {
    match (&platform.variant, platform.architecture.as_str()) {
        (Some(variant), _) => {
            let number = variant.strip_prefix('v').unwrap_or(variant);
            let (version, step) = number.split_once('.').unwrap_or((number, "0"));
            Some(version.parse::<u32>().ok()?.checked_mul(10)? + step.parse::<u32>().ok().filter(|s| *s < 10)?)
        }
        (None, "arm") => Some(70),
        (None, "arm64" | "aarch64") => Some(80),
        (None, "amd64" | "x86_64") => Some(10),
        (None, _) => None,
    }
}

/// Those that are called `name`, as it is written if there are such.
fn called<'a>(images: &'a [Image], name: &str) -> Vec<&'a Image> {
    let local = format!("localhost/{name}");
    let exactly = |i: &&Image| i.names.iter().any(|n| n == name);
    let all = |fits: &dyn Fn(&&Image) -> bool| images.iter().filter(|i| fits(i)).collect::<Vec<_>>();
    let ways: [&dyn Fn(&&Image) -> bool; 3] =
        [&exactly, &|i| is_called(i, name), &|i| i.names.iter().any(|n| same_name(n, &local))];
    ways.into_iter().map(all).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Enough of an image's id to name it.
fn id(image: &Image) -> String {
    image.config.digest.hex()[..12].to_owned()
}

fn labels(image: &Image) -> Vec<String> {
    if image.names.is_empty() { vec![id(image)] } else { image.names.clone() }
}

/// The first few, sorted, each once.
fn listed(all: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = all.collect();
    all.sort();
    all.dedup();
    let more = all.len().saturating_sub(8);
    all.truncate(8);
    let text = all.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

fn is_called(image: &Image, name: &str) -> bool {
    if let Some((_, digest)) = name.rsplit_once('@') {
        return has_digest(image, digest);
    }
    if has_digest(image, name) {
        return true;
    }
    image.names.iter().any(|n| same_name(n, name) || tag_of(n) == Some(name) || tag_of(name) == Some(n))
}

/// Whether `text` is a digest of the image or of an index above it, or the start of one.
fn has_digest(image: &Image, text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let digests = image.manifest.iter().map(|m| &m.digest).chain([&image.config.digest]).chain(&image.indexes);
    let whole = hex.len() >= 12 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    whole && digests.map(spec::Digest::hex).any(|d| d.starts_with(hex))
}

/// The tag of a whole name.
fn tag_of(name: &str) -> Option<&str> {
    let (repository, tag) = name.rsplit_once(':')?;
    (!tag.contains('/') && !repository.is_empty()).then_some(tag)
}

/// Whether two names are one, once what Docker leaves out is added.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    let whole = |name: &str| name.parse::<Reference>().ok().map(Reference::with_default_tag);
    a == b || whole(a).is_some_and(|a| Some(a) == whole(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_variant_is_taken() {
        let of = |text: &str| text.parse::<Platform>().unwrap();
        let steps = |image: &str, wanted: &str| steps_below(&of(image), &of(wanted));
        assert_eq!(steps("linux/arm/v7", "linux/arm"), Some(0));
        assert_eq!(steps("linux/arm/v6", "linux/arm"), Some(10));
        assert_eq!(steps("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(steps("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(steps("linux/arm64/v8.1", "linux/arm64"), None);
        assert_eq!(steps("linux/arm64/v8", "linux/arm64/v8.2"), Some(2));
        assert_eq!(steps("linux/amd64", "linux/amd64/v3"), Some(20));
        assert_eq!(steps("linux/amd64", "linux/arm64"), None);
        assert_eq!(steps("linux/s390x", "linux/s390x"), Some(0));
        assert_eq!(steps("linux/mips/hard", "linux/mips"), None);
    }

    #[test]
    fn names_are_one_with_and_without_what_docker_leaves_out() {
        for (a, b) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
        ] {
            assert!(same_name(a, b), "{a} {b}");
        }
        assert!(!same_name("debian:12", "debian:13"));
        assert!(!same_name("localhost/debian", "debian"));
        assert_eq!(tag_of("localhost:5000/a"), None);
        assert_eq!(tag_of("a/b:c"), Some("c"));
    }
}
