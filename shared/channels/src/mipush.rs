//! Mi Push: one alias reaches all of a user's devices.

use tidings_domain::UserKey;
use tidings_providers::{
    Target,
    mipush::{self, Audience, Recipient},
};
use tidings_wire::{Open, Platform};

pub(crate) fn target(user: &UserKey, platform: Open<Platform>) -> Target {
    let platform = match platform {
        Open::Known(Platform::Ios) => mipush::Platform::Ios,
        Open::Known(Platform::All | Platform::Android | Platform::Pc | Platform::Web) | Open::Unknown(_) => {
            mipush::Platform::Android
        }
    };
    // The same alias in two tenants belongs to two users.
    let UserKey { tenant, alias, .. } = user;
    let name = if tenant.is_empty() { alias.clone() } else { format!("{tenant}|{alias}") };
    Target::Mipush(Recipient { audience: Audience::user(&name), platform })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_alias_in_two_tenants_is_two_names() {
        let user =
            |tenant: &str| UserKey { app: "demo".parse().unwrap(), tenant: tenant.into(), alias: "alice".into() };
        let named = |name: &str, platform| Target::Mipush(Recipient { audience: Audience::user(name), platform });
        assert_eq!(target(&user(""), Platform::Ios.into()), named("alice", mipush::Platform::Ios));
        assert_eq!(target(&user("shop"), Platform::Android.into()), named("shop|alice", mipush::Platform::Android));
    }
}
