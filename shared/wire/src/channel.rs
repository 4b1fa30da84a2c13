//! The channels around the socket.

use crate::choice::choice;

choice! {
    /// A way around the socket. `apns`, `fcm` and `webpush` deliver to every device of the user that is registered for
    /// them and is of the message's `platform`; `mipush`, `sms` and `email` to the user, once; `webhook` to the app's
    /// own server.
    Channel {
        /// Apple Push Notification service.
        Apns = "apns",
        /// Firebase Cloud Messaging.
        Fcm = "fcm",
        /// Web Push.
        Webpush = "webpush",
        /// Mi Push.
        Mipush = "mipush",
        /// Text message.
        Sms = "sms",
        /// Email.
        Email = "email",
        /// The app's own HTTPS endpoint.
        Webhook = "webhook",
    }
}

/// What a channel delivers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The user's phone number.
    Phone,
    /// The user's email address.
    Mailbox,
    /// Each device that is registered for the channel, at its own address.
    EachDevice,
    /// All devices that are registered for the channel, at one address of the user's.
    AllDevices,
    /// The app's own server.
    Server,
}

impl Channel {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apns => "APNs",
            Self::Fcm => "FCM",
            Self::Webpush => "Web Push",
            Self::Mipush => "Mi Push",
            Self::Sms => "SMS",
            Self::Email => "Email",
            Self::Webhook => "Webhook",
        }
    }

    /// What it delivers to.
    #[must_use]
    pub fn destination(self) -> Destination {
        match self {
            Self::Sms => Destination::Phone,
            Self::Email => Destination::Mailbox,
            Self::Apns | Self::Fcm | Self::Webpush => Destination::EachDevice,
            Self::Mipush => Destination::AllDevices,
            Self::Webhook => Destination::Server,
        }
    }

    /// Whether it delivers to an address that a device is registered with; the others go by the user's profile, or to
    /// the app.
    #[must_use]
    pub fn has_address(self) -> bool {
        match self.destination() {
            Destination::EachDevice | Destination::AllDevices => true,
            Destination::Phone | Destination::Mailbox | Destination::Server => false,
        }
    }
}
