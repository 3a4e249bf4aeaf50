//! What an event of epoll is about: a number of 64 bits that says which table and which place in it, and of what age, so
//! that an event that was on its way when its place was given to another finds nothing.

use rustix::event::epoll;
use std::os::fd::{AsFd, OwnedFd};

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Signals.
    Signals,
    /// The book of leases.
    Book,
    /// Links that come and go.
    Links,
    /// Sockets of queries by UDP.
    Datagrams,
    /// Sockets of connections to come.
    Doors,
    /// Connections of clients.
    Connections,
    /// Questions that others were asked.
    Flights,
}

const ALL: [Table; 7] =
    [Table::Signals, Table::Book, Table::Links, Table::Datagrams, Table::Doors, Table::Connections, Table::Flights];

/// A place in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// The table.
    pub(crate) table: Table,
    /// The place in it.
    pub(crate) place: u32,
    /// How often the place had been given away before, modulo 2^24.
    pub(crate) age: u32,
}

impl Token {
    /// A place that is never given away.
    pub(crate) fn fixed(table: Table, place: usize) -> Self {
        Self { table, place: place as u32, age: 0 }
    }

    fn number(self) -> u64 {
        (self.table as u64) << 56 | u64::from(self.age & 0xff_ffff) << 32 | u64::from(self.place)
    }

    /// Reads it back from an event.
    pub(crate) fn of(event: &epoll::Event) -> Option<Self> {
        let number = event.data.u64();
        let table = *ALL.get((number >> 56) as usize)?;
        Some(Self { table, place: number as u32, age: (number >> 32) as u32 & 0xff_ffff })
    }
}

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Waits(OwnedFd);

impl Waits {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Tells when something can be read from `source`.
    pub(crate) fn readable(&self, source: impl AsFd, token: Token) -> std::io::Result<()> {
        Ok(epoll::add(&self.0, source, epoll::EventData::new_u64(token.number()), epoll::EventFlags::IN)?)
    }

    /// Tells once when `source` becomes readable or writable, and again after each change.
    pub(crate) fn changes(&self, source: impl AsFd, token: Token) -> std::io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.0, source, epoll::EventData::new_u64(token.number()), flags)?)
    }

    /// Tells nothing of `source` any more. Needed where a copy of its descriptor stays open elsewhere.
    pub(crate) fn forget(&self, source: impl AsFd) {
        let _ = epoll::delete(&self.0, source);
    }

    /// What happened, after `timeout` at the latest.
    pub(crate) fn wait(&self, timeout: Option<std::time::Duration>) -> std::io::Result<Vec<Token>> {
        let timeout = timeout.and_then(|t| rustix::time::Timespec::try_from(t).ok());
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            waited => waited.map(|_| events.iter().filter_map(Token::of).collect()).map_err(Into::into),
        }
    }
}

/// Things in places that are given away again.
#[derive(Debug)]
pub(crate) struct Places<T> {
    table: Table,
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Places<T> {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, places: Vec::new(), free: Vec::new() }
    }

    /// The token that the next [`Self::put`] gives its thing.
    pub(crate) fn next(&self) -> Token {
        let place = self.free.last().copied().unwrap_or(self.places.len() as u32);
        let age = self.places.get(place as usize).map_or(0, |(age, _)| *age);
        Token { table: self.table, place, age }
    }

    /// Puts a thing in the place of [`Self::next`].
    pub(crate) fn put(&mut self, thing: T) -> Token {
        let token = self.next();
        match self.free.pop().and_then(|place| self.places.get_mut(place as usize)) {
            Some(place) => place.1 = Some(thing),
            None => self.places.push((0, Some(thing))),
        }
        token
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let (age, thing) = self.places.get_mut(token.place as usize)?;
        if *age == token.age { thing.as_mut() } else { None }
    }

    pub(crate) fn take(&mut self, token: Token) -> Option<T> {
        let (age, thing) = self.places.get_mut(token.place as usize).filter(|(age, _)| *age == token.age)?;
        let taken = thing.take()?;
        *age = (*age + 1) & 0xff_ffff;
        self.free.push(token.place);
        Some(taken)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        self.places.iter().enumerate().filter_map(|(place, (age, thing))| {
            Some((Token { table: self.table, place: place as u32, age: *age }, thing.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Places, Table};

    #[test]
    fn an_old_token_finds_nothing() {
        let mut places = Places::new(Table::Flights);
        let (one, two) = (places.put("one"), places.put("two"));
        assert_eq!(places.take(one), Some("one"));
        assert_eq!(places.next().place, one.place);
        let three = places.put("three");
        assert_eq!((three.place, places.len()), (one.place, 2));
        assert_eq!(places.get_mut(one), None);
        assert_eq!(places.take(one), None);
        assert_eq!(places.iter().map(|(token, _)| token).collect::<Vec<_>>(), [three, two]);
    }
}
