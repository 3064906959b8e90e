//! The record of a release, as Helm keeps it in a Secret of type `helm.sh/release.v1`.
//!
//! The text in the Secret's `release` key is JSON, packed with gzip and written in base64
//! (`helm.sh/helm/v3/pkg/storage/driver`); both programs read what the other wrote.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Hook;

/// Type of the Secrets that hold releases.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";

/// Most bytes that a record may have when it is unpacked.
const UNPACKED: u64 = 64 << 20;

/// Most bytes of a record in its Secret: what the API server takes, less what the Secret says besides.
const PACKED: usize = (1 << 20) - (4 << 10);

/// Labels that say what a record is; users may set others.
pub const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];

/// How a release stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is in the cluster.
    Deployed,
    /// It was taken away; the record stays.
    Uninstalled,
    /// A newer revision is in the cluster.
    Superseded,
    /// It did not get there whole.
    Failed,
    /// It is being taken away.
    Uninstalling,
    /// Its first revision is under way.
    PendingInstall,
    /// A revision is under way.
    PendingUpgrade,
    /// An old revision is on its way back.
    PendingRollback,
    /// Nobody knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Returns its name, as it stands in records and labels.
    pub fn name(self) -> &'static str {
        match self {
            Status::Deployed => "deployed",
            Status::Uninstalled => "uninstalled",
            Status::Superseded => "superseded",
            Status::Failed => "failed",
            Status::Uninstalling => "uninstalling",
            Status::PendingInstall => "pending-install",
            Status::PendingUpgrade => "pending-upgrade",
            Status::PendingRollback => "pending-rollback",
            Status::Unknown => "unknown",
        }
    }

    /// Returns whether somebody works on it, or stopped in the middle.
    pub fn is_pending(self) -> bool {
        matches!(self, Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback)
    }
}

/// When and how a release came about. Times are RFC 3339; empty means never.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// When its first revision was.
    pub first_deployed: String,
    /// When this revision was.
    pub last_deployed: String,
    /// When it was taken away.
    pub deleted: String,
    /// What happened last, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How it stands.
    pub status: Status,
    /// The rendered `NOTES.txt`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// One revision of a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// When and how.
    pub info: Info,
    /// The chart: `metadata`, `lock`, `templates`, `values`, `schema`, `files`.
    pub chart: Value,
    /// The values that were given, without the chart's own.
    #[serde(skip_serializing_if = "Map::is_empty", deserialize_with = "or_default")]
    pub config: Map<String, Value>,
    /// What it rendered to, hooks left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// What runs at certain moments.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub hooks: Vec<Hook>,
    /// The revision, from 1 on.
    pub version: u32,
    /// Its namespace.
    pub namespace: String,
    /// Labels that users gave it; they stand at the Secret.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
}

/// Reads what Go writes for nothing, `null`, as nothing.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(reader: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(reader)?.unwrap_or_default())
}

/// Why a record cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no record.
    #[error("the record cannot be read: {reason}")]
    Read {
        /// What is wrong with it.
        reason: String,
    },
    /// A Secret cannot hold it.
    #[error(
        "the record has {size} bytes when packed, and a Secret holds {PACKED}: take files out of the chart that no template reads (.helmignore), or split the chart"
    )]
    Large {
        /// Its size.
        size: usize,
    },
    /// It could not be packed.
    #[error("the record cannot be packed: {reason}")]
    Write {
        /// Why.
        reason: String,
    },
}

impl Release {
    /// Returns the name of the Secret that holds this revision.
    pub fn key(&self) -> String {
        key(&self.name, self.version)
    }

    /// Returns a field of the chart's `Chart.yaml`.
    pub fn chart_field(&self, name: &str) -> &str {
        self.chart["metadata"][name].as_str().unwrap_or_default()
    }

    /// Returns the chart's name and version as lists show them: `web-1.2.0`.
    pub fn chart_name(&self) -> String {
        format!("{}-{}", self.chart_field("name"), self.chart_field("version"))
    }

    /// Sets how it stands and why.
    pub fn set(&mut self, status: Status, description: impl Into<String>) {
        self.info.status = status;
        self.info.description = description.into();
    }

