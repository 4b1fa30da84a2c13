//! `POST /v1/devices`, `GET /v1/devices/{deviceId}`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidings_crypto::jwk::Jwk;

use crate::{
    FieldProblem, Timestamp,
    channel::{Channel, PushAddress},
    fields::{Fields, Synonyms},
    limits,
    open::Open,
    platform::Platform,
};

/// Longest part of an e-mail address before the `@` (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_BYTES: usize = 64;

#[cfg(feature = "schema")]
crate::choice::part! {
    /// A channel that a device is registered for.
    PushChannel as "PushChannel" = Channel, but |it: Channel| !it.has_address()
}

/// Registers a device for a user, or moves it to another one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct RegisterRequest {
    /// The user's name in the app; not `ALL`, in any case.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::ALIAS_CHARS), extend("not" = crate::schema::everyone()))
    )]
    pub alias: String,
    /// The app that the key belongs to.
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub app_id: String,
    /// What the device runs.
    #[cfg_attr(feature = "schema", schemars(with = "crate::platform::DevicePlatform"))]
    pub platform: Platform,
    /// The device's own token: the same app and token keep their device id.
    #[cfg_attr(feature = "schema", schemars(length(max = limits::NATIVE_TOKEN_CHARS)))]
    pub native_token: String,
    /// Phone number of the user, as in E.164.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^\+[1-9][0-9]{6,14}$")))]
    pub mobile: Option<String>,
    /// Email address of the user, without a name around it, in ASCII; domains in other letters as Punycode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = limits::EMAIL_CHARS),
            extend("allOf" = crate::schema::EMAIL.map(|pattern| serde_json::json!({"pattern": pattern})))
        )
    )]
    pub email: Option<String>,
    /// Tag of the user. It is kept; the service does not use it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub tag: Option<String>,
    /// The tenant within the app. Aliases of two tenants are two users.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub tenant_code: Option<String>,
    /// Version of the app on the device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub client_version: Option<String>,
    /// Language and region (BCP 47) of the user. It is kept; the service does not use it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::IDENTIFIER_CHARS), regex(pattern = crate::language::PATTERN))
    )]
    pub locale: Option<String>,
    /// Time zone (IANA name) of the user, for quiet hours if the preferences name none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub time_zone: Option<String>,
    /// How the device is reached while it has no connection. A registration without it removes the former one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub push: Option<PushAddress>,
}

impl std::fmt::Debug for RegisterRequest {
    /// Shows what identifies the device and nothing that reaches a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisterRequest")
            .field("app_id", &self.app_id)
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

/// What other services call the fields of a registration, in lower case, and what stands for them here.
const SYNONYMS: Synonyms = &[
    ("token", "the device's own token is `nativeToken`, and that of a provider goes into `push`"),
    ("devicetoken", "the device's own token is `nativeToken`, and that of a provider goes into `push`"),
    ("user", "the user is named in `alias`"),
    ("userid", "the user is named in `alias`"),
    ("tenant", "the tenant is `tenantCode`"),
    ("phone", "the phone number is `mobile`"),
    ("language", "the language is `locale`"),
    ("subscription", "the subscription of a browser goes into `push`, without its `expirationTime`"),
];

impl RegisterRequest {
    /// Reads a request and names every field that is missing, empty, too long, of the wrong type or not known.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::new(object).with_synonyms(SYNONYMS);
        fields.require("platform");
        let platform = fields.choice_among("platform", |it| it != Platform::All);
        let request = Self {
            alias: fields.required_alias("alias"),
            app_id: fields.required_text("appId", limits::IDENTIFIER_CHARS),
            platform: platform.unwrap_or(Platform::All),
            native_token: fields.required_text("nativeToken", limits::NATIVE_TOKEN_CHARS),
            mobile: fields.text("mobile", 16),
            email: fields.text("email", limits::EMAIL_CHARS),
            tag: fields.name("tag", limits::IDENTIFIER_CHARS),
            tenant_code: fields.name("tenantCode", limits::IDENTIFIER_CHARS),
            client_version: fields.name("clientVersion", limits::IDENTIFIER_CHARS),
            locale: fields.language("locale"),
            time_zone: fields.text("timeZone", limits::IDENTIFIER_CHARS),
            push: fields.object("push", PushAddress::parse),
        };
        if request.mobile.as_deref().is_some_and(|mobile| !is_e164(mobile)) {
            fields.refuse("mobile", "must be a phone number as in E.164, for example +8613800138000");
        }
        if let Some(problem) = request.email.as_deref().and_then(address_problem) {
            fields.refuse("email", problem);
        }
        let problems = fields.into_problems();
        if problems.is_empty() { Ok(request) } else { Err(problems) }
    }
}

