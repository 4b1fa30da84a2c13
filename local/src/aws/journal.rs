//! The queues' journal: an append-only file of what was accepted and what is done, so that a kill loses no message.
//!
//! One thread writes. It takes everything that waits, writes it in one piece and calls `fsync` once for all; a sender
//! is answered after that. At start the journal is read, and written anew without what is done.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fs, thread};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::sqs::Message;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Record {
    /// A queue took a message in.
    Sent {
        /// The queue's name.
        queue: String,
        /// Its place in the queue.
        sequence: u64,
        /// When it becomes visible.
        visible_at: u64,
        /// The message.
        message: Message,
    },
    /// A consumer received a message.
    Received {
        /// The queue's name.
        queue: String,
        /// Its place in the queue.
        sequence: u64,
        /// How often it was received by now.
        receives: u32,
        /// When it was first received.
        first_received_at: u64,
    },
    /// A message is gone: deleted, expired, or moved to a queue of dead letters.
    Deleted {
        /// The queue's name.
        queue: String,
        /// Its place in the queue.
        sequence: u64,
    },
    /// A message is gone, and its deduplication id is not forgotten yet.
    Remembered {
        /// The queue's name.
        queue: String,
        /// Its group, where deduplication is by group.
        group: Option<String>,
        /// Its deduplication id.
        deduplication_id: String,
        /// The id that a repetition is answered with.
        message_id: String,
        /// Its place in the queue.
        sequence: u64,
        /// When it was sent.
        sent_at: u64,
    },
}

/// Reads a journal, none if the file is missing. A last line that a kill cut short was never answered for: it is left out.
pub(super) fn read(path: &Path) -> io::Result<Vec<Record>> {
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

/// An open journal. It is closed when the last clone is gone.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    entries: Sender<Entry>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    Flush(oneshot::Sender<io::Result<()>>),
}

impl Journal {
    /// Writes a journal of these records in the place of the old one, and opens it.
    pub(super) fn create(path: &Path, records: impl Iterator<Item = Record>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        let mut file = io::BufWriter::new(File::create(&new)?);
        for record in records {
            file.write_all(&line(&record)?)?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&new, path)?;
        // The new name has to be on the disk as well.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        let file = OpenOptions::new().append(true).open(path)?;
        let (entries, queue) = channel();
        let path = path.to_owned();
        thread::Builder::new().name("queue-journal".to_owned()).spawn(move || write_all(file, &path, &queue))?;
        Ok(Self { entries })
    }

    /// Adds a record, which is on the disk only after a later [`flush`](Self::flush).
    pub(super) fn append(&self, record: &Record) {
        // Nobody is there to write once the writer failed to; `flush` is what tells.
        if let Ok(line) = line(record) {
            let _ = self.entries.send(Entry::Line(line));
        }
    }

    /// Waits until everything that was added before is on the disk.
    pub(super) async fn flush(&self) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let closed = || io::Error::other("the journal is closed");
        self.entries.send(Entry::Flush(done)).map_err(|_| closed())?;
        written.await.map_err(|_| closed())?
    }
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

fn write_all(mut file: File, path: &Path, queue: &Receiver<Entry>) {
    // After a failed write the end of the file is unknown: nothing after it can be promised.
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

    fn deleted(sequence: u64) -> Record {
        Record::Deleted { queue: "q".to_owned(), sequence }
    }

    #[tokio::test]
    async fn what_was_flushed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/queues.journal");
        assert_eq!(read(&path).unwrap(), []);
        let journal = Journal::create(&path, [deleted(1)].into_iter()).unwrap();
        journal.append(&deleted(2));
        journal.append(&deleted(3));
        journal.flush().await.unwrap();
        assert_eq!(read(&path).unwrap(), [deleted(1), deleted(2), deleted(3)]);
    }

    #[test]
    fn a_line_cut_short_is_left_out_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queues.journal");
        let whole = String::from_utf8(line(&deleted(1)).unwrap()).unwrap();
        fs::write(&path, format!("{whole}{{\"deleted\":{{\"que")).unwrap();
        assert_eq!(read(&path).unwrap(), [deleted(1)]);
        fs::write(&path, format!("{{\"del\n{whole}")).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
