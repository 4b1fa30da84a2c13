//! Announcements: stored once for an app and tenant, read by all its users. They are pushed to open connections; all
//! other devices find them at `sync`. They are not confirmed, and no fallback step follows them.
//!
//! Each has a number, and devices store the number that they have reached. Numbers follow the clock, so that those of a
//! table that was restored from an earlier day still exceed what devices have seen. They are not dense: a device
//! detects a gap by the previous number, which every frame names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_wire::{
    AnnounceRequest, Content, FieldProblem, Frame, Open, Platform, Timestamp, Word,
    announcement::{AnnounceAnswer, AnnouncementAnswer},
    frame::AnnouncementFrame,
    limits,
    send::PushMsgType,
};

use crate::{
    AppId, ConnectionId, DeviceId, KeyHolder, MessageId, More, TenantKey, UserKey, categories, message::too_large,
    shape::Body,
};

/// Shards of a tenant's connections, in the index and in a push: one takes the writes of a few hundred connections a
/// second, and they are processed in parallel.
pub const SHARDS: u8 = 8;

/// An announcement before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its id.
    pub id: MessageId,
    /// The tenant whose users receive it.
    pub tenant: TenantKey,
    /// Only devices of this platform.
    pub platform: Platform,
    /// The content that devices receive.
    pub content: Content,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Its lifetime, in seconds.
    pub ttl: u64,
}

/// The newest number for each platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    android: u64,
    ios: u64,
    pc: u64,
    web: u64,
    /// Numbers of platforms that a newer version has added.
    #[serde(flatten)]
    others: BTreeMap<String, u64>,
}

impl Heads {
    /// The newest number for devices of a platform; 0 if there is none.
    #[must_use]
    pub fn of(&self, platform: Open<Platform>) -> u64 {
        match platform {
            Open::Known(Platform::Android) => self.android,
            Open::Known(Platform::Ios) => self.ios,
            Open::Known(Platform::Pc) => self.pc,
            Open::Known(Platform::Web) => self.web,
            Open::Known(Platform::All) => self.newest(),
            // Written as the others are: in lower case.
            Open::Unknown(word) => self.others.get(&word.as_str().to_ascii_lowercase()).copied().unwrap_or_default(),
        }
    }

    /// The newest number of all.
    #[must_use]
    pub fn newest(&self) -> u64 {
        let others = self.others.values().copied().max().unwrap_or_default();
        self.android.max(self.ios).max(self.pc).max(self.web).max(others)
    }

    /// The numbers with a newer one for devices of a platform.
    #[must_use]
    pub fn with(mut self, platform: Open<Platform>, number: u64) -> Self {
        match platform {
            Open::Known(Platform::Android) => self.android = number,
            Open::Known(Platform::Ios) => self.ios = number,
            Open::Known(Platform::Pc) => self.pc = number,
            Open::Known(Platform::Web) => self.web = number,
            Open::Known(Platform::All) => {
                let others = self.others.into_keys().map(|platform| (platform, number)).collect();
                return Self { android: number, ios: number, pc: number, web: number, others };
            }
            Open::Unknown(word) => {
                self.others.insert(word.as_str().to_ascii_lowercase(), number);
            }
        }
        self
    }
}

/// A stored announcement.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// Its id.
    pub id: MessageId,
    /// The tenant whose users receive it.
    pub tenant: TenantKey,
    /// Its number in the tenant's log.
    pub number: u64,
    /// The numbers before it. A device that skips announcements for other platforms reports no gap because of them.
    pub after: Heads,
    /// Only devices of this platform.
    pub platform: Open<Platform>,
    /// The content that devices receive.
    pub content: Content,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
    /// When it was withdrawn.
    pub withdrawn: Option<Timestamp>,
    /// Number of posts that API Gateway accepted during the push.
    pub posts: u64,
}

