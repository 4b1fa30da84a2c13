//! The record that a twin writes at its end, if a folder is named for it: the rights that its functions used, and the
//! kinds of requests that they made. A test command that starts many twins can then show which of them no test has used
//! or has let fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::iam::{Right, Roles};
use crate::ids::uuid;
use crate::service::Service;

/// The variable that names the folder to the command line.
pub const VARIABLE: &str = "SAM_TWIN_RECORDS";

/// The folder that the environment names.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The kinds of requests that functions make. A clone records into the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds(Arc<Mutex<BTreeMap<String, Count>>>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    times: u64,
    struck: u64,
}

/// A request that was recorded.
pub(crate) struct Noted<'k> {
    kinds: &'k Kinds,
    kind: String,
}

impl Noted<'_> {
    /// Records that a fault strikes the request.
    pub(crate) fn struck(self) {
        self.kinds.counts().entry(self.kind).or_default().struck += 1;
    }
}

impl Kinds {
    pub(crate) fn note(&self, function: &str, service: Service, kind: &str) -> Noted<'_> {
        let kind = format!("{function} {} {kind}", service.name());
        self.counts().entry(kind.clone()).or_default().times += 1;
        Noted { kinds: self, kind }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of a twin's record, and its content.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    template: PathBuf,
    pub(crate) kinds: Kinds,
}

/// One twin's record.
#[derive(Debug, Serialize)]
struct Record<'r> {
    template: &'r Path,
    functions: BTreeSet<&'r str>,
    rights: Vec<RightUse>,
    requests: Vec<KindCount>,
}

#[derive(Debug, Serialize)]
struct RightUse {
    #[serde(flatten)]
    right: Right,
    used: bool,
}

#[derive(Debug, Serialize)]
struct KindCount {
    kind: String,
    times: u64,
    struck: u64,
}

impl Records {
    /// Records of a twin that serves this template.
    pub(crate) fn new(folder: &Path, template: &Path) -> Self {
        let template = template.canonicalize().unwrap_or_else(|_| template.to_owned());
        Self { folder: folder.to_owned(), template, kinds: Kinds::default() }
    }

    /// Writes the record, as a separate file.
    pub(crate) fn write(&self, roles: &Roles) -> io::Result<()> {
        let count = |(kind, Count { times, struck }): (&String, &Count)| KindCount {
            kind: kind.clone(),
            times: *times,
            struck: *struck,
        };
        let record = Record {
            template: &self.template,
            functions: roles.functions(),
            rights: roles.rights().into_iter().map(|(right, used)| RightUse { right, used }).collect(),
            requests: self.kinds.counts().iter().map(count).collect(),
        };
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(self.folder.join(format!("{}.json", uuid())), serde_json::to_vec(&record)?)
    }
}
