//! The store as its callers meet it.

use serde_json::json;

use super::*;

async fn put(store: &Store, key: &str, expect: Expect, value: Value) -> Outcome {
    store.write(key, expect, Write::Put(value)).await.unwrap()
}

#[tokio::test]
async fn a_write_carries_its_revision_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let object = json!({"aaa": {"metadata": {"x": 1}}, "kind": "T", "metadata": {"name": "n"}});
    let Outcome::Done(entry) = put(&store, "g/ts//n", Expect::Absent, object.clone()).await else { panic!() };
    assert_eq!(entry.value()["metadata"]["resourceVersion"], entry.revision.to_string());
    assert_eq!(entry.value()["aaa"], object["aaa"]);
    drop(store);
    let store = reopen(dir.path());
    assert_eq!(store.snapshot().get("g/ts//n").unwrap().value(), entry.value());
    assert_eq!(store.snapshot().revision, entry.revision);
    let changes = store.changes("g/ts", 0, 9).unwrap();
    assert_eq!(changes[0].entry, entry, "a watcher goes on where it was");
}

fn reopen(dir: &Path) -> Store {
    // The commit thread of the dropped store lets go of the file a moment later.
    let deadline = base::clock::instant() + std::time::Duration::from_secs(5);
    loop {
        match Store::open(dir) {
            Ok(store) => return store,
            Err(error) if base::clock::instant() > deadline => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[tokio::test]
async fn of_two_writers_one_wins_and_the_other_sees_what_is_there() {
    let store = Store::in_memory().unwrap();
    let Outcome::Done(first) = put(&store, "g/ts//n", Expect::Absent, json!({"v": 1})).await else { panic!() };
    assert!(matches!(put(&store, "g/ts//n", Expect::Absent, json!({"v": 2})).await, Outcome::Mismatch(Some(_))));
    let (a, b) = tokio::join!(
        put(&store, "g/ts//n", Expect::Revision(first.revision), json!({"v": 3})),
        put(&store, "g/ts//n", Expect::Revision(first.revision), json!({"v": 4})),
    );
    let done = [a, b].into_iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was_and_pages_by_key() {
    let store = Store::in_memory().unwrap();
    for name in ["c", "a", "b"] {
        put(&store, &format!("g/ts/ns/{name}"), Expect::Absent, json!({})).await;
    }
    let snapshot = store.snapshot();
    put(&store, "g/ts/ns/d", Expect::Absent, json!({})).await;
    let keys: Vec<_> = snapshot.range("g/ts/", None).map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, ["g/ts/ns/a", "g/ts/ns/b", "g/ts/ns/c"]);
    let rest: Vec<_> = snapshot.range("g/ts/", Some("g/ts/ns/a")).map(|(key, _)| key.clone()).collect();
    assert_eq!(rest, ["g/ts/ns/b", "g/ts/ns/c"]);
}

#[tokio::test]
async fn a_watcher_is_told_every_change_in_order() {
    let store = Store::in_memory().unwrap();
    let mut notices = store.notices("g/ts");
    let Outcome::Done(entry) = put(&store, "g/ts//n", Expect::Absent, json!({"v": 1})).await else { panic!() };
    put(&store, "g/ts//n", Expect::Revision(entry.revision), json!({"v": 2})).await;
    let last = store.snapshot().get("g/ts//n").unwrap().revision;
    store.write("g/ts//n", Expect::Revision(last), Write::Delete(json!({"v": 2}))).await.unwrap();
    notices.changed().await.unwrap();
    let kinds: Vec<_> = store.changes("g/ts", 0, 9).unwrap().iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]);
    assert_eq!(store.changes("g/ts", entry.revision, 9).unwrap().len(), 2);
    assert!(store.changes("g/other", 0, 9).unwrap().is_empty());
}

fn reopen_with(dir: &Path, options: fn() -> Options) -> Result<Store, Error> {
    // The commit thread of the dropped store lets go of the file a moment later.
    let deadline = base::clock::instant() + Duration::from_secs(5);
    loop {
        match Store::open_with(dir, options()) {
            Err(Error::Open { reason, .. }) if reason.contains("has it open") && base::clock::instant() < deadline => {
                std::thread::yield_now();
            }
            other => return other,
        }
    }
}

const SECRET: &str = "core/secrets/default/s";

fn sealed_with(keys: &str) -> Options {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n{keys}"
    );
    Options { encryption: Encryption::parse(&text).unwrap(), ..Options::default() }
}

fn first_key() -> Options {
    sealed_with(
        "  - aescbc:\n      keys:\n      - name: key1\n        secret: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n  - identity: {}\n",
    )
}

