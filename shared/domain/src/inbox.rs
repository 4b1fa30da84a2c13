//! The inbox: the messages that a person is listed, newest first, and how many of them are unread. Both walk down the
//! mailbox from its newest entry, a few at a time, until there are enough or everything further down has expired.

use tidings_wire::{Open, Platform, Timestamp, action::Position};

use crate::mailbox::{Header, Slot};

/// Limit of reads in one walk: if much of a mailbox is not for the device, a short answer is better than a late one.
pub const READS: usize = 4;

/// Entries of one read, except for the first of a walk, which reads as many as are wanted.
pub const READ_ENTRIES: usize = 100;

/// The entries that a walk looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every entry for the device.
    All,
    /// The unread ones.
    Unread,
}

/// The next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Only entries before this position; from the newest entry on if there is none.
    pub before: Option<Position>,
    /// Limit of entries.
    pub entries: usize,
}

/// A walk down the mailbox, over entries or over their headers.
#[derive(Debug)]
pub struct Walk<T> {
    wanted: Wanted,
    platform: Open<Platform>,
    most: usize,
    now: Timestamp,
    found: Vec<T>,
    reads: usize,
    before: Option<Position>,
    is_over: bool,
}

impl<T> Walk<T>
where
    for<'a> Header: From<&'a T>,
{
    /// A walk for a device of this platform, from a position on, until `most` are found.
    #[must_use]
    pub fn new(
        wanted: Wanted,
        platform: Open<Platform>,
        before: Option<Position>,
        most: usize,
        now: Timestamp,
    ) -> Self {
        Self { wanted, platform, most, now, found: Vec::new(), reads: 0, before, is_over: false }
    }

    /// The next read; `None` if enough are found, none are left, or one request has read too many.
    #[must_use]
    pub fn next_read(&self) -> Option<Read> {
        let goes_on = !self.is_over && self.found.len() < self.most && self.reads < READS;
        let entries = if self.reads == 0 { self.most } else { READ_ENTRIES };
        goes_on.then_some(Read { before: self.before, entries })
    }

    /// Takes the entries of a read, newest first; `more` if the mailbox goes on below.
    pub fn take(&mut self, read: Vec<Slot<T>>, more: bool) {
        self.reads += 1;
        self.is_over = self.follow(read).unwrap_or(!more);
    }

    /// Whether no entries are further down; `None` if the read does not show it.
    fn follow(&mut self, read: Vec<Slot<T>>) -> Option<bool> {
        for slot in read {
            let header = slot.read().map(Header::from);
            if header.is_some_and(|header| header.is_past(self.now)) {
                return Some(true);
            }
            if self.found.len() == self.most {
                return Some(false);
            }
            let position = slot.position();
            self.before = Some(position);
            self.found.extend(slot.into_read().filter(|_| header.is_some_and(|header| self.is_looked_for(header))));
            if position.seq <= 1 {
                return Some(true);
            }
        }
        None
    }

    fn is_looked_for(&self, header: Header) -> bool {
        let meant = header.is_meant_for(Some(self.platform), self.now);
        meant && (self.wanted == Wanted::All || !header.is_read)
    }

    /// The found entries, newest first.
    #[must_use]
    pub fn found(&self) -> &[T] {
        &self.found
    }

    /// The position below which the next walk starts; `None` if this one has come to the end.
    #[must_use]
    pub fn rest(&self) -> Option<Position> {
        self.before.filter(|_| !self.is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Letter, delivery::tests::letter, mailbox};

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    /// A mailbox, newest first, from the remaining life of each entry in seconds, oldest first.
    fn mailbox(lives: &[i64]) -> Vec<Header> {
        let mut entries: Vec<Entry> = Vec::new();
        for life in lives {
            let deadline = Timestamp(NOW.0 + life * 1_000);
            let arrived = Letter { deadline, ..letter(1) };
            entries.push(mailbox::append(entries.last().map(mailbox::Tail::from).as_ref(), &arrived, Timestamp(7)));
        }
        entries.iter().rev().map(Header::from).collect()
    }

    fn seqs(walk: &Walk<Header>) -> Vec<u64> {
        walk.found().iter().map(|header| header.position.seq).collect()
    }

    /// Walks down a mailbox; returns the number of entries of each read.
    fn walk(walk: &mut Walk<Header>, log: &[Header]) -> Vec<usize> {
        let mut asked = Vec::new();
        while let Some(read) = walk.next_read() {
            let rest: Vec<_> =
                log.iter().filter(|header| read.before.is_none_or(|place| header.position < place)).copied().collect();
            let taken = rest.iter().take(read.entries).copied().map(Slot::Read).collect();
            walk.take(taken, rest.len() > read.entries);
            asked.push(read.entries);
        }
        asked
    }

    fn listing(most: usize) -> Walk<Header> {
        Walk::new(Wanted::All, Platform::Web.into(), None, most, NOW)
    }

    #[test]
    fn pages_follow_one_another_and_end() {
        let log = mailbox(&[60; 25]);
        let (mut before, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let mut page = Walk::new(Wanted::All, Platform::Web.into(), before, 10, NOW);
            assert_eq!(walk(&mut page, &log), [10]);
            seen.extend(seqs(&page));
            pages += 1;
            before = page.rest();
            if before.is_none() {
                break;
            }
        }
        assert_eq!(pages, 3);
        assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
        let mut all = listing(25);
        walk(&mut all, &log);
        assert_eq!(all.rest(), None, "the first entry of the log is the last of the page");
        let mut none = listing(10);
        assert_eq!(walk(&mut none, &[]), [10]);
        assert_eq!((none.found().len(), none.rest()), (0, None));
    }

    #[test]
    fn an_entry_that_is_not_for_the_device_is_skipped() {
        let mut log = mailbox(&[60, 60, -1, 60, 60, 60]);
        log[0].platform = Platform::Ios.into();
        log[1].platform = Platform::Web.into();
        log[2].is_closed = true;
        log[4].is_read = true;
        let mut page = listing(2);
        assert_eq!(walk(&mut page, &log), [2, READ_ENTRIES]);
        assert_eq!(seqs(&page), [5, 2]);
        assert_eq!(page.rest().unwrap().seq, 2);
        let mut unread = Walk::new(Wanted::Unread, Platform::Web.into(), None, 10, NOW);
        walk(&mut unread, &log);
        assert_eq!((seqs(&unread), unread.rest()), (vec![5, 1], None));
    }

    #[test]
    fn nothing_is_read_below_the_position_where_all_has_expired() {
        // The third one outlives those after it: entries above it do not end the walk.
        let log = mailbox(&[-50, -40, 30, -20, -10, 5]);
        let mut page = listing(4);
        assert_eq!(walk(&mut page, &log), [4, READ_ENTRIES]);
        assert_eq!((seqs(&page), page.rest()), (vec![6, 3], None));
        let past: Vec<_> = log.iter().map(|header| header.is_past(NOW)).collect();
        assert_eq!(past, [false, false, false, false, true, true]);
        let at_its_deadline = mailbox(&[0]);
        assert!(!at_its_deadline[0].is_past(NOW) && at_its_deadline[0].is_meant_for(None, NOW));
    }

    #[test]
    fn a_walk_ends_after_the_limit_of_reads() {
        let mut log = mailbox(&[60; 500]);
        log.iter_mut().for_each(|header| header.platform = Platform::Ios.into());
        let mut page = listing(7);
        assert_eq!(walk(&mut page, &log), [7, 100, 100, 100]);
        assert_eq!((page.found().len(), page.rest().unwrap().seq), (0, 500 - 307 + 1), "the next page goes on there");
    }

    #[test]
    fn counting_stops_at_its_limit() {
        let log = mailbox(&[60; 101]);
        let count = |log: &[Header]| {
            let mut unread = Walk::new(Wanted::Unread, Platform::Web.into(), None, 100, NOW);
            walk(&mut unread, log);
            (unread.found().len(), unread.rest().is_some())
        };
        assert_eq!(count(&log[1..]), (100, false));
        assert_eq!(count(&log), (100, true));
        // The hundredth unread one is the first of the log.
        let mut read = log.clone();
        read[0].is_read = true;
        assert_eq!(count(&read), (100, false));
        assert_eq!(count(&mailbox(&[60; 150])), (100, true));
    }

    #[test]
    fn a_walk_goes_on_below_an_unreadable_entry() {
        let log = mailbox(&[60; 5]);
        let slots = log.iter().map(|header| match header.position.seq {
            5 | 3 | 1 => Slot::Unreadable(header.position),
            _ => Slot::Read(*header),
        });
        let mut page = listing(4);
        page.take(slots.clone().collect(), false);
        assert_eq!((seqs(&page), page.rest()), (vec![4, 2], None));
        let mut page = listing(1);
        page.take(slots.take(3).collect(), true);
        assert_eq!((seqs(&page), page.rest().map(|at| at.seq)), (vec![4], Some(4)), "the next one begins below");
    }
}
