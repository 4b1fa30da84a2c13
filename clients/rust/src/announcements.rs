//! Which announcements are shown: each once and in order. Decides and does no I/O.
//!
//! Their numbers grow and are not dense; every frame names the number that it comes behind. So a hole is seen when it is
//! passed, and the service is asked for what is missing. What was dropped then comes again with the answer.

use tidings_wire::frame::{Announced, AnnouncementFrame};

/// What to do with an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    Show,
    /// It was shown before.
    Known,
    /// Something between it and the last one is not here: it is dropped, and the service asked.
    Ask,
}

/// How far a device has come in the announcements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announcements {
    /// Everything up to here was shown, or passed over by the service.
    number: u64,
    /// From where the service was asked last.
    asked: u64,
    /// One was dropped since the service was asked.
    missed: bool,
    /// What the service sent has not come, or it could not send it: asked again with the next pong, not at once.
    behind: bool,
}

impl Announcements {
    /// Everything up to this number was shown.
    pub(crate) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// The service is asked for what comes after this number.
    pub(crate) fn asked(&mut self) -> u64 {
        (self.missed, self.behind, self.asked) = (false, false, self.number);
        self.number
    }

    /// An announcement came.
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

    /// A replay ended. Whether the service is asked for more at once.
    pub(crate) fn replayed(&mut self, Announced { after, number, more }: Announced) -> bool {
        if after > self.number {
            self.behind = true;
            return false;
        }
        self.number = self.number.max(number);
        let moved = self.number > self.asked;
        // Also where it is asked for at once: another question may be on its way, and takes its place.
        self.behind |= more;
        self.missed || (more && moved)
    }

    /// Whether the service is to be asked, now that it has been heard.
    pub(crate) fn is_behind(&self) -> bool {
        self.missed || self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(after: u64, number: u64) -> AnnouncementFrame {
        let json = serde_json::json!({"id": "a", "number": number, "after": after, "deviceId": "d", "toUserName": "u", "createTime": 1});
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
        // Live, while 20 and 30 are being replayed.
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
