//! Why this machine lets an ordinary user make no user namespace, or make one that is worth nothing: three switches, of the kernel
//! (user_namespaces(7)), of Debian's and of Ubuntu's.

use crate::file;

const LIMIT: &str = "/proc/sys/user/max_user_namespaces";
const DEBIAN: &str = "/proc/sys/kernel/unprivileged_userns_clone";
const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// What to do about it, by the switch that is off.
pub(crate) fn hint() -> String {
    let read = |path: &str| file::read_text(path).ok();
    hint_of(read(LIMIT).as_deref(), read(DEBIAN).as_deref(), read(APPARMOR).as_deref())
}

/// Whether the rights in a new user namespace are taken away again by AppArmor.
pub(crate) fn by_apparmor() -> bool {
    file::read_text(APPARMOR).is_ok_and(|text| text.trim() == "1")
}

fn hint_of(limit: Option<&str>, debian: Option<&str>, apparmor: Option<&str>) -> String {
    let is = |text: Option<&str>, value: &str| text.is_some_and(|t| t.trim() == value);
    if is(limit, "0") {
        format!(
            "user namespaces are switched off: {LIMIT} is 0; sysctl user.max_user_namespaces=10000 as root allows them"
        )
    } else if is(debian, "0") {
        format!(
            "user namespaces are for root only: {DEBIAN} is 0; sysctl kernel.unprivileged_userns_clone=1 as root allows them"
        )
    } else if is(apparmor, "1") {
        format!(
            "AppArmor takes all rights in a user namespace: {APPARMOR} is 1; give nsrun a profile with `userns,`, or sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0 as root"
        )
    } else {
        format!("as many user namespaces as are allowed may be there already, or nested too deep: see {LIMIT}")
    }
}

#[cfg(test)]
mod tests {
    use super::hint_of;

    #[test]
    fn the_switch_that_is_off_is_named() {
        assert!(hint_of(Some("0\n"), None, None).contains("max_user_namespaces is 0"));
        assert!(hint_of(Some("100"), Some("0\n"), None).contains("unprivileged_userns_clone is 0"));
        assert!(hint_of(Some("100"), Some("1"), Some("1\n")).contains("apparmor_restrict_unprivileged_userns is 1"));
        assert!(hint_of(Some("100"), None, Some("0")).contains("as many user namespaces as are allowed"));
    }
}
