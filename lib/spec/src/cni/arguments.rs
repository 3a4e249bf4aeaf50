//! What `CNI_ARGS` says: `KEY=VALUE;KEY=VALUE`.

/// The pairs of `CNI_ARGS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    pairs: Vec<(String, String)>,
}

impl Arguments {
    /// Reads them; every pair has one `=`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let pair = |pair: &str| match pair.split('=').collect::<Vec<_>>()[..] {
            [key, value] => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("ARGS: invalid pair \"{pair}\"")),
        };
        Ok(Self { pairs: text.split(';').map(pair).collect::<Result<_, _>>()? })
    }

    /// The value of `key`; the last one where it is given twice.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// An error where a key is neither one of `known` nor to be ignored (`IgnoreUnknown=1`).
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), String> {
        const IGNORE: &str = "IgnoreUnknown";
        let ignore = match self.get(IGNORE).map(str::to_ascii_lowercase).as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => {
                return Err(format!("ARGS: error parsing value of pair \"{IGNORE}={other}\": it is no boolean"));
            }
        };
        let strange = |key: &str| key != IGNORE && !known.contains(&key);
        let unknown: Vec<_> = self.pairs.iter().filter(|(k, _)| strange(k)).map(|(k, v)| format!("{k}={v}")).collect();
        match unknown.is_empty() || ignore {
            true => Ok(()),
            false => Err(format!("ARGS: unknown args {unknown:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    #[test]
    fn known_unknown_and_ignored() {
        let kubernetes = Arguments::parse("IgnoreUnknown=true;K8S_POD_NAME=web;MAC=02:00:00:00:00:01").unwrap();
        assert_eq!(kubernetes.get("MAC"), Some("02:00:00:00:00:01"));
        assert_eq!(kubernetes.refuse_unknown(&["MAC"]), Ok(()));
        let strict = Arguments::parse("IP=10.0.0.1;FOO=BAR").unwrap();
        assert_eq!(strict.refuse_unknown(&["IP"]), Err(r#"ARGS: unknown args ["FOO=BAR"]"#.into()));
        assert_eq!(Arguments::parse("a;b=c"), Err(r#"ARGS: invalid pair "a""#.into()));
        assert!(Arguments::parse("IgnoreUnknown=perhaps").unwrap().refuse_unknown(&[]).is_err());
        assert_eq!(Arguments::parse(""), Ok(Arguments::default()));
    }
}
