//! Apple Push Notification service: a device is reached under the token that Apple gave it.

use tidings_providers::{Target, apns::DeviceToken};
use tidings_wire::FieldProblem;

pub(crate) fn target(token: &str) -> Result<Target, FieldProblem> {
    let token = DeviceToken::parse(token);
    token.map(Target::Apns).map_err(|error| FieldProblem::new("push.token", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_hexadecimal() {
        assert!(target(&"00fc".repeat(16)).is_ok());
        assert_eq!(target("not hex").unwrap_err().field, "push.token");
    }
}
