//! Roles: the rights of each function, by the policies of the template, and which of them were used.
//!
//! The twin evaluates identity-based policies as IAM does within one account
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>). They are read once,
//! at the start, which fails if a statement cannot be evaluated. A request is checked against the role of the function
//! whose process has signed it, and against the policy and the grants of a key of KMS; requests of people are not
//! limited. Each service defines the action and the resource
//! that a request needs, by the Service Authorization Reference
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/>).

mod condition;
mod control;
mod key_policy;
pub(crate) mod named;
mod pattern;
mod role;
mod statement;
#[cfg(test)]
mod tests;
pub(crate) mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

pub(crate) use self::condition::{Context, ENCRYPTION_CONTEXT};
pub(crate) use self::control::control;
pub(crate) use self::key_policy::KeyPolicy;
use self::key_policy::Verdict;
pub use self::role::Role;
pub(crate) use self::role::{Decision, Need};
use self::statement::Effect;
pub(crate) use self::statement::{Origin, Rule};

/// The most refusals that are remembered, each kind once.
const REMEMBERED: usize = 1_000;

/// The roles of a twin's functions. A clone is the same set.
#[derive(Debug, Clone, Default)]
pub struct Roles(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    arns: Arns,
    roles: BTreeMap<String, Used>,
    /// By logical id.
    functions: BTreeMap<String, Principal>,
    /// The policies of keys of KMS, by the key's ARN.
    keys: BTreeMap<String, KeyPolicy>,
    refused: Mutex<BTreeMap<(String, String, String), u64>>,
}

/// A role, and which of its rules have allowed a request.
#[derive(Debug)]
struct Used {
    role: Role,
    used: Vec<AtomicBool>,
    /// The functions that have it, by logical id.
    functions: String,
}

#[derive(Debug)]
struct Principal {
    role: String,
    /// The ARN of the role.
    role_arn: String,
    /// The ARN of the session in which the function has the role.
    arn: String,
}

/// Writes ARNs of the twin's account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arns {
    region: String,
    account: String,
}

impl Arns {
    pub(crate) fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned() }
    }

    /// `arn:aws:dynamodb:us-east-1:000000000000:table/things`
    pub(crate) fn of(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// `arn:aws:iam::000000000000:role/things`, of a service without regions.
    pub(crate) fn global(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}::{}:{resource}", self.account)
    }

    /// Adds the condition keys that every request has.
    pub(crate) fn complete(&self, need: &mut Need) {
        let Self { region, account } = self;
        let common = [
            ("aws:principalaccount", account.as_str()),
            ("aws:requestedregion", region),
            ("aws:resourceaccount", account),
            // On AWS, requests arrive over TLS.
            ("aws:securetransport", "true"),
        ];
        need.context.extend(common.map(|(key, value)| (key.into(), vec![value.to_owned()])));
    }
}

/// A request that a role does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    /// The caller: the role and the function.
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    reason: Reason,
}

/// The part of the policies by which a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    RoleAllowsNothing,
    RoleDenies,
    KeyAllowsNothing,
    KeyDenies,
}

impl Denial {
    /// The reason, as IAM words it.
    pub(crate) fn reason(&self, action: &str) -> String {
        match self.reason {
            Reason::RoleAllowsNothing => format!("because no identity-based policy allows the {action} action"),
            Reason::RoleDenies => "with an explicit deny in an identity-based policy".to_owned(),
            Reason::KeyAllowsNothing => format!("because no resource-based policy allows the {action} action"),
            Reason::KeyDenies => "with an explicit deny in a resource-based policy".to_owned(),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, action, resource, .. } = self;
        let reason = self.reason(action);
        write!(f, "User: {principal} is not authorized to perform: {action} on resource: {resource} {reason}")
    }
}

/// A right that the template gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Right {
    /// The function, by logical id; several, if they share the role.
    pub function: String,
    /// The action, or the policy that the template names.
    pub action: String,
    /// The resource.
    pub resource: String,
}

/// A kind of request that a role did not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The function, by logical id.
    pub function: String,
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// How often it was refused.
    pub times: u64,
}