/// Accepts a request whose fields have been read.
///
/// # Errors
/// One [`FieldProblem`] each if the frame would be over [`limits::FRAME_PLAINTEXT_BYTES`], and if the category is not
/// among the app's.
pub fn accept(
    request: AnnounceRequest,
    app: AppId,
    declared: &BTreeSet<String>,
    id: MessageId,
    now: Timestamp,
) -> Result<Draft, Vec<FieldProblem>> {
    let mut problems = Vec::from_iter(categories::check(declared, request.content.category.as_deref()));
    problems.extend(too_large(&request.content));
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut content = request.content;
    content.push_msg_type.get_or_insert(PushMsgType::Msg);
    Ok(Draft {
        id,
        tenant: TenantKey { app, tenant: request.tenant_code.unwrap_or_default() },
        platform: request.platform.unwrap_or(Platform::All),
        content,
        accepted: now,
        ttl: request.ttl.unwrap_or(limits::TTL_DEFAULT_SECONDS),
    })
}

impl Draft {
    /// The announcement after the newest ones.
    #[must_use]
    pub fn behind(self, heads: Heads) -> Announcement {
        let clock = u64::try_from(self.accepted.0).unwrap_or(0);
        Announcement {
            number: clock.max(heads.newest().saturating_add(1)),
            after: heads,
            deadline: self.accepted.plus_seconds(self.ttl),
            id: self.id,
            tenant: self.tenant,
            platform: self.platform.into(),
            content: self.content,
            accepted: self.accepted,
            withdrawn: None,
            posts: 0,
        }
    }
}

impl Announcement {
    /// Whether it is neither withdrawn nor expired.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.withdrawn.is_none() && now <= self.deadline
    }

    /// Whether devices of a platform receive it.
    #[must_use]
    pub fn is_for(&self, platform: Open<Platform>) -> bool {
        self.platform == Platform::All || self.platform == platform
    }

    /// The frame for one device of a user; `after` is the number that the device has reached.
    #[must_use]
    pub fn frame(&self, after: u64, user: &UserKey, device: &DeviceId) -> Frame {
        Frame::Announcement(Box::new(AnnouncementFrame {
            id: self.id.to_string(),
            number: self.number,
            after,
            device_id: device.to_string(),
            to_user_name: user.alias.clone(),
            from_user_name: self.content.sender.clone(),
            create_time: self.accepted.seconds(),
            content: self.content.clone(),
        }))
    }

    /// The numbers, including this one.
    #[must_use]
    pub fn heads(&self) -> Heads {
        self.after.clone().with(self.platform, self.number)
    }

    /// The announcement as its sender receives it.
    #[must_use]
    pub fn shown(&self) -> AnnouncementAnswer {
        AnnouncementAnswer {
            request_id: self.id.to_string(),
            number: self.number,
            platform: self.platform,
            accepted_at: self.accepted,
            expires_at: self.deadline,
            withdrawn_at: self.withdrawn,
            posts: self.posts,
            content: self.content.clone(),
        }
    }
}

/// The record under an announcement's id: the answer to repeats of its request, and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The announcement.
    pub id: MessageId,
    /// The tenant whose users receive it.
    pub tenant: TenantKey,
    /// Its number in the tenant's log.
    pub number: u64,
    /// SHA-256 of the request's body, for repeats under the same key.
    pub body_hash: String,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Its lifetime, in seconds.
    pub ttl: u64,
}

/// Minimum time for which a request's idempotency key is stored, in seconds.
pub const REMEMBERED_SECONDS: u64 = 86_400;

impl Receipt {
    /// When the record expires.
    #[must_use]
    pub fn keep_until(&self) -> Timestamp {
        self.accepted.plus_seconds(self.ttl.max(REMEMBERED_SECONDS))
    }

    /// The answer to the request and its repeats.
    #[must_use]
    pub fn answer(&self) -> AnnounceAnswer {
        AnnounceAnswer { request_id: self.id.to_string(), number: self.number, ttl: self.ttl }
    }
}

