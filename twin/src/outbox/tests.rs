//! The outbox and its journal.

use super::*;

fn draft(number: u32) -> Draft {
    Draft {
        channel: Channel::new("sms"),
        from: None,
        to: vec![format!("+86138{number:08}")],
        subject: None,
        text: Some("hello".to_owned()),
        html: None,
        headers: BTreeMap::new(),
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/outbox.journal");
    let trace = TraceId::new();
    let outbox = Outbox::open(Some(&path)).unwrap();
    for number in 0..3 {
        outbox.put(draft(number), std::slice::from_ref(&trace)).await.unwrap();
    }
    let before = outbox.after(0);
    assert_eq!(before.iter().map(|item| item.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(before[2].traces, [trace]);
    // A kill leaves the file as it is: the sender of half a line was never answered.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    io::Write::write_all(&mut file, br#"{"number": 4, "mess"#).unwrap();
    // Twice: the second start reads what the first has rewritten.
    for _ in 0..2 {
        assert_eq!(Outbox::open(Some(&path)).unwrap().after(0), before);
    }
    let outbox = Outbox::open(Some(&path)).unwrap();
    outbox.put(draft(9), &[]).await.unwrap();
    assert_eq!(outbox.after(3)[0].number, 4);
    assert_eq!(outbox.wait_after(3).await[0].to, ["+8613800000009"]);
}

#[tokio::test]
async fn what_cannot_be_kept_is_neither_answered_nor_shown() {
    // A device that is always full stands for a full disk.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = Journal::on(full, Path::new("/dev/full")).unwrap();
    let outbox = Outbox(Arc::new(Shared { journal: Some(full), ..Shared::default() }));
    assert!(outbox.put(draft(1), &[]).await.is_err());
    assert_eq!(outbox.after(0), []);
}
