//! Webhooks: the app's own server learns whom the message was for, and gets its `extra` in the open.

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