/// `+`, then 7 to 15 digits, the first of them not 0 (ITU-T E.164).
fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
    })
}

/// What is wrong with an e-mail address: before the `@` stands a dot-atom (RFC 5322 §3.2.3) of at most 64 characters,
/// and after it a domain in ASCII with a dot in it, for nothing else can be sent to. The provider has the last word.
fn address_problem(text: &str) -> Option<&'static str> {
    let Some((local, domain)) = text.split_once('@').filter(|(_, domain)| !domain.contains('@')) else {
        return Some("must be an e-mail address, with one @");
    };
    let is_atom = |part: &str| !part.is_empty() && part.bytes().all(is_atom_byte);
    if local.len() > LOCAL_PART_BYTES || !local.split('.').all(is_atom) {
        return Some(
            "must have 1 to 64 ASCII characters before the @, without blanks, brackets or quotes, and no dot at either \
             end or beside another",
        );
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_domain = domain.contains('.') && domain.split('.').all(is_label);
    (!is_domain)
        .then_some("must have a domain such as example.com after the @; use Punycode (xn--…) for one that is not ASCII")
}

/// What an atom is made of (RFC 5322 §3.2.3).
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A device's two keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceKeys {
    /// Opens frames (`dir`, `A256CBC-HS512`).
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::ContentKey"))]
    pub content: Jwk,
    /// Signs connect tokens (`HS256`).
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::TokenKey"))]
    pub token: Jwk,
}

/// A device and its keys. The keys are derived; the service stores them nowhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RegisterAnswer {
    /// The device's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub id: String,
    /// The device's keys.
    pub keys: DeviceKeys,
    /// Devices of the user that were unregistered for this one, the least recently used first: a user has at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::schema::DeviceId>"))]
    pub evicted: Vec<String>,
}

