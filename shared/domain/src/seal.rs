//! How the data of an app is stored and queued: in clear, or sealed under the app's keyring.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidings_crypto::{
    encoding::{base64url, from_base64url},
    keyring::Keyring,
    sealed::{Place, Refused},
};

use crate::{AppId, IdError, TenantKey, Timestamp, UserKey, shape::Body};

/// Purposes of names: a name of one is never read as one of the other.
const ALIAS: &str = "alias";
const ITEM: &str = "item";

/// The purpose of pseudonyms: groups of queues, keys of timers, and log lines.
const PSEUDONYM: &str = "pseudonym";

/// The form of an app's data.
#[derive(Clone, Debug)]
pub enum Seal {
    /// In clear: the deployment does not seal.
    Clear,
    /// Under the keyring of the app.
    Under {
        /// The keyring.
        keyring: Arc<Keyring>,
        /// The time, which decides which of its data keys seals.
        now: Timestamp,
    },
}

/// A queue body as it is stored. The app stays readable, because its keyring opens the rest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedBody {
    /// The app.
    pub app: AppId,
    /// The body, in base64url.
    sealed: String,
}

impl Seal {
    /// Whether data is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Under { .. })
    }

    /// A user as a key of tables: [`UserKey::encode`] with the alias enciphered.
    #[must_use]
    pub fn user(&self, user: &UserKey) -> String {
        match self {
            Self::Clear => user.encode(),
            Self::Under { keyring, .. } => {
                let alias = keyring.name(ALIAS, &user.tenant, &user.alias);
                UserKey { alias, ..user.clone() }.encode()
            }
        }
    }

    /// Reads what [`Self::user`] has written.
    ///
    /// # Errors
    /// If the text is no user of this app.
    pub fn read_user(&self, text: &str) -> Result<UserKey, IdError> {
        let user = UserKey::decode(text)?;
        match self {
            Self::Clear => Ok(user),
            Self::Under { keyring, .. } => {
                let alias = keyring.open_name(ALIAS, &user.tenant, &user.alias).map_err(|Refused| IdError::USER_KEY)?;
                Ok(UserKey { alias, ..user })
            }
        }
    }

    /// The name of an item as a key of tables.
    #[must_use]
    pub fn item(&self, tenant: &TenantKey, name: &str) -> String {
        match self {
            Self::Clear => name.to_owned(),
            Self::Under { keyring, .. } => keyring.name(ITEM, &tenant.tenant, name),
        }
    }

    /// A pseudonym of the user for log lines, queue groups and timers: 32 hexadecimal digits. Under a keyring it cannot
    /// be found by guessing aliases.
    #[must_use]
    pub fn pseudonym(&self, user: &UserKey) -> String {
        match self {
            Self::Clear => user.digest(),
            Self::Under { keyring, .. } => keyring.hash(PSEUDONYM, &[&user.tenant, &user.alias]),
        }
    }

    /// A stored value for its place; `None` if data is not sealed.
    #[must_use]
    pub fn value(&self, place: &Place<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Clear => None,
            Self::Under { keyring, now } => Some(keyring.seal_value(place, plain, now.0)),
        }
    }

    /// The body of a queue message. A body that belongs to no app holds nothing of anybody and stays in clear.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn body<T: Body + Serialize>(&self, body: &T) -> Result<String, serde_json::Error> {
        let json = serde_json::to_string(body)?;
        match (self, body.app()) {
            (Self::Clear, _) | (_, None) => Ok(json),
            (Self::Under { keyring, now }, Some(app)) => {
                let sealed = keyring.seal_value(&body_place(app, T::KIND), json.as_bytes(), now.0);
                serde_json::to_string(&SealedBody { app: app.clone(), sealed: base64url(&sealed) })
            }
        }
    }
}

impl SealedBody {
    /// The JSON of the body, of a queue whose bodies are of this kind.
    ///
    /// # Errors
    /// If it was changed, or moved from another app or another kind of queue.
    pub fn open(&self, kind: &str, keyring: &Keyring) -> Result<String, Refused> {
        let sealed = from_base64url(&self.sealed).ok_or(Refused)?;
        let json = keyring.open_value(&body_place(&self.app, kind), &sealed)?;
        String::from_utf8(json.to_vec()).map_err(|_| Refused)
    }
}

/// Bodies stand nowhere for long: they move from queue to queue, into a dead-letter queue and back, and from the due
/// table to a queue. They are bound to their app and kind.
fn body_place<'a>(app: &'a AppId, kind: &'a str) -> Place<'a> {
    Place { app: app.as_str(), family: "body", partition: kind, sort: "", attribute: "", id: "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timer, delivery, timer::SendDue};

    fn seal(app: &str) -> Seal {
        Seal::Under { keyring: Arc::new(Keyring::new(app, [1; 64], [2; 64])), now: Timestamp(0) }
    }

    fn user(tenant: &str, alias: &str) -> UserKey {
        UserKey { app: "demo".parse().unwrap(), tenant: tenant.into(), alias: alias.into() }
    }

    #[test]
    fn a_user_is_read_back_from_its_key_by_the_keyring_of_its_app_alone() {
        let (clear, demo, other) = (Seal::Clear, seal("demo"), seal("other"));
        for it in [user("", "alice"), user("a|b", "%|"), user("租户", "爱丽丝"), UserKey::unowned(user("", "").app)]
        {
            let text = demo.user(&it);
            assert!(text.starts_with(&format!("{}|", it.tenant().encode())), "{text}");
            assert_eq!(demo.read_user(&text).unwrap(), it);
            assert!(other.read_user(&text).is_err() && demo.read_user(&clear.user(&it)).is_err());
            assert_eq!(clear.read_user(&clear.user(&it)).unwrap(), it);
            assert_ne!(demo.pseudonym(&it), it.digest());
            assert_eq!(clear.pseudonym(&it), it.digest());
        }
        // An alias that moves to another tenant is refused.
        let moved = demo.user(&user("a", "alice")).replace("demo|a|", "demo|b|");
        assert!(demo.read_user(&moved).is_err());
    }

    #[test]
    fn a_body_opens_as_its_own_kind_and_for_its_own_app() {
        let job = delivery::Job::Deliver(Box::new(delivery::tests::delivery(1)));
        let app = job.app().unwrap().clone();
        let [ring, other] = [app.as_str(), "x"].map(|app| Keyring::new(app, [1; 64], [2; 64]));
        let seal = Seal::Under { keyring: Arc::new(ring.clone()), now: Timestamp(0) };
        let text = seal.body(&job).unwrap();
        let body: SealedBody = serde_json::from_str(&text).unwrap();
        let json = body.open("job", &ring).unwrap();
        assert_eq!(serde_json::from_str::<delivery::Job>(&json).unwrap(), job);
        assert_eq!(Seal::Clear.body(&job).unwrap(), json);
        assert!(!text.contains(&job.user().alias));
        assert!(body.open("step", &ring).is_err());
        assert!(SealedBody { app: "x".parse().unwrap(), sealed: body.sealed }.open("job", &other).is_err());
        let send = Timer::Send(SendDue { id: delivery::tests::id(1), due: Timestamp(5), more: Default::default() });
        assert_eq!(seal.body(&send).unwrap(), serde_json::to_string(&send).unwrap());
    }
}
