//! Whether a device can be reached as its registration says: what no provider would take is refused here, by name.

use tidings_providers::{
    Reach,
    apns::DeviceToken,
    fcm::RegistrationToken,
    webpush::{Subscription, SubscriptionError},
};
use tidings_wire::{FieldProblem, PushAddress};

/// Names what is wrong with an address for pushes.
pub(crate) fn check(address: Option<&PushAddress>, reach: Reach) -> Result<(), Vec<FieldProblem>> {
    let refused = |field: &str, why: &dyn std::error::Error| Err(vec![FieldProblem::new(field, why.to_string())]);
    match address {
        None | Some(PushAddress::Mipush) => Ok(()),
        Some(PushAddress::Apns { token }) => match DeviceToken::parse(token) {
            Ok(_) => Ok(()),
            Err(error) => refused("push.token", &error),
        },
        Some(PushAddress::Fcm { token }) => match RegistrationToken::parse(token) {
            Ok(_) => Ok(()),
            Err(error) => refused("push.token", &error),
        },
        Some(address @ PushAddress::Webpush { .. }) => {
            let text = serde_json::to_string(address).unwrap_or_default();
            match Subscription::parse(&text, reach) {
                Ok(_) => Ok(()),
                Err(error @ (SubscriptionError::Endpoint(_) | SubscriptionError::Malformed)) => {
                    refused("push.endpoint", &error)
                }
                Err(error @ SubscriptionError::P256dh) => refused("push.keys.p256dh", &error),
                Err(error @ SubscriptionError::Auth) => refused("push.keys.auth", &error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_wire::device::WebpushKeys;

    fn wrong(address: &PushAddress) -> Option<String> {
        check(Some(address), Reach::Public).err().map(|problems| problems[0].field.clone())
    }

    fn webpush(endpoint: &str, p256dh: &str, auth: &str) -> PushAddress {
        let keys = WebpushKeys { p256dh: p256dh.to_owned(), auth: auth.to_owned() };
        PushAddress::Webpush { endpoint: endpoint.to_owned(), keys }
    }

    #[test]
    fn what_no_provider_would_take_is_named() {
        // RFC 8291, Appendix A.
        let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let (endpoint, auth) = ("https://push.example.com/1", "BTBZMqHH6r4Tts7J_aSIgg");
        assert_eq!(wrong(&webpush(endpoint, p256dh, auth)), None);
        assert_eq!(wrong(&webpush("http://push.example.com/1", p256dh, auth)).as_deref(), Some("push.endpoint"));
        assert_eq!(wrong(&webpush("https://127.0.0.1/1", p256dh, auth)).as_deref(), Some("push.endpoint"));
        assert_eq!(wrong(&webpush(endpoint, auth, auth)).as_deref(), Some("push.keys.p256dh"));
        assert_eq!(wrong(&webpush(endpoint, p256dh, p256dh)).as_deref(), Some("push.keys.auth"));
        assert_eq!(wrong(&PushAddress::Apns { token: "not hex".to_owned() }).as_deref(), Some("push.token"));
        assert_eq!(wrong(&PushAddress::Apns { token: "00fc".repeat(16) }), None);
        assert_eq!(wrong(&PushAddress::Fcm { token: "a b".to_owned() }).as_deref(), Some("push.token"));
        assert_eq!(wrong(&PushAddress::Mipush), None);
    }
}