fn second_key() -> Options {
    sealed_with(
        "  - secretbox:\n      keys:\n      - name: key2\n        secret: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n  - aescbc:\n      keys:\n      - name: key1\n        secret: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    )
}

#[tokio::test]
async fn a_secret_lies_encrypted_on_disk_and_keys_change() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = uuid::Uuid::new_v4().simple().to_string();
    let secret = json!({"metadata": {"name": "s"}, "data": {"k": hidden}});
    let store = Store::open(dir.path()).unwrap();
    let Outcome::Done(plain) = put(&store, SECRET, Expect::Absent, secret).await else { panic!() };
    drop(store);
    let on_disk = || {
        let bytes = std::fs::read(dir.path().join(rows::FILE)).unwrap();
        bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes())
    };
    assert!(on_disk());
    let store = reopen_with(dir.path(), first_key).unwrap();
    assert_eq!(store.snapshot().get(SECRET).unwrap().bytes, plain.bytes, "the revision stays");
    let more = json!({"metadata": {"name": "s"}, "data": {"k": hidden, "l": "m"}});
    put(&store, SECRET, Expect::Revision(plain.revision), more).await;
    let last = store.snapshot().get(SECRET).unwrap().clone();
    drop(store);
    let store = reopen_with(dir.path(), second_key).unwrap();
    assert_eq!(store.snapshot().get(SECRET), Some(&last));
    assert_eq!(store.changes("core/secrets", plain.revision, 9).unwrap()[0].previous.as_ref(), Some(&plain));
    drop(store);
    let error = reopen_with(dir.path(), Options::default).err().unwrap().to_string();
    assert!(error.contains("the object core/secrets/default/s is encrypted with secretbox:v1:key2"), "{error}");
}

#[tokio::test]
async fn nothing_of_a_new_secret_reaches_the_disk_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = uuid::Uuid::new_v4().simple().to_string();
    let store = Store::open_with(dir.path(), first_key()).unwrap();
    let secret = |n: u8| json!({"metadata": {"name": "s"}, "data": {"k": hidden, "n": n}});
    let Outcome::Done(entry) = put(&store, SECRET, Expect::Absent, secret(1)).await else { panic!() };
    let Outcome::Done(entry) = put(&store, SECRET, Expect::Revision(entry.revision), secret(2)).await else { panic!() };
    store.write(SECRET, Expect::Revision(entry.revision), Write::Delete(secret(2))).await.unwrap();
    let target = dir.path().join("snapshot");
    store.save(&target).await.unwrap();
    for file in [rows::FILE, "snapshot"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        assert!(!bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes()), "{file}");
    }
}

#[tokio::test]
async fn a_snapshot_of_a_working_store_is_restored_with_revisions_that_nobody_saw() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("a")).unwrap();
    let name = uuid::Uuid::new_v4().simple().to_string();
    let key = format!("g/ts//{name}");
    put(&store, &key, Expect::Absent, json!({"v": 1})).await;
    let file = dir.path().join("saved");
    store.save(&file).await.unwrap();
    let Outcome::Done(later) = put(&store, "g/ts//later", Expect::Absent, json!({})).await else { panic!() };
    let report = check(&file).unwrap();
    assert_eq!((report.objects, report.changes), (1, 1));
    let restored = dir.path().join("b");
    restore(&file, &restored).unwrap();
    assert!(matches!(restore(&file, &restored), Err(Error::Restore { .. })), "a store is never overwritten");
    let store = Store::open(&restored).unwrap();
    let snapshot = store.snapshot();
    assert!(snapshot.get(&key).is_some() && snapshot.get("g/ts//later").is_none());
    assert!(snapshot.revision > later.revision);
    assert!(store.changes("g/ts", later.revision, 9).is_none(), "an old watcher is told to begin anew");
}

#[tokio::test]
async fn a_damaged_object_is_noticed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    put(&store, "g/ts//n", Expect::Absent, json!({"v": 1})).await;
    drop(store);
    drop(reopen(dir.path()));
    let path = dir.path().join(rows::FILE);
    let deadline = base::clock::instant() + Duration::from_secs(5);
    let database = loop {
        match redb::Database::open(&path) {
            Ok(database) => break database,
            Err(error) if base::clock::instant() > deadline => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    };
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(rows::OBJECTS).unwrap();
        let mut row = rows::checksummed("g/ts//n", 2, b"{}");
        *row.last_mut().unwrap() ^= 1;
        table.insert("g/ts//n", row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("the object g/ts//n is damaged (its checksum is wrong): restore a snapshot"), "{error}");
    assert!(check(&path).is_err());
}

#[tokio::test]
async fn what_happened_is_remembered_on_disk_as_far_as_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options { history_bytes: 20_000, ..Options::default() };
    let store = Store::open_with(dir.path(), small()).unwrap();
    let filler = "x".repeat(1000);
    let Outcome::Done(mut entry) = put(&store, "g/ts//n", Expect::Absent, json!({"v": 0})).await else { panic!() };
    let first = entry.revision;
    for round in 1..60 {
        let expect = Expect::Revision(entry.revision);
        let Outcome::Done(next) = put(&store, "g/ts//n", expect, json!({"v": round, "f": filler})).await else {
            panic!()
        };
        entry = next;
    }
    drop(store);
    let store = reopen_with(dir.path(), small).unwrap();
    assert!(store.changes("g/ts", first, 99).is_none(), "the oldest are forgotten");
    let recent = store.changes("g/ts", entry.revision - 5, 99).unwrap();
    let values: Vec<_> = recent.iter().map(|change| change.entry.value()["v"].clone()).collect();
    assert_eq!(values, [55, 56, 57, 58, 59]);
    let before: Vec<_> = recent.iter().map(|change| change.previous.as_ref().unwrap().value()["v"].clone()).collect();
    assert_eq!(before, [54, 55, 56, 57, 58]);
}
