//! Questions and batches: what is asked in one round trip, what the kernel takes or leaves as a whole.
//!
//! Where a batch follows from what was read, it names the generation that was read (`NFNL_BATCH_GENID`): if somebody changed
//! the rule set between, the kernel refuses with ERESTART and we look again. What is right whatever others do (making the
//! table, new elements that must not be there) names none, so nobody can keep it from coming through.
//! Kernel: net/netfilter/nfnetlink.c (nfnetlink_rcv_batch).

use super::message::{self, Element};
use super::table::TABLE;
use crate::error::{Error, Kind, Result, errno, refused};
use crate::socket::{Answer, Refusal, Request, Socket};
use std::time::{Duration, Instant};

/// How long a batch is composed anew when others change the rule set meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
/// Questions in one datagram: each answer may take a page of the socket's buffer.
const QUESTIONS: usize = 24;

/// What became of a batch: taken, or the first refusal, which is what made the kernel drop all of it.
pub type Taken = std::result::Result<(), Refusal>;

/// A conversation about the rules of one network.
#[derive(Debug)]
pub struct Rules {
    socket: Socket,
    op: &'static str,
    subject: String,
}

impl Rules {
    /// Opens it in the calling thread's network namespace; failures will be those of `op` on `subject`.
    pub fn open(op: &'static str, subject: &str) -> Result<Self> {
        let socket = Socket::open_netfilter().map_err(|mut e| {
            e.op = op;
            subject.clone_into(&mut e.subject);
            lacking(e)
        })?;
        Ok(Self { socket, op, subject: subject.to_owned() })
    }

    /// Asks in as few round trips as the buffers allow.
    pub fn ask(&mut self, questions: &[Request]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(questions.len());
        for some in questions.chunks(QUESTIONS) {
            answers.extend(self.socket.transact(some)?);
        }
        Ok(answers)
    }

    /// What is there under the keys of `wanted`, and at which generation.
    pub fn look(&mut self, wanted: &[(&'static str, Vec<u8>)]) -> Result<(u32, Vec<Option<Element>>)> {
        let mut questions = vec![message::get_generation()];
        questions.extend(wanted.iter().map(|(set, key)| message::get_element(TABLE, set, key)));
        let mut answers = self.ask(&questions)?.into_iter();
        let generation = self.read_generation(answers.next())?;
        let found = wanted.iter().zip(answers).map(|((set, _), answer)| {
            answer.ok()?.iter().flat_map(|message| message::read_elements(set, message)).next()
        });
        Ok((generation, found.collect()))
    }

    /// Everything in a set of our table; nothing where there is no such set.
    pub fn elements(&mut self, set: &'static str) -> Result<Vec<Element>> {
        self.list(&message::dump_elements(TABLE, set), set)
    }

    /// Everything that `request` lists of a set, in whatever table.
    pub fn list(&mut self, request: &Request, set: &'static str) -> Result<Vec<Element>> {
        let Ok(messages) = self.socket.dump(request)? else { return Ok(Vec::new()) };
        Ok(messages.iter().flat_map(|message| message::read_elements(set, message)).collect())
    }

    /// At which generation the rule set is.
    pub fn generation(&mut self) -> Result<u32> {
        let answer = self.socket.ask(message::get_generation())?;
        self.read_generation(Some(answer))
    }

    /// Sends `changes` as one batch, which is refused when the rule set is at another `generation`.
    pub fn send(&mut self, generation: Option<u32>, changes: Vec<Request>) -> Result<Taken> {
        let mut batch = vec![message::begin(generation)];
        batch.extend(changes);
        batch.push(message::end());
        self.socket.make_room(batch.iter().map(|request| request.payload.len() + 32).sum())?;
        let refusals = self.socket.send_batch(&batch)?;
        Ok(refusals.into_iter().next().map_or(Ok(()), |(_, refusal)| Err(refusal)))
    }

    /// Tries until the rule set stood still for long enough.
    pub fn retry(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<Taken>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(u64::from(std::process::id() % 64) + 20);
        loop {
            match attempt(self)? {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.errno != libc::ERESTART => return Err(self.refused(refusal)),
                Err(refusal) if Instant::now() > until => {
                    return Err(Error::new(Kind::System, self.op, &self.subject)
                        .because(refusal)
                        .hint("another program changes the packet rules all the time; try again"));
                }
                Err(_) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
            }
        }
    }

    /// The error that `refusal` is.
    pub fn refused(&self, refusal: Refusal) -> Error {
        lacking(refused(self.op, &self.subject, refusal))
    }

    fn read_generation(&self, answer: Option<Answer>) -> Result<u32> {
        match answer {
            Some(Ok(messages)) => Ok(messages.iter().find_map(message::read_generation).unwrap_or(0)),
            Some(Err(refusal)) => Err(lacking_answer(refused(self.op, &self.subject, refusal))),
            None => Err(Error::new(Kind::System, self.op, &self.subject).because("the kernel gave no answer")),
        }
    }
}

/// A kernel without nf_tables says so in several ways: no such protocol, no such subsystem, no such expression.
fn lacking(error: Error) -> Error {
    match error.kind {
        Kind::Unsupported | Kind::NotFound => without_tables(error),
        _ => error,
    }
}

/// The same to a question, which can be wrong in no other way (nfnetlink_rcv_msg).
fn lacking_answer(error: Error) -> Error {
    if errno(&error) == Some(libc::EINVAL) { without_tables(error) } else { lacking(error) }
}

fn without_tables(mut error: Error) -> Error {
    error.kind = Kind::Unsupported;
    error.hint(
        "the kernel needs nf_tables with nat and fib (modules nf_tables, nft_masq, nft_nat, nft_ct, nft_fib_inet)",
    )
}

#[cfg(test)]
mod tests {
    use super::{lacking, lacking_answer};
    use crate::error::{Kind, refused};
    use crate::socket::Refusal;

    #[test]
    fn a_kernel_without_nf_tables_is_known_by_what_it_refuses() {
        let error = |errno| refused("set packet rules for network", "web", Refusal { errno, text: None });
        let kinds = |errno| [lacking_answer(error(errno)).kind, lacking(error(errno)).kind];
        assert_eq!(kinds(libc::EOPNOTSUPP), [Kind::Unsupported; 2]);
        assert_eq!(kinds(libc::EINVAL), [Kind::Unsupported, Kind::System], "a change may be wrong in itself");
        assert_eq!(kinds(libc::EPERM), [Kind::NotPermitted; 2]);
    }
}
