//! Where everything lies in the data folder. Nothing else of the product names these files.

use std::path::{Path, PathBuf};

/// The data folder.
#[derive(Clone, Debug)]
pub(crate) struct Paths(PathBuf);

impl Paths {
    pub(crate) fn new(data: &Path) -> Paths {
        Paths(std::path::absolute(data).unwrap_or_else(|_| data.to_owned()))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Held by the running platform.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Version of the folder's layout.
    pub(crate) fn version(&self) -> PathBuf {
        self.0.join("version")
    }

    /// What the running platform says of itself.
    pub(crate) fn platform(&self) -> PathBuf {
        self.0.join("platform.json")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// The token of the platform's first user.
    pub(crate) fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.0.join("log").join(format!("{process}.log"))
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// The authority to trust for services and for the platform's own pages.
    pub(crate) fn gateway_ca(&self) -> PathBuf {
        self.pki().join("gateway-ca.crt")
    }

    /// A folder with that authority alone, under the name that OpenSSL looks it up by.
    pub(crate) fn gateway_ca_folder(&self) -> PathBuf {
        self.pki().join("trust")
    }

    pub(crate) fn gateway_ca_key(&self) -> PathBuf {
        self.pki().join("gateway-ca.key")
    }

    pub(crate) fn gateway_kubeconfig(&self) -> PathBuf {
        self.gateway().join("kubeconfig")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    pub(crate) fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    pub(crate) fn delivery(&self) -> PathBuf {
        self.0.join("delivery")
    }

    pub(crate) fn gateway(&self) -> PathBuf {
        self.0.join("gateway")
    }

    pub(crate) fn portal(&self) -> PathBuf {
        self.0.join("portal")
    }
}

/// Writes a file that its owner alone reads, whole or not at all.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    use anyhow::Context;
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let write = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}