impl Roles {
    /// The roles of functions, each given as logical id, name and the name of its role. `keys` are the policies of keys
    /// of KMS, by ARN.
    pub(crate) fn new<'f>(
        functions: impl Iterator<Item = (&'f str, &'f str, &'f str)>,
        roles: &BTreeMap<String, Role>,
        keys: BTreeMap<String, KeyPolicy>,
        arns: Arns,
    ) -> Self {
        let account = &arns.account;
        let mut principals = BTreeMap::new();
        let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (logical_id, name, role) in functions {
            let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/{name}");
            let role_arn = format!("arn:aws:iam::{account}:role/{role}");
            principals.insert(logical_id.to_owned(), Principal { role: role.to_owned(), role_arn, arn });
            holders.entry(role).or_default().push(logical_id);
        }
        let used = |role: &Role| Used {
            role: role.clone(),
            used: role.rules.iter().map(|_| AtomicBool::new(false)).collect(),
            functions: holders.get(role.name.as_str()).map(|holders| holders.join(", ")).unwrap_or_default(),
        };
        let roles: BTreeMap<String, Used> = roles.iter().map(|(name, role)| (name.clone(), used(role))).collect();
        for held in roles.values() {
            for need in &held.role.asked_by_lambda {
                held.mark(&held.role.decide(need));
            }
        }
        Self(Arc::new(Shared { arns, roles, functions: principals, keys, refused: Mutex::default() }))
    }

    pub(crate) fn arns(&self) -> &Arns {
        &self.0.arns
    }

    /// Checks the needs of a request against the role of the calling function.
    pub(crate) fn check(&self, function: &str, needs: Vec<Need>) -> Result<(), Denial> {
        let Some(principal) = self.0.functions.get(function) else { return Ok(()) };
        let Some(held) = self.0.roles.get(&principal.role) else { return Ok(()) };
        for mut need in needs {
            self.0.arns.complete(&mut need);
            let decision = held.role.decide(&need);
            let Err(reason) = self.judge(principal, &decision, &need) else {
                held.mark(&decision);
                continue;
            };
            let resource = need.resource().to_owned();
            let denial = Denial { principal: principal.arn.clone(), action: need.action, resource, reason };
            self.refuse(function, &denial);
            return Err(denial);
        }
        Ok(())
    }

    /// Joins the decision of the role with the key's policy and grants. A denial wins; otherwise a grant or the key's
    /// policy is enough, and the role's policies count if the key's policy leaves the decision to them
    /// (<https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html>).
    fn judge(&self, principal: &Principal, decision: &Decision, need: &Need) -> Result<(), Reason> {
        let is_principal = |arn: &str| arn == principal.role_arn || arn == principal.arn;
        let policy = self.0.keys.get(need.resource());
        let verdict =
            policy.map_or(Verdict::LeftToRole, |policy| policy.decide(need, &self.0.arns.account, is_principal));
        let is_granted = need.granted_to.iter().any(|grantee| is_principal(grantee));
        match (decision, verdict) {
            (Decision::Denied, _) => Err(Reason::RoleDenies),
            (_, Verdict::Denied) => Err(Reason::KeyDenies),
            (_, Verdict::Allowed) => Ok(()),
            (Decision::Allowed(_), Verdict::LeftToRole) => Ok(()),
            _ if is_granted => Ok(()),
            (Decision::NotAllowed, _) => Err(Reason::RoleAllowsNothing),
            (Decision::Allowed(_), Verdict::NotAllowed) => Err(Reason::KeyAllowsNothing),
        }
    }

    fn refuse(&self, function: &str, denial: &Denial) {
        let Denial { action, resource, .. } = denial;
        tracing::error!(target: "twin::rights", function, action, resource, "{denial}");
        let mut refused = self.refused();
        if refused.len() < REMEMBERED {
            *refused.entry((function.to_owned(), action.clone(), resource.clone())).or_default() += 1;
        }
    }

    /// Every right that the template gives, and whether it was used. A policy that the template only names counts as
    /// one right; a policy that SAM adds does not count.
    #[must_use]
    pub fn rights(&self) -> BTreeMap<Right, bool> {
        let mut rights = BTreeMap::new();
        for held in self.0.roles.values() {
            let rules = held.role.rules.iter().zip(&held.used);
            for (rule, used) in rules.filter(|(rule, _)| rule.effect == Effect::Allow) {
                let (action, resource) = match &rule.origin {
                    Origin::Written => (rule.action.to_string(), rule.resource.to_string()),
                    Origin::Named(name) => (name.clone(), String::new()),
                    Origin::Added => continue,
                };
                let right = Right { function: held.functions.clone(), action, resource };
                *rights.entry(right).or_default() |= used.load(Ordering::Relaxed);
            }
        }
        rights
    }

    /// The requests that the roles did not allow.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        let refusal = |((function, action, resource), times): (&(String, String, String), &u64)| Refusal {
            function: function.clone(),
            action: action.clone(),
            resource: resource.clone(),
            times: *times,
        };
        self.refused().iter().map(refusal).collect()
    }

    /// The functions, by logical id.
    #[must_use]
    pub fn functions(&self) -> BTreeSet<&str> {
        self.0.functions.keys().map(String::as_str).collect()
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<(String, String, String), u64>> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// Records which rules have allowed a request.
    fn mark(&self, decision: &Decision) {
        if let Decision::Allowed(places) = decision {
            places.iter().for_each(|place| self.used[*place].store(true, Ordering::Relaxed));
        }
    }
}
