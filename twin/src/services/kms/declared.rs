//! The keys and aliases of the template, which are there from the start.

use super::Kms;
use super::keys::new_key;
use super::protocol::Refusal;
use super::stored::{Alias, Declared, now};
use crate::template;

impl Kms {
    /// Makes the keys that a template declares, with their aliases. A key that is there keeps its material, and the
    /// state to which requests have brought it, unless the template has changed `Enabled`. A key that was deleted stays
    /// deleted.
    pub(super) fn declare(&self, keys: &[template::Key], aliases: &[template::KeyAlias]) -> Result<(), Refusal> {
        if keys.is_empty() && self.stored().keys.is_empty() {
            return Ok(());
        }
        self.change(|stored| {
            for template::Key { logical_id, id, description, enabled, rotates, multi_region, .. } in keys {
                let declared = Some(Declared { logical_id: logical_id.clone(), enabled: *enabled });
                if !stored.keys.contains_key(id) {
                    let made = new_key(description.clone(), *multi_region)?;
                    stored.keys.insert(id.clone(), made);
                }
                let Some(key) = stored.keys.get_mut(id) else { continue };
                if key.declared != declared && key.deletion.is_none() {
                    key.enabled = *enabled;
                }
                key.declared = declared;
                key.description.clone_from(description);
                key.rotates = *rotates;
            }
            for template::KeyAlias { name, key_id } in aliases {
                if stored.keys.get(key_id).is_none_or(|key| key.is_gone()) {
                    continue;
                }
                let alias = Alias { key_id: key_id.clone(), created: now(), updated: now() };
                let kept = stored.aliases.entry(name.clone()).or_insert(alias);
                if kept.key_id != *key_id {
                    key_id.clone_into(&mut kept.key_id);
                    kept.updated = now();
                }
            }
            let is_declared = |id: &String| keys.iter().any(|key| key.id == *id);
            for (id, key) in stored.keys.iter().filter(|(id, key)| !key.is_gone() && !is_declared(id)) {
                if let Some(Declared { logical_id, .. }) = &key.declared {
                    tracing::warn!("the template has no key {logical_id} now; the data folder keeps it as {id}");
                }
            }
            Ok(())
        })
    }
}
