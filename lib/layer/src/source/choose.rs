//! One image out of several: by name and by platform.

use super::Image;
use crate::error::{Error, Kind, Result};
use spec::{Platform, Reference};

/// The image of `images` (of the source called `source`) that is called `name`, for `platform`.
///
/// A name fits as written, with what Docker leaves out (`debian` is `docker.io/library/debian:latest`), by its tag alone where
/// the source names images by tag, or as the image's id or the start of it (12 hexadecimal digits at least). Without a
/// platform the machine's own is taken where there is a choice, and the one that is there where there is none.
pub fn choose<'a>(
    images: &'a [Image],
    source: &str,
    name: Option<&str>,
    platform: Option<&Platform>,
) -> Result<&'a Image> {
    let named: Vec<&Image> = match name {
        None => images.iter().collect(),
        Some(name) => {
            let exact: Vec<&Image> = images.iter().filter(|i| i.names.iter().any(|n| n == name)).collect();
            if exact.is_empty() { images.iter().filter(|i| is_called(i, name)).collect() } else { exact }
        }
    };
    let machine = Platform::machine();
    let fitting: Vec<&Image> = match platform {
        Some(platform) => named.iter().copied().filter(|i| i.platform.serves(platform)).collect(),
        None if named.len() > 1 => named.iter().copied().filter(|i| i.platform.serves(&machine)).collect(),
        None => named.clone(),
    };
    match (fitting[..].first(), fitting.len()) {
        (Some(image), 1) => Ok(image),
        (Some(image), _) if fitting.iter().all(|i| i.layers == image.layers) => Ok(image),
        (Some(_), count) => Err(Error::new(Kind::Choice, "", source).because(format!("holds {count} images")).hint(
            format_args!("name one: {source}:REF with REF of {}", listed(fitting.iter().flat_map(|i| labels(i)))),
        )),
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

fn labels(image: &Image) -> Vec<String> {
    if image.names.is_empty() { vec![image.config.digest.hex()[..12].to_owned()] } else { image.names.clone() }
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
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let is_id = hex.len() >= 12 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let manifest = image.manifest.as_ref().map(|m| m.digest.hex());
    if is_id && (image.config.digest.hex().starts_with(hex) || manifest.is_some_and(|m| m.starts_with(hex))) {
        return true;
    }
    image.names.iter().any(|n| same_name(n, name) || tag_of(n) == Some(name) || tag_of(name) == Some(n))
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
