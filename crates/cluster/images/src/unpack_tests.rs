//! Tests of unpacking: hostile layers, whiteouts, bounds. They never need privileges.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use oci_spec::image::{DescriptorBuilder, ImageConfiguration};
use tar::{Builder, Header};

use super::*;
use crate::{Reference, Target, pack};

type Layer = Vec<(EntryType, &'static str, &'static str)>;

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        fs::create_dir(dir.path().join("cache")).unwrap();
        Self { dir, store }
    }

    /// Makes an image of `layers`; an entry's text is its content, or where it links to.
    fn image(&self, layers: &[Layer]) -> Image {
        let layers: Vec<_> = layers
            .iter()
            .map(|entries| {
                let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
                for (kind, path, text) in entries {
                    let mut header = Header::new_gnu();
                    header.set_entry_type(*kind);
                    header.set_mode(0o755);
                    header.set_uid(0);
                    header.set_gid(0);
                    header.set_mtime(0);
                    // Written raw: the builder itself refuses hostile paths.
                    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
                    let content = if *kind == EntryType::Regular { *text } else { "" };
                    if matches!(kind, EntryType::Symlink | EntryType::Link) {
                        header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
                    }
                    header.set_size(content.len() as u64);
                    header.set_cksum();
                    tar.append(&header, content.as_bytes()).unwrap();
                }
                let bytes = tar.into_inner().unwrap().finish().unwrap();
                let digest = self.store.put_blob(&bytes).unwrap();
                DescriptorBuilder::default()
                    .media_type(MediaType::ImageLayerGzip)
                    .digest(digest.to_string().parse::<oci_spec::image::Digest>().unwrap())
                    .size(bytes.len() as u64)
                    .build()
                    .unwrap()
            })
            .collect();
        Image { digest: Digest::of(format!("{layers:?}").as_bytes()), layers, config: ImageConfiguration::default() }
    }

    fn unpack(&self, layers: &[Layer]) -> Result<PathBuf, Error> {
        unpack(&self.store, &self.image(layers), &self.dir.path().join("cache"), Limits::default())
    }

    fn is_clean(&self) -> bool {
        fs::read_dir(self.dir.path().join("cache")).unwrap().next().is_none() && !self.dir.path().join("evil").exists()
    }
}

use EntryType::{Directory as D, Link as H, Regular as F, Symlink as L};

#[test]
fn hostile_entries_are_refused_and_leave_nothing() {
    for (layer, why) in [
        (vec![(F, "../evil", "x")], "it leaves the root"),
        (vec![(F, "a/../../evil", "x")], "it leaves the root"),
        (vec![(H, "a", "../../../etc/passwd")], "it links to outside of the root"),
        (vec![(H, "a", "/etc/passwd")], "it links to a file that is not in the image"),
        (vec![(EntryType::Char, "dev/null", "")], "it is a device"),
        (vec![(EntryType::Block, "dev/sda", "")], "it is a device"),
        (vec![(EntryType::Fifo, "pipe", "")], "it is a pipe"),
        (vec![(L, "a", "b"), (L, "b", "a"), (F, "a/evil", "x")], "its path is a loop of links"),
        (vec![(F, ".wh...", "")], "it hides no name"),
    ] {
        let fixture = Fixture::new();
        let error = fixture.unpack(&[layer]).unwrap_err().to_string();
        assert!(error.ends_with(why), "{error}: {why}");
        assert!(fixture.is_clean(), "{why}");
    }
}

#[test]
fn links_are_followed_within_the_root_only() {
    let fixture = Fixture::new();
    let outside = fixture.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let root = fixture
        .unpack(&[
            vec![
                (D, "usr/", ""),
                (D, "usr/lib/", ""),
                (L, "lib", "usr/lib"),
                (L, "up", "../../../.."),
                (L, "abs", "/usr"),
            ],
            vec![(F, "lib/a", "1"), (F, "up/b", "2"), (F, "abs/c", "3"), (F, "/d", "4")],
        ])
        .unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(
        (read("usr/lib/a"), read("b"), read("usr/c"), read("d")),
        ("1".into(), "2".into(), "3".into(), "4".into())
    );
    assert!(fs::read_dir(outside).unwrap().next().is_none());
}

#[test]
fn whiteouts_hide_what_lower_layers_have() {
    let fixture = Fixture::new();
    let root = fixture
        .unpack(&[
            vec![(F, "a/1", "x"), (F, "a/2", "x"), (F, "b/1", "x"), (F, "c", "x")],
            vec![(F, "a/.wh.1", ""), (F, "b/.wh..wh..opq", ""), (F, "b/2", "y"), (D, "c/", "")],
        ])
        .unwrap();
    let there = |path: &str| root.join(path).exists();
    assert_eq!([there("a/1"), there("a/2"), there("b/1"), there("b/2")], [false, true, false, true]);
    assert!(root.join("c").is_dir());
}

#[test]
fn bombs_stop_at_the_bounds() {
    let fixture = Fixture::new();
    let image = fixture.image(&[vec![(F, "a", "12345"), (F, "b", "12345")]]);
    let cache = fixture.dir.path().join("cache");
    for limits in [Limits { bytes: 9, entries: 9 }, Limits { bytes: 99, entries: 1 }] {
        assert!(matches!(unpack(&fixture.store, &image, &cache, limits), Err(Error::TooLarge { .. })));
    }
    assert!(fixture.is_clean());
}

#[test]
fn a_damaged_layer_is_refused() {
    let fixture = Fixture::new();
    let image = fixture.image(&[vec![(F, "a", "12345")]]);
    let path = fixture.store.blob_path(&Digest::parse(image.layers[0].digest().as_ref()).unwrap());
    File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    assert!(unpack(&fixture.store, &image, &fixture.dir.path().join("cache"), Limits::default()).is_err());
    assert!(fixture.is_clean());
}

#[test]
fn a_packed_executable_unpacks_to_a_root_that_runs_it() {
    let fixture = Fixture::new();
    let reference = Reference::parse("registry.cluster.local/sh:1").unwrap();
    pack::pack(&fixture.store, Path::new("/bin/sh"), &reference, &pack::Config::default()).unwrap();
    let image = fixture.store.image(&reference).unwrap();
    assert!(fixture.store.manifest("sh", &Target::Tag("1".into())).unwrap().is_some());
    let root = unpack(&fixture.store, &image, &fixture.dir.path().join("cache"), Limits::default()).unwrap();
    let exe = image.config.config().as_ref().unwrap().entrypoint().as_ref().unwrap()[0].clone();
    assert!(root.join(exe.trim_start_matches('/')).exists());
    assert!(root.join("tmp").is_dir() && root.join("etc/passwd").exists());
}
