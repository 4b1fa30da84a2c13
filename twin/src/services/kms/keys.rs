//! The operations on keys: to create, describe and list them, and to change their state.

use serde_json::{Value, json};

use super::Kms;
use super::checks::ALGORITHM;
use super::protocol::{Code, Refusal, Request, invalid, page, refused, required};
use super::stored::{Key, MATERIAL_BYTES, Material, State, arn, now, random};
use crate::ids::{ACCOUNT_ID, uuid};

const DAY_SECONDS: f64 = 24.0 * 60.0 * 60.0;
/// How many keys a page has, and may have.
const PAGE: (i64, i64) = (100, 1_000);
/// The longest description.
const DESCRIPTION_CHARS: usize = 8_192;

/// A new key.
pub(super) fn new_key(description: String, multi_region: bool) -> Result<Key, Refusal> {
    Ok(Key {
        material: Some(Material(random::<MATERIAL_BYTES>()?)),
        created: now(),
        description,
        enabled: true,
        rotates: false,
        multi_region,
        deletion: None,
        declared: None,
    })
}

impl Kms {
    pub(super) fn create_key(&self, request: &Request) -> Result<Value, Refusal> {
        let spec = request.key_spec.as_deref().or(request.customer_master_key_spec.as_deref());
        for (given, only) in [
            (spec, ALGORITHM),
            (request.key_usage.as_deref(), "ENCRYPT_DECRYPT"),
            (request.origin.as_deref(), "AWS_KMS"),
        ] {
            if let Some(other) = given.filter(|given| *given != only) {
                let message = format!("the local twin has no keys of {other}, only of {only}");
                return refused(Code::UnsupportedOperation, message);
            }
        }
        let description = request.description.clone().unwrap_or_default();
        if description.chars().count() > DESCRIPTION_CHARS {
            let constraint = format!("have length less than or equal to {DESCRIPTION_CHARS}");
            return invalid(None, "description", &constraint);
        }
        let id = if request.multi_region { format!("mrk-{}", uuid().replace('-', "")) } else { uuid() };
        let key = new_key(description, request.multi_region)?;
        let answer = json!({"KeyMetadata": metadata(&id, &key)});
        self.change(|stored| {
            stored.keys.insert(id, key);
            Ok(answer)
        })
    }

    pub(super) fn describe_key(&self, request: &Request) -> Result<Value, Refusal> {
        let stored = self.stored();
        let (id, key) = stored.find(required(request.key_id.as_deref(), "keyId")?)?;
        Ok(json!({"KeyMetadata": metadata(&id, key)}))
    }

    pub(super) fn list_keys(&self, request: &Request) -> Result<Value, Refusal> {
        let stored = self.stored();
        let keys = stored.keys.iter().filter(|(_, key)| !key.is_gone());
        page(keys.map(|(id, _)| (id.clone(), json!({"KeyId": id, "KeyArn": arn(id)}))), request, "Keys", PAGE)
    }

    pub(super) fn get_key_rotation_status(&self, request: &Request) -> Result<Value, Refusal> {
        let stored = self.stored();
        let (id, key) = stored.find_by_id(required(request.key_id.as_deref(), "keyId")?)?;
        let is_rotated = key.rotates && key.state() != State::PendingDeletion;
        Ok(json!({"KeyId": arn(&id), "KeyRotationEnabled": is_rotated}))
    }

    pub(super) fn enable_key(&self, request: &Request) -> Result<Value, Refusal> {
        self.set_enabled(request, true)
    }

    pub(super) fn disable_key(&self, request: &Request) -> Result<Value, Refusal> {
        self.set_enabled(request, false)
    }

    fn set_enabled(&self, request: &Request, enabled: bool) -> Result<Value, Refusal> {
        self.change_key(request, |id, key| {
            key.check_not_pending(id)?;
            key.enabled = enabled;
            Ok(json!({}))
        })
    }

    pub(super) fn schedule_key_deletion(&self, request: &Request) -> Result<Value, Refusal> {
        let days = request.pending_window_in_days.unwrap_or(30);
        if !(7..=30).contains(&days) {
            let (bound, word) = if days < 7 { (7, "greater") } else { (30, "less") };
            let constraint = format!("have value {word} than or equal to {bound}");
            return invalid(Some(&days.to_string()), "pendingWindowInDays", &constraint);
        }
        self.change_key(request, |id, key| {
            key.check_not_pending(id)?;
            let deletion = now() + days as f64 * DAY_SECONDS;
            key.deletion = Some(deletion);
            key.enabled = false;
            Ok(json!({
                "KeyId": arn(id),
                "KeyState": key.state().name(),
                "DeletionDate": deletion,
                "PendingWindowInDays": days,
            }))
        })
    }

    pub(super) fn cancel_key_deletion(&self, request: &Request) -> Result<Value, Refusal> {
        self.change_key(request, |id, key| match key.deletion.take() {
            Some(_) => Ok(json!({"KeyId": arn(id)})),
            None => refused(Code::InvalidState, format!("{} is not pending deletion.", arn(id))),
        })
    }

    fn change_key(
        &self,
        request: &Request,
        change: impl FnOnce(&str, &mut Key) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let reference = required(request.key_id.as_deref(), "keyId")?;
        self.change(|stored| {
            let (id, _) = stored.find_by_id(reference)?;
            match stored.keys.get_mut(&id) {
                Some(key) => change(&id, key),
                None => refused(Code::NotFound, format!("Key '{}' does not exist", arn(&id))),
            }
        })
    }
}

/// `KeyMetadata` of a key.
fn metadata(id: &str, key: &Key) -> Value {
    let mut metadata = json!({
        "AWSAccountId": ACCOUNT_ID,
        "Arn": arn(id),
        "CreationDate": key.created,
        "CustomerMasterKeySpec": ALGORITHM,
        "Description": key.description,
        "Enabled": key.state() == State::Enabled,
        "EncryptionAlgorithms": [ALGORITHM],
        "KeyId": id,
        "KeyManager": "CUSTOMER",
        "KeySpec": ALGORITHM,
        "KeyState": key.state().name(),
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": key.multi_region,
        "Origin": "AWS_KMS",
    });
    if let Some(deletion) = key.deletion {
        metadata["DeletionDate"] = deletion.into();
    }
    if key.multi_region {
        let region = arn(id).split(':').nth(3).unwrap_or_default().to_owned();
        metadata["MultiRegionConfiguration"] = json!({
            "MultiRegionKeyType": "PRIMARY",
            "PrimaryKey": {"Arn": arn(id), "Region": region},
            "ReplicaKeys": [],
        });
    }
    metadata
}
