//! The channels under which the outbox has what the providers accepted.

use sam_twin::outbox::Channel;

/// Apple Push Notification service.
pub const APNS: Channel = Channel::new("apns");
/// Firebase Cloud Messaging.
pub const FCM: Channel = Channel::new("fcm");
/// A push service of browsers.
pub const WEBPUSH: Channel = Channel::new("webpush");
/// Mi Push.
pub const MIPUSH: Channel = Channel::new("mipush");
/// The app's own server.
pub const WEBHOOK: Channel = Channel::new("webhook");
