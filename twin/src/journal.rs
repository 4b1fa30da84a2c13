//! Journals: append-only files of what was accepted, one JSON record per line, so that a kill loses nothing.
//!
//! One thread writes. It takes all waiting records, writes them at once and calls `fsync` once for all; a sender is
//! answered after that. At start a journal is read, and rewritten without the records that are over.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fs, thread};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::private_file;

/// Reads a journal; it is empty if the file is missing. A last line that a kill cut short is left out: its sender was
/// never answered.
pub(crate) fn read<R: DeserializeOwned>(path: &Path) -> io::Result<Vec<R>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut records = Vec::new();
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        records.push(serde_json::from_slice(line).map_err(|error| {
            let message = format!("{} line {}: {error}", path.display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?);
    }
    Ok(records)
}

/// An open journal of records of one type. It is closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Journal<R> {
    entries: Sender<Entry>,
    records: PhantomData<fn(&R)>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    Flush(oneshot::Sender<io::Result<()>>),
}

impl<R: Serialize> Journal<R> {
    /// Replaces the journal by one with these records, and opens it.
    pub(crate) fn create(path: &Path, records: impl Iterator<Item = R>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            private_file::make_folder(folder)?;
        }
        let new = path.with_extension("new");
        let mut file = io::BufWriter::new(private_file::options().write(true).truncate(true).open(&new)?);
        for record in records {
            file.write_all(&line(&record)?)?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&new, path)?;
        // The new name has to be on the disk as well.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Self::on(OpenOptions::new().append(true).open(path)?, path)
    }

    /// A journal that appends to a file.
    pub(crate) fn on(file: File, path: &Path) -> io::Result<Self> {
        let (entries, queue) = channel();
        let path = path.to_owned();
        thread::Builder::new().name("journal".to_owned()).spawn(move || write_all(file, &path, &queue))?;
        Ok(Self { entries, records: PhantomData })
    }

    /// Adds a record. It is on the disk only after a later [`flush`](Self::flush).
    pub(crate) fn append(&self, record: &R) {
        // After a failed write the writer is gone; `flush` reports that.
        if let Ok(line) = line(record) {
            let _ = self.entries.send(Entry::Line(line));
        }
    }

    /// Waits until everything that was added before is on the disk.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let closed = || io::Error::other("the journal is closed");
        self.entries.send(Entry::Flush(done)).map_err(|_| closed())?;
        written.await.map_err(|_| closed())?
    }
}

fn line<R: Serialize>(record: &R) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

fn write_all(mut file: File, path: &Path, queue: &Receiver<Entry>) {
    // After a failed write the end of the file is unknown: no later record is safe.
    let mut failed: Option<io::ErrorKind> = None;
    while let Ok(first) = queue.recv() {
        let mut lines = Vec::new();
        let mut waiting = Vec::new();
        for entry in std::iter::once(first).chain(queue.try_iter()) {
            match entry {
                Entry::Line(line) => lines.extend(line),
                Entry::Flush(done) => waiting.push(done),
            }
        }
        if failed.is_none() {
            let written = file.write_all(&lines).and_then(|()| match waiting.is_empty() {
                true => Ok(()),
                false => file.sync_data(),
            });
            if let Err(error) = written {
                tracing::error!("the journal {} cannot be written: {error}", path.display());
                failed = Some(error.kind());
            }
        }
        for done in waiting {
            let _ = done.send(failed.map_or(Ok(()), |kind| Err(kind.into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    fn deleted(sequence: u64) -> Value {
        json!({"deleted": {"queue": "q", "sequence": sequence}})
    }

    #[tokio::test]
    async fn what_was_flushed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/queues.journal");
        assert_eq!(read::<Value>(&path).unwrap(), [] as [Value; 0]);
        let journal = Journal::create(&path, [deleted(1)].into_iter()).unwrap();
        journal.append(&deleted(2));
        journal.append(&deleted(3));
        journal.flush().await.unwrap();
        assert_eq!(read::<Value>(&path).unwrap(), [deleted(1), deleted(2), deleted(3)]);
    }

    #[test]
    fn a_line_cut_short_is_left_out_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queues.journal");
        let whole = String::from_utf8(line(&deleted(1)).unwrap()).unwrap();
        fs::write(&path, format!("{whole}{{\"deleted\":{{\"que")).unwrap();
        assert_eq!(read::<Value>(&path).unwrap(), [deleted(1)]);
        fs::write(&path, format!("{{\"del\n{whole}")).unwrap();
        assert!(read::<Value>(&path).unwrap_err().to_string().contains("line 1"));
    }
}
