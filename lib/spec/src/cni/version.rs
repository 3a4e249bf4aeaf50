//! Versions of the specification.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A version of the specification; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Version {
    /// 0.1.0, also when a configuration names none
    V0_1_0,
    /// 0.2.0: VERSION
    V0_2_0,
    /// 0.3.0: several interfaces and addresses, chains
    V0_3_0,
    /// 0.3.1
    V0_3_1,
    /// 0.4.0: CHECK, and DEL is told the result
    V0_4_0,
    /// 1.0.0: addresses no longer say their family
    V1_0_0,
    /// 1.1.0: STATUS, GC
    V1_1_0,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 7] =
        [Self::V0_1_0, Self::V0_2_0, Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest.
    pub const NEWEST: Self = Self::V1_1_0;

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::V0_1_0);
        }
        Self::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| format!("CNI version `{text}` is not known"))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn are_ordered_and_come_back() {
        assert!(Version::ALL.is_sorted());
        for version in Version::ALL {
            assert_eq!(version.name().parse(), Ok(version));
        }
        assert_eq!("".parse(), Ok(Version::V0_1_0));
        assert!("9.9.9".parse::<Version>().is_err());
    }
}
