//! The channels around the socket, and the addresses that devices register for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidings_crypto::encoding::without_padding;

use crate::{
    choice::{Choice, choice},
    fields::Fields,
    limits,
};

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

    /// Whether each message by it costs money.
    #[must_use]
    pub fn is_paid(self) -> bool {
        match self.destination() {
            Destination::Phone | Destination::Mailbox => true,
            Destination::EachDevice | Destination::AllDevices | Destination::Server => false,
        }
    }

    /// The first step of a chain by a paid channel that has [`limits::FALLBACK_PAID_STEPS`] steps already, and its
    /// channel.
    #[must_use]
    pub fn too_often(chain: impl IntoIterator<Item = Self>) -> Option<(usize, Self)> {
        let mut steps = BTreeMap::<&str, usize>::new();
        chain.into_iter().enumerate().filter(|(_, channel)| channel.is_paid()).find(|(_, channel)| {
            let steps = steps.entry(channel.as_str()).or_default();
            *steps += 1;
            *steps > limits::FALLBACK_PAID_STEPS
        })
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

/// How a device is reached by push while it holds no socket, by its `channel`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum PushAddress {
    /// By Apple Push Notification service.
    #[cfg_attr(feature = "schema", schemars(title = "ApnsAddress"))]
    Apns {
        /// The device token that the app was given: 16 to 200 hexadecimal digits, an even number of them.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^([0-9A-Fa-f]{2}){8,100}$")))]
        token: String,
    },
    /// By Firebase Cloud Messaging.
    #[cfg_attr(feature = "schema", schemars(title = "FcmAddress"))]
    Fcm {
        /// The registration token that the app was given.
        #[cfg_attr(
            feature = "schema",
            schemars(length(min = 1, max = limits::NATIVE_TOKEN_CHARS), regex(pattern = "^[A-Za-z0-9_:-]+$"))
        )]
        token: String,
    },
    /// By the push service of a browser: `endpoint` and `keys` of the page's `PushSubscription`, and nothing else of
    /// it.
    #[cfg_attr(feature = "schema", schemars(title = "WebpushAddress"))]
    Webpush {
        /// The URL at which the push service accepts messages: `https`, with a public name as its host, neither an
        /// address nor a name of a local network, and without a user name. The local twin allows `http` and any host.
        #[cfg_attr(
            feature = "schema",
            schemars(length(max = limits::PUSH_ENDPOINT_CHARS), regex(pattern = r"^https?://[^/?#@\s]+([/?][^\s]*)?$"))
        )]
        endpoint: String,
        /// What a push is encrypted for.
        keys: WebpushKeys,
    },
    /// By Mi Push, for which the app has set the MD5 of the alias, in lower-case hexadecimal, as its own.
    #[cfg_attr(feature = "schema", schemars(title = "MipushAddress"))]
    Mipush,
}

/// What a push is encrypted for (RFC 8291 §2): the keys of a Web Push subscription, in base64url without padding.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct WebpushKeys {
    /// The browser's public key: a point on P-256, 65 bytes, the first of them 4. It may end in padding.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::PUSH_KEY_CHARS), regex(pattern = "^B[A-P][A-Za-z0-9_-]{85}=?$"))
    )]
    pub p256dh: String,
    /// The secret between browser and page, 16 bytes. It may end in padding.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::PUSH_KEY_CHARS), regex(pattern = "^[A-Za-z0-9_-]{22}(==)?$"))
    )]
    pub auth: String,
}

impl PushAddress {
    /// By which channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Apns { .. } => Channel::Apns,
            Self::Fcm { .. } => Channel::Fcm,
            Self::Webpush { .. } => Channel::Webpush,
            Self::Mipush => Channel::Mipush,
        }
    }

    pub(crate) fn parse(fields: &mut Fields) -> Option<Self> {
        fields.require("channel");
        match fields.choice("channel")? {
            channel @ (Channel::Apns | Channel::Fcm) => {
                let token = fields.required_text("token", limits::NATIVE_TOKEN_CHARS);
                Some(if channel == Channel::Apns { Self::Apns { token } } else { Self::Fcm { token } })
            }
            Channel::Webpush => {
                let endpoint = fields.required_text("endpoint", limits::PUSH_ENDPOINT_CHARS);
                fields.require("keys");
                let keys = fields.object("keys", |keys| {
                    let mut key = |name| {
                        let text = keys.required_text(name, limits::PUSH_KEY_CHARS);
                        without_padding(&text).to_owned()
                    };
                    Some(WebpushKeys { p256dh: key("p256dh"), auth: key("auth") })
                });
                Some(Self::Webpush { endpoint, keys: keys? })
            }
            Channel::Mipush => Some(Self::Mipush),
            Channel::Sms | Channel::Email | Channel::Webhook => {
                fields.refuse("channel", format!("must be one of {}", Channel::listed(Channel::has_address)));
                None
            }
        }
    }
}

impl std::fmt::Debug for PushAddress {
    /// Hides the address: anyone who knows a token can try to push to it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(***)", self.channel())
    }
}

/// The rule for a chain beside its length: how often each paid channel may be in it.
#[cfg(feature = "schema")]
pub(crate) fn paid_steps() -> Vec<serde_json::Value> {
    let paid = Channel::ALL.iter().filter(|(_, channel)| channel.is_paid());
    let at_most = |(word, _): &(&str, Channel)| {
        let by_it = serde_json::json!({"properties": {"channel": {"const": word}}, "required": ["channel"]});
        serde_json::json!({"contains": by_it, "minContains": 0, "maxContains": limits::FALLBACK_PAID_STEPS})
    };
    paid.map(at_most).collect()
}
