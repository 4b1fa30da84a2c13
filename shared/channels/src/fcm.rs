//! Firebase Cloud Messaging: an app on a device is reached under its registration token.

use tidings_providers::{Target, fcm::RegistrationToken};
use tidings_wire::FieldProblem;

pub(crate) fn target(token: &str) -> Result<Target, FieldProblem> {
    let token = RegistrationToken::parse(token);
    token.map(Target::Fcm).map_err(|error| FieldProblem::new("push.token", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_blanks() {
        assert!(target("a:b").is_ok());
        assert_eq!(target("a b").unwrap_err().field, "push.token");
    }
}
