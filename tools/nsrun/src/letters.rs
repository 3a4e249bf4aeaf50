//! Short options as getopt(3) reads them: letters in one word (`-fpr`), a value at once behind its letter (`-R/new`, `-t8197`). clap takes
//! a word with a letter it does not know for the first word of the command, so they are taken apart before.

use clap::{Arg, Command};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

/// `words` (the program's first) with such words taken apart, as far as they are options of `command`. With `attached` letters whose
/// value may be left out take one that stands at once behind them (`-n/run/netns/x`), as nsenter(1) has it; letters that are all
/// options are options still (`-mun`).
pub(crate) fn apart(command: &mut Command, words: Vec<OsString>, attached: bool) -> Vec<OsString> {
    let short = |word: &OsString| matches!(word.as_bytes(), [b'-', second, _, ..] if *second != b'-');
    if !words.iter().any(short) {
        return words;
    }
    command.build();
    let options: Vec<&Arg> = command.get_arguments().filter(|a| !a.is_positional()).collect();
    let mut all = Vec::new();
    let mut words = words.into_iter();
    all.extend(words.next());
    while let Some(word) = words.next() {
        let values = match word.as_bytes() {
            [b'-', b'-', name @ ..] if !name.is_empty() => long(&options, name).map_or(0, arity),
            [b'-', letters @ ..] if !letters.is_empty() && letters != b"-" => {
                match one_by_one(&options, letters, attached) {
                    Some((taken, values)) => {
                        all.extend(taken);
                        all.extend(words.by_ref().take(values));
                        continue;
                    }
                    None => 0,
                }
            }
            // The command, or `--`.
            _ => {
                all.push(word);
                break;
            }
        };
        all.push(word);
        all.extend(words.by_ref().take(values));
    }
    all.extend(words);
    all
}

/// Where among `words` (the program's first) the option `--name VALUE` of `command` stands, and its value; only options are looked at, not what
/// is a value of one, nor the command.
pub(crate) fn find(command: &mut Command, words: &[OsString], name: &str) -> Option<(Range<usize>, OsString)> {
    let (whole, with_value) = (format!("--{name}"), format!("--{name}="));
    if !words.iter().any(|word| word.as_bytes().starts_with(whole.as_bytes())) {
        return None;
    }
    command.build();
    let options: Vec<&Arg> = command.get_arguments().filter(|a| !a.is_positional()).collect();
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let values = match word.as_bytes() {
            found if found == whole.as_bytes() => return Some((at..at + 2, words.get(at + 1)?.clone())),
            found if found.starts_with(with_value.as_bytes()) => {
                let value = found.get(with_value.len()..).unwrap_or_default();
                return Some((at..at + 1, OsStr::from_bytes(value).to_owned()));
            }
            [b'-', b'-', name @ ..] if !name.is_empty() => long(&options, name).map_or(0, arity),
            [b'-', letters @ ..] if !letters.is_empty() && letters != b"-" => {
                one_by_one(&options, letters, false).map_or(0, |(_, values)| values)
            }
            _ => return None,
        };
        at += 1 + values;
    }
    None
}

fn long<'a>(options: &[&'a Arg], name: &[u8]) -> Option<&'a Arg> {
    let name = std::str::from_utf8(name).ok()?;
    let longs = |a: &&&Arg| a.get_long() == Some(name) || a.get_all_aliases().unwrap_or_default().contains(&name);
    options.iter().find(longs).copied()
}

/// How many words behind it are its values.
fn arity(arg: &Arg) -> usize {
    if arg.is_require_equals_set() || !arg.get_action().takes_values() {
        return 0;
    }
    arg.get_num_args().map_or(1, |n| n.min_values())
}

/// The letters of one word as words of their own, and how many words behind them belong to the last. Nothing where one of them
/// is not ours.
fn one_by_one(options: &[&Arg], letters: &[u8], attached: bool) -> Option<(Vec<OsString>, usize)> {
    let find = |letter: u8| options.iter().find(|a| a.get_short() == Some(char::from(letter)));
    let mut all = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let arg = find(*letter)?;
        let rest = letters.get(at + 1..).unwrap_or_default();
        let word = |text: &[u8]| OsStr::from_bytes(text).to_owned();
        let dashed = word(&[b'-', *letter]);
        if arity(arg) > 0 {
            all.push(dashed);
            if rest.is_empty() {
                return Some((all, arity(arg)));
            }
            all.push(word(rest.strip_prefix(b"=").unwrap_or(rest)));
            return Some((all, 0));
        }
        let has_value = match rest.first() {
            Some(b'=') => arg.is_require_equals_set(),
            Some(_) => attached && arg.is_require_equals_set() && !rest.iter().all(|l| find(*l).is_some()),
            None => false,
        };
        if has_value {
            let mut long = OsString::from("--");
            long.push(arg.get_long()?);
            long.push("=");
            long.push(word(rest.strip_prefix(b"=").unwrap_or(rest)));
            all.push(long);
            return Some((all, 0));
        }
        all.push(dashed);
    }
    Some((all, 0))
}

#[cfg(test)]
mod tests {
    use super::apart;
    use clap::{Arg, ArgAction, Command};

    fn of(line: &str, attached: bool) -> String {
        let optional = |letter, long| Arg::new(long).short(letter).long(long).num_args(0..=1).require_equals(true);
        let mut command = Command::new("x")
            .arg(optional('m', "mount"))
            .arg(optional('n', "net"))
            .arg(Arg::new("fork").short('f').long("fork").action(ArgAction::SetTrue))
            .arg(Arg::new("root").short('R').long("root"))
            .arg(Arg::new("bind").long("bind").num_args(2))
            .arg(Arg::new("command").trailing_var_arg(true).num_args(0..));
        let words = std::iter::once("x").chain(line.split(' ')).map(Into::into).collect();
        apart(&mut command, words, attached).join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn letters_are_taken_apart_as_getopt_does() {
        assert_eq!(of("-mnf -R/new sh -mf", false), "x -m -n -f -R /new sh -mf");
        assert_eq!(of("-fR new -mf -- -mf", false), "x -f -R new -m -f -- -mf");
        assert_eq!(of("--bind -mf x -mf sh", false), "x --bind -mf x -m -f sh");
        assert_eq!(of("-mz sh", false), "x -mz sh");
        assert_eq!(of("-m=/x sh", false), "x --mount=/x sh");
    }

    #[test]
    fn an_option_is_found_among_options_alone() {
        let find = |line: &str| {
            let mut command = Command::new("x")
                .arg(Arg::new("args").long("args"))
                .arg(Arg::new("bind").long("bind").num_args(2))
                .arg(Arg::new("root").short('R').long("root"));
            let words: Vec<_> = std::iter::once("x").chain(line.split(' ')).map(Into::into).collect();
            super::find(&mut command, &words, "args").map(|(at, value)| (at, value.into_string().unwrap()))
        };
        assert_eq!(find("--bind --args 3 --args 4 sh"), Some((4..6, "4".to_owned())));
        assert_eq!(find("-R x --args=5"), Some((3..4, "5".to_owned())));
        assert_eq!(find("-R --args sh --args 3"), None);
        assert_eq!(find("-- --args 3"), None);
        assert_eq!(find("--args"), None);
    }

    #[test]
    fn a_value_that_may_be_left_out_stands_at_once_behind_its_letter() {
        assert_eq!(of("-n/run/x -mn -nfile sh", true), "x --net=/run/x -m -n --net=file sh");
    }
}
