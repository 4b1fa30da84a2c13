//! Webhooks: the app's server receives the recipient and the message's `extra` in clear.

use tidings_domain::{Entry, chain::StepDue};
use tidings_providers::Target;

use crate::push::Addressed;

pub(crate) fn addressed(due: &StepDue, entry: &Entry) -> Addressed<'static> {
    let tenant = Some(&due.user.tenant).filter(|tenant| !tenant.is_empty());
    let extra = entry.letter.content.extra.as_ref();
    let data = [
        ("alias", Some(due.user.alias.clone())),
        ("tenantCode", tenant.cloned()),
        ("extra", extra.map(ToString::to_string)),
    ];
    let data = data.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Addressed { device: None, target: Ok(Target::Webhook), data }
}
