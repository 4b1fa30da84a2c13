//! Web Push: a page in a browser is reached at its subscription's endpoint.

use tidings_providers::{
    Reach, Target,
    webpush::{Subscription, SubscriptionError},
};
use tidings_wire::{FieldProblem, WebpushKeys};

pub(crate) fn target(endpoint: &str, keys: &WebpushKeys, reach: Reach) -> Result<Target, FieldProblem> {
    let subscription = Subscription::new(endpoint, &keys.p256dh, &keys.auth, reach);
    subscription.map(Target::Webpush).map_err(|error| {
        let field = match error {
            SubscriptionError::Malformed | SubscriptionError::Endpoint(_) => "push.endpoint",
            SubscriptionError::P256dh => "push.keys.p256dh",
            SubscriptionError::Auth => "push.keys.auth",
        };
        FieldProblem::new(field, error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_push_service_would_take_is_named() {
        // RFC 8291, Appendix A.
        let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let (endpoint, auth) = ("https://push.example.com/1", "BTBZMqHH6r4Tts7J_aSIgg");
        let wrong = |endpoint: &str, p256dh: &str, auth: &str| {
            let keys = WebpushKeys { p256dh: p256dh.to_owned(), auth: auth.to_owned() };
            target(endpoint, &keys, Reach::Public).err().map(|problem| problem.field)
        };
        assert_eq!(wrong(endpoint, p256dh, auth), None);
        assert_eq!(wrong("http://push.example.com/1", p256dh, auth).as_deref(), Some("push.endpoint"));
        assert_eq!(wrong("https://127.0.0.1/1", p256dh, auth).as_deref(), Some("push.endpoint"));
        assert_eq!(wrong(endpoint, auth, auth).as_deref(), Some("push.keys.p256dh"));
        assert_eq!(wrong(endpoint, p256dh, p256dh).as_deref(), Some("push.keys.auth"));
    }
}
