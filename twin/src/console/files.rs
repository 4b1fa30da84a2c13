//! The page's files, within this program: it needs no folder to run from.

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path below the page: `panels/queues.js`.
    pub name: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its content.
    pub body: &'static [u8],
}

/// The twin's own.
pub(super) const OWN: &[File] = &[];