/// The announcements of a page for a device of a platform, oldest first, each with the number that it follows. The
/// device has reached `from`.
pub fn for_device(
    page: &[Announcement],
    from: u64,
    platform: Open<Platform>,
    now: Timestamp,
) -> impl Iterator<Item = (u64, &Announcement)> {
    let wanted = page.iter().filter(move |it| it.is_alive(now) && it.is_for(platform));
    wanted.scan(from, |after, it| Some((std::mem::replace(after, it.number), it)))
}

/// How long an announcement may take to appear in the log under its number, in seconds: longer than any request lives,
/// with room for clock skew.
const SETTLED_SECONDS: u64 = 60;

/// The number that a device has reached after it received everything up to `number`. No announcement can appear any
/// more below the lifetime of a request. If the newest announcement is long gone, a device that has just synced must
/// not find a gap before the next one, and sync again together with all others.
#[must_use]
pub fn come_to(number: u64, now: Timestamp) -> u64 {
    let settled = u64::try_from(now.0).unwrap_or(0).saturating_sub(SETTLED_SECONDS * 1_000);
    number.max(settled)
}

/// The shard of a connection within its tenant.
#[must_use]
pub fn shard(connection: &ConnectionId) -> u8 {
    // API Gateway draws ids at random, but all end alike: their sum is evenly distributed, their last character is not.
    let sum = connection.as_str().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    u8::try_from(sum % u32::from(SHARDS)).unwrap_or(0)
}

/// A connection in the index of its tenant: enough to seal a frame for it and post it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The user.
    pub user: UserKey,
    /// The connection.
    pub connection: ConnectionId,
    /// The device behind it.
    pub device: DeviceId,
    /// Generation of the device's keys when it connected.
    pub generation: u32,
    /// Version of the root key that the device's token was signed under.
    pub key_version: u32,
    /// The platform of the device.
    pub platform: Open<Platform>,
}

impl<'a> From<&'a Target> for KeyHolder<'a> {
    fn from(Target { user, device, generation, key_version, .. }: &'a Target) -> Self {
        Self { app: &user.app, device, generation: *generation, key_version: *key_version }
    }
}

/// One part of an announcement's push, as it travels on the `fanout` queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fanout {
    /// The tenant of the announcement.
    pub tenant: TenantKey,
    /// The number of the announcement.
    pub number: u64,
    /// The connections of this part.
    pub part: Part,
    /// What a newer version has added.
    #[serde(flatten)]
    pub more: More,
}

impl Body for Fanout {
    const KIND: &'static str = "fanout";

    fn app(&self) -> Option<&AppId> {
        Some(&self.tenant.app)
    }

    fn name(body: &Value) -> Option<Word> {
        let part = body.get("part")?;
        Word::new(part.as_str().or_else(|| Some(part.as_object()?.keys().next()?.as_str()))?)
    }
}

/// The connections of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// A page of a shard.
    Page {
        /// The shard.
        shard: u8,
        /// The last connection of the page before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        after: Option<(UserKey, ConnectionId)>,
    },
    /// Connections that could not be posted to at that moment.
    Again {
        /// The connections.
        targets: Vec<Target>,
        /// Number of attempts before this one.
        attempt: u32,
    },
}

/// Attempts to post to a connection that cannot be posted to. What it misses it finds at its next `sync`, or by the gap
/// that the next announcement reveals.
const ATTEMPTS: u32 = 5;

/// Seconds until the next attempt; `None` after the last one.
#[must_use]
pub fn again_in(attempt: u32) -> Option<u64> {
    (attempt < ATTEMPTS).then(|| 2 << attempt)
}

