//! The order of announcements: each is shown once and in order. Decides and does no I/O.
//!
//! Their numbers grow and are not dense; every frame has the number that it follows. So a gap is seen at the next
//! frame, and the service is asked for what is missing. The frame that was dropped comes again with the answer.

use tidings_wire::frame::{Announced, AnnouncementFrame};

/// The decision about an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    Show,
    /// It has been shown already.
    Known,
    /// An announcement before it is missing: it is dropped, and the service asked.
    Ask,
}

/// A device's position in the announcements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announcements {
    /// Everything up to this number was shown, or skipped by the service.
    number: u64,
    /// The number after which the service was asked last.
    asked: u64,
    /// An announcement was dropped since the service was asked.
    missed: bool,
    /// Announcements of the replay are missing, or it had to stop: the service is asked at the next pong, not at once.
    behind: bool,
}

impl Announcements {
    /// A device that has shown everything up to `number`.
    pub(crate) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// The number after which the service is asked now.
    pub(crate) fn asked(&mut self) -> u64 {
        (self.missed, self.behind, self.asked) = (false, false, self.number);
        self.number
    }

    /// Decides about an announcement.
    pub(crate) fn came(&mut self, frame: &AnnouncementFrame) -> Verdict {
        if frame.number <= self.number {
            Verdict::Known
        } else if frame.after <= self.number {
            self.number = frame.number;
            Verdict::Show
        } else {
            self.missed = true;
            Verdict::Ask
        }
    }

    /// Records the end of a replay. Returns whether the service must be asked for more at once.
    pub(crate) fn replayed(&mut self, Announced { after, number, more }: Announced) -> bool {
        if after > self.number {
            self.behind = true;
            return false;
        }
        self.number = self.number.max(number);
        let moved = self.number > self.asked;
        // Also if it is asked at once: another request may be on its way and replace this one.
        self.behind |= more;
        self.missed || (more && moved)
    }

    /// Whether the service must be asked at this pong.
    pub(crate) fn is_behind(&self) -> bool {
        self.missed || self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(after: u64, number: u64) -> AnnouncementFrame {
        let json = serde_json::json!({
            "id": "a", "number": number, "after": after, "deviceId": "d", "toUserName": "u", "createTime": 1,
        });
        serde_json::from_value(json).unwrap()
    }

    fn end(after: u64, number: u64) -> Announced {
        Announced { after, number, more: false }
    }

    #[test]
    fn each_is_shown_once_and_in_order() {
        let mut it = Announcements::new(0);
        assert_eq!(it.came(&frame(0, 10)), Verdict::Show);
        assert_eq!(it.came(&frame(0, 10)), Verdict::Known);
        assert_eq!(it.came(&frame(10, 30)), Verdict::Show);
        assert_eq!(it.came(&frame(10, 20)), Verdict::Known);
        assert_eq!(it.asked(), 30);
    }

    #[test]
    fn what_was_dropped_is_asked_for_when_the_answer_cannot_have_it() {
        let mut it = Announcements::new(10);
        assert_eq!(it.asked(), 10);
        // It comes live while 20 and 30 are being replayed.
        assert_eq!(it.came(&frame(30, 40)), Verdict::Ask);
        assert_eq!(it.came(&frame(10, 20)), Verdict::Show);
        assert_eq!(it.came(&frame(20, 30)), Verdict::Show);
        assert!(it.replayed(end(30, 30)));
        assert_eq!(it.asked(), 30);
        assert_eq!(it.came(&frame(30, 40)), Verdict::Show);
        assert!(!it.replayed(end(40, 40)));
    }

    #[test]
    fn what_was_lost_on_the_way_is_asked_for_with_the_next_pong_not_in_a_loop() {
        let mut it = Announcements::new(10);
        it.asked();
        assert!(!it.replayed(end(20, 25)));
        assert!(it.is_behind());
        assert_eq!(it.asked(), 10);
        assert!(!it.is_behind());
    }

    #[test]
    fn pages_follow_each_other_while_they_move_on() {
        let mut it = Announcements::new(0);
        it.asked();
        it.came(&frame(0, 10));
        assert!(it.replayed(Announced { after: 10, number: 10, more: true }), "its last one was shown");
        assert_eq!(it.asked(), 10);
        assert!(it.replayed(Announced { after: 10, number: 12, more: true }), "its last ones were for others");
        assert_eq!(it.asked(), 12);
        assert!(!it.replayed(Announced { after: 12, number: 12, more: true }));
        assert!(it.is_behind(), "the service could not send: asked again with the next pong");
    }

    #[test]
    fn a_late_answer_takes_nothing_back() {
        let mut it = Announcements::new(0);
        it.came(&frame(0, 40));
        assert!(!it.replayed(end(10, 10)));
        assert_eq!(it.asked(), 40);
    }
}