    /// Returns the labels of its Secret; `stamp` is `createdAt` or `modifiedAt`, in seconds since 1970.
    pub fn secret_labels(&self, stamp: (&str, i64)) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let version = self.version.to_string();
        let own =
            [("name", &*self.name), ("owner", "helm"), ("status", self.info.status.name()), ("version", &version)];
        labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        labels.insert(stamp.0.to_owned(), stamp.1.to_string());
        labels
    }

    /// Returns the text of the Secret's `release` key, before Kubernetes' own base64.
    pub fn encode(&self) -> Result<String, Error> {
        let fail = |reason: String| Error::Write { reason };
        let json = serde_json::to_vec(self).map_err(|error| fail(error.to_string()))?;
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let packed = packer.write_all(&json).and_then(|()| packer.finish()).map_err(|error| fail(error.to_string()))?;
        let text = STANDARD.encode(packed);
        if text.len() > PACKED {
            return Err(Error::Large { size: text.len() });
        }
        Ok(text)
    }

    /// Reads the text of a Secret's `release` key; `labels` are the Secret's.
    pub fn decode(text: &[u8], labels: &BTreeMap<String, String>) -> Result<Self, Error> {
        let fail = |reason: String| Error::Read { reason };
        let bytes = STANDARD.decode(text.trim_ascii()).map_err(|error| fail(error.to_string()))?;
        let json = if bytes.starts_with(&[0x1f, 0x8b, 0x08]) {
            let mut json = Vec::new();
            GzDecoder::new(&*bytes)
                .take(UNPACKED + 1)
                .read_to_end(&mut json)
                .map_err(|error| fail(error.to_string()))?;
            if json.len() as u64 > UNPACKED {
                return Err(fail(format!("it unpacks to more than {UNPACKED} bytes")));
            }
            json
        } else {
            bytes
        };
        let mut release: Release = serde_json::from_slice(&json).map_err(|error| fail(error.to_string()))?;
        let own = labels.iter().filter(|(key, _)| !SYSTEM_LABELS.contains(&key.as_str()));
        release.labels = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(release)
    }
}

/// Returns the name of the Secret of a revision.
pub fn key(name: &str, version: u32) -> String {
    format!("sh.helm.release.v1.{name}.v{version}")
}

/// Returns the revisions to forget so that one more makes `most`; the newest deployed one stays. 0 means no bound.
pub fn surplus(history: &[Release], most: usize) -> Vec<u32> {
    if most == 0 || history.len() < most {
        return Vec::new();
    }
    let mut sorted: Vec<&Release> = history.iter().collect();
    sorted.sort_by_key(|release| release.version);
    let deployed = sorted.iter().rev().find(|release| release.info.status == Status::Deployed).map(|one| one.version);
    let others = sorted.iter().map(|release| release.version).filter(|version| Some(*version) != deployed);
    others.take(history.len() + 1 - most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(version: u32, status: Status) -> Release {
        Release { version, info: Info { status, ..Info::default() }, ..Release::default() }
    }

    #[test]
    fn a_record_comes_back_as_it_was_and_system_labels_are_not_the_users() {
        let name = format!("r{}", uuid::Uuid::new_v4().simple());
        let labels = BTreeMap::from([("team".to_owned(), name.clone())]);
        let mut release = Release {
            name: name.clone(),
            chart: json!({"metadata": {"name": "web", "version": "1.2.3"}, "values": {"a": [1, "x", null]}}),
            manifest: "---\n# Source: x\nkind: Pod\n".repeat(50),
            version: 7,
            namespace: "n".to_owned(),
            labels: labels.clone(),
            ..Release::default()
        };
        release.set(Status::PendingUpgrade, "Preparing upgrade");
        let text = release.encode().unwrap();
        let stored = release.secret_labels(("createdAt", 5));
        assert_eq!(stored["status"], "pending-upgrade");
        assert_eq!(stored["team"], name);
        assert_eq!(Release::decode(text.as_bytes(), &stored).unwrap(), release);
        assert_eq!(release.chart_name(), "web-1.2.3");
    }

    #[test]
    fn records_of_the_original_are_read() {
        let old = json!({
            "name": "web", "version": 2, "namespace": "n", "config": null, "hooks": null,
            "info": {"first_deployed": "2026-01-01T00:00:00.5+01:00", "deleted": "", "status": "from-the-future"},
        });
        let read = Release::decode(STANDARD.encode(old.to_string()).as_bytes(), &BTreeMap::new()).unwrap();
        assert_eq!((read.version, read.info.status), (2, Status::Unknown));
    }

    #[test]
    fn what_is_no_record_or_too_much_is_refused() {
        for text in [&b"%%%"[..], b"e30x", b"H4sIAAAA"] {
            assert!(matches!(Release::decode(text, &BTreeMap::new()), Err(Error::Read { .. })), "{text:?}");
        }
        let mut noise = 1u64;
        let noise: String = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(33 + (noise >> 33) as u8 % 90)
        })
        .take(2 << 20)
        .collect();
        let large = Release { manifest: noise, ..Release::default() };
        assert!(matches!(large.encode(), Err(Error::Large { .. })));
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..65 {
            packer.write_all(&vec![b' '; 1 << 20]).unwrap();
        }
        let bomb = STANDARD.encode(packer.finish().unwrap());
        let error = Release::decode(bomb.as_bytes(), &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("unpacks to more"), "{error}");
    }

    #[test]
    fn the_oldest_go_and_what_is_deployed_stays() {
        let history =
            [at(4, Status::Failed), at(2, Status::Deployed), at(1, Status::Superseded), at(3, Status::Failed)];
        assert_eq!(surplus(&history, 0), [0u32; 0]);
        assert_eq!(surplus(&history, 5), [0u32; 0]);
        assert_eq!(surplus(&history, 4), [1]);
        assert_eq!(surplus(&history, 2), [1, 3, 4]);
    }
}