/// The first parts of an announcement's push.
#[must_use]
pub fn begin(tenant: &TenantKey, number: u64) -> Vec<Fanout> {
    let part = |shard| Part::Page { shard, after: None };
    (0..SHARDS)
        .map(|shard| Fanout { tenant: tenant.clone(), number, part: part(shard), more: More::default() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_372_800_000);

    fn draft() -> Draft {
        let request = AnnounceRequest {
            content: Content { alert: Some("Hello".into()), ..Content::default() },
            ..AnnounceRequest::default()
        };
        accept(request, "demo".parse().unwrap(), &BTreeSet::new(), MessageId::new(NOW, [0; 10]), NOW).unwrap()
    }

    fn announcements(count: usize) -> Vec<Announcement> {
        let mut heads = Heads::default();
        let next = |_| {
            let announcement = draft().behind(std::mem::take(&mut heads));
            heads = announcement.heads();
            announcement
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn numbers_follow_the_clock_and_never_repeat() {
        let first = draft().behind(Heads::default());
        assert_eq!((first.number, first.after.clone()), (1_795_372_800_000, Heads::default()));
        let second = draft().behind(first.heads());
        assert_eq!((second.number, second.after.of(Platform::Web.into())), (first.number + 1, first.number));
        let ahead = draft().behind(Heads::default().with(Platform::Ios.into(), first.number + 5_000));
        assert_eq!(ahead.number, first.number + 5_001);
        assert_eq!(
            (ahead.after.of(Platform::Ios.into()), ahead.after.of(Platform::Web.into())),
            (first.number + 5_000, 0)
        );
        // JavaScript represents integers up to this exactly.
        assert!(ahead.number < 1 << 53);
    }

    #[test]
    fn the_numbers_of_a_platform_of_a_newer_version_go_on() {
        let stored = r#"{"android":3,"ios":3,"pc":3,"web":3,"watch":7}"#;
        let heads: Heads = serde_json::from_str(stored).unwrap();
        let watch = Open::Unknown(Word::new("WATCH").unwrap());
        assert_eq!((heads.newest(), heads.of(watch), heads.of(Platform::Ios.into())), (7, 7, 3));
        let after = heads.clone().with(Platform::Ios.into(), 9);
        assert_eq!((after.of(watch), after.of(Platform::Ios.into())), (7, 9));
        assert_eq!(after.with(Platform::All.into(), 11).of(watch), 11);
        assert_eq!(serde_json::to_string(&heads).unwrap(), stored);
    }

    #[test]
    fn a_device_receives_announcements_for_it_with_the_number_before_each() {
        let mut page = announcements(5);
        page[1].withdrawn = Some(NOW);
        page[2].platform = Platform::Ios.into();
        page[3].deadline = Timestamp(NOW.0 - 1);
        let given =
            |platform| for_device(&page, 7, Open::Known(platform), NOW).map(|(after, it)| (after, it.number)).collect();
        let (first, third, fifth) = (page[0].number, page[2].number, page[4].number);
        let web: Vec<_> = given(Platform::Web);
        assert_eq!(web, [(7, first), (first, fifth)]);
        let ios: Vec<_> = given(Platform::Ios);
        assert_eq!(ios, [(7, first), (first, third), (third, fifth)]);
    }

    #[test]
    fn a_device_passes_settled_numbers_and_never_one_that_may_still_appear() {
        let now = u64::try_from(NOW.0).unwrap();
        assert_eq!(come_to(0, NOW), now - 60_000);
        assert_eq!(come_to(now - 59_999, NOW), now - 59_999);
        assert_eq!(come_to(now + 5, NOW), now + 5);
    }

    #[test]
    fn every_shard_is_pushed_to_and_has_connections() {
        let tenant = draft().tenant;
        assert_eq!(begin(&tenant, 1).len(), usize::from(SHARDS));
        let mut counts = [0; SHARDS as usize];
        for n in 0..800 {
            counts[usize::from(shard(&format!("L0SM9cOF{n}hcCIhw=").parse().unwrap()))] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_connection_that_cannot_be_posted_to_is_tried_for_a_minute() {
        let pauses: Vec<u64> = (0..).map_while(again_in).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32]);
    }

    #[test]
    fn what_does_not_fit_a_frame_is_refused() {
        let content = Content { alert: Some("x".repeat(limits::FRAME_PLAINTEXT_BYTES)), ..Content::default() };
        let request = AnnounceRequest { content, ..AnnounceRequest::default() };
        let refused =
            accept(request, "demo".parse().unwrap(), &BTreeSet::new(), MessageId::new(NOW, [0; 10]), NOW).unwrap_err();
        assert_eq!(refused[0].field, "alert");
    }
}
