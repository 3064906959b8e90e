//! Takes the platform's ports before anything else is done, or says who has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::bail;
use tokio::net::TcpListener;

/// Binds a loopback port. `flag` is what chooses another one.
pub(crate) async fn bind(port: u16, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    bind_at(Ipv4Addr::LOCALHOST.into(), port, what, flag).await
}

/// Binds a port of one address of this machine.
pub(crate) async fn bind_at(address: IpAddr, port: u16, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((address, port))).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            bail!("{address}, wanted for {what}, is no address of this machine: 'ip address' shows those it has")
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!("{}", taken(port, what, flag)),
        Err(error) => bail!("port {port}, wanted for {what}, cannot be taken ({error}): choose another with {flag}"),
    }
}

/// Says who holds a port and what to do.
pub(crate) fn taken(port: u16, what: &str, flag: &str) -> String {
    let holder = holder(port).map_or_else(
        || "by a process that this user may not see".to_owned(),
        |(pid, name)| format!("by {name} (process {pid})"),
    );
    format!("port {port}, wanted for {what}, is taken {holder}: stop that process, or choose another port with {flag}")
}

/// Returns pid and name of the process that listens on a loopback port.
fn holder(port: u16) -> Option<(u32, String)> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1)?.rsplit(':').next()?;
            // 0A: listening.
            (u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == "0A")
                .then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    })?;
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = std::fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.to_string_lossy() == wanted));
        holds.then(|| {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder_and_the_flag() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = bind(port, "the portal", "--portal-port").await.unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--portal-port"), "{error}");
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
    }
}