/// What the service knows of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceAnswer {
    /// The device's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub id: String,
    /// The user that it is registered for.
    pub alias: String,
    /// The user's tenant, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant_code: Option<String>,
    /// What it runs.
    #[cfg_attr(feature = "schema", schemars(with = "crate::platform::DevicePlatform"))]
    pub platform: Open<Platform>,
    /// Version of the app on the device, if it was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_version: Option<String>,
    /// When it was last registered.
    pub registered_at: Timestamp,
    /// Its connections whose lease has not run out.
    pub connections: usize,
    /// By which channel it is reached while it has no connection. Absent if it was registered without, or if the
    /// provider has reported the address as dead.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<PushChannel>"))]
    pub push: Option<Channel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_phone_numbers_and_addresses() {
        for good in ["+8613800138000", "+4915112345678"] {
            assert!(is_e164(good), "{good}");
        }
        for bad in ["13800138000", "+0123456789", "+12345", "+1234567890123456", "+1 202 555 0100"] {
            assert!(!is_e164(bad), "{bad}");
        }
        let longest = "x".repeat(64);
        for good in [
            "a@b.cn",
            "first.last+tag@sub.example.org",
            "o'hara_{x}@b-c.cn",
            "a@xn--fsqu00a.cn",
            &format!("{longest}@b.cn"),
        ] {
            assert_eq!(address_problem(good), None, "{good}");
        }
        for (wrong, bad) in [
            ("one @", &["", "a", "a@b@c.cn"][..]),
            (
                "before the @",
                &["@b.cn", "a b@c.cn", ".a@b.cn", "a.@b.cn", "a..b@c.cn", "张@b.cn", "ä@b.cn", "A <a@b.cn>"],
            ),
            ("before the @", &[&format!("{longest}x@b.cn"), "\"a\"@b.cn", "a,b@c.cn", "a\u{7f}@b.cn"]),
            (
                "after the @",
                &["a@b", "a@", "a@c..cn", "a@.cn", "a@b.cn.", "a@-b.cn", "a@b-.cn", "a@b_c.cn", "a@b.cn\n"],
            ),
            ("Punycode", &["a@例子.cn", "a@müller.de", &format!("a@{}.cn", "x".repeat(64))]),
        ] {
            for text in bad {
                assert!(address_problem(text).is_some_and(|problem| problem.contains(wrong)), "{text}");
            }
        }
    }

    #[test]
    fn a_wrong_platform_is_refused_with_those_that_a_device_may_have() {
        for platform in
            [serde_json::json!("web"), serde_json::json!("ALL"), serde_json::json!(""), serde_json::json!(1)]
        {
            let object =
                serde_json::json!({"alias": "alice", "appId": "demo", "platform": platform, "nativeToken": "t"});
            let problems = RegisterRequest::parse(object.as_object().unwrap().clone()).unwrap_err();
            let details: Vec<_> = problems.iter().map(|it| (it.field.as_str(), it.detail.as_str())).collect();
            assert_eq!(details, [("platform", "must be one of ANDROID, IOS, PC, WEB")], "{platform}");
        }
    }

    #[test]
    fn names_what_is_missing() {
        let problems = RegisterRequest::parse(Map::new()).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["platform", "alias", "appId", "nativeToken"]);
    }

    #[test]
    fn an_address_for_pushes_is_read_whole_and_what_is_wrong_is_named() {
        let parse = |push: Value| {
            let object = serde_json::json!({
                "alias": "alice", "appId": "demo", "platform": "IOS", "nativeToken": "t", "push": push
            });
            RegisterRequest::parse(object.as_object().unwrap().clone())
                .map_err(|problems| problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>())
        };
        for push in [
            serde_json::json!({"channel": "apns", "token": "00fc"}),
            serde_json::json!({"channel": "fcm", "token": "a:b"}),
            serde_json::json!({
                "channel": "webpush", "endpoint": "https://a.example/1", "keys": {"p256dh": "x", "auth": "y"}
            }),
            serde_json::json!({"channel": "mipush"}),
        ] {
            assert_eq!(serde_json::to_value(parse(push.clone()).unwrap().push).unwrap(), push);
        }
        for (push, wrong) in [
            (serde_json::json!({}), &["push.channel"][..]),
            (serde_json::json!({"channel": "sms"}), &["push.channel"]),
            (serde_json::json!({"channel": "apns"}), &["push.token"]),
            (serde_json::json!({"channel": "mipush", "token": "x"}), &["push.token"]),
            (
                serde_json::json!({"channel": "webpush", "keys": {"auth": 1}}),
                &["push.endpoint", "push.keys.p256dh", "push.keys.auth"],
            ),
        ] {
            assert_eq!(parse(push).unwrap_err(), wrong);
        }
    }

    #[test]
    fn does_not_print_what_reaches_a_person() {
        let object = serde_json::json!({"alias": "alice", "appId": "demo", "platform": "IOS", "nativeToken": "secret",
            "mobile": "+8613800138000", "email": "a@b.cn"});
        let shown = format!("{:?}", RegisterRequest::parse(object.as_object().unwrap().clone()).unwrap());
        assert!(!["alice", "secret", "+86", "a@b.cn"].iter().any(|private| shown.contains(private)), "{shown}");
    }
}
