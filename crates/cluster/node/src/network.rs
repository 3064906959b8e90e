//! The bridge and the pods' interfaces, by netlink.
//!
//! A pod's interface lies in the network namespace that its shim holds, so it goes
//! away with the shim and nothing has to be cleaned up. It never touches an interface
//! whose name it did not derive.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
};

use futures::TryStreamExt;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use rtnetlink::{
    Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressMessage},
        link::{InfoData, InfoVeth, LinkAttribute},
    },
};

use crate::{Error, shim::protocol::PodNetwork};

/// Runs `work` with a netlink connection in the network namespace of this thread.
async fn with_netlink<T, F: Future<Output = Result<T, Error>>>(work: impl FnOnce(Handle) -> F) -> Result<T, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|source| Error::Disk {
        operation: "open",
        path: "netlink".into(),
        source,
    })?;
    tokio::select! {
        () = connection => Err(Error::Network {
            operation: "reach", name: "netlink".into(), source: rtnetlink::Error::RequestFailed,
        }),
        result = work(handle) => result,
    }
}

fn failed(operation: &'static str, name: &str) -> impl FnOnce(rtnetlink::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::Network { operation, name, source }
}

async fn index_of(handle: &Handle, name: &str) -> Result<Option<u32>, Error> {
    let found = handle.link().get().match_name(name.to_owned()).execute().try_next().await;
    match found {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -(nix::libc::ENODEV) => Ok(None),
        Err(error) => Err(failed("look for", name)(error)),
    }
}

/// Makes the bridge `name` with `address` if it is not there, and returns when it is up.
pub(crate) async fn ensure_bridge(name: &str, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
    with_netlink(|handle| async move {
        let index = match index_of(&handle, name).await? {
            Some(index) => index,
            None => {
                // A bridge without an address of its own takes the lowest of its ports', which changes as pods come and go.
                let [_, b, c, d] = address.octets();
                let bridge = LinkBridge::new(name).address(vec![0x02, 0x72, 0x73, b, c, d]).build();
                handle.link().add(bridge).execute().await.map_err(failed("create bridge", name))?;
                index_of(&handle, name)
                    .await?
                    .ok_or_else(|| failed("find bridge", name)(rtnetlink::Error::RequestFailed))?
            }
        };
        let add = handle.address().add(index, address.into(), prefix).replace();
        add.execute().await.map_err(failed("give an address to", name))?;
        handle
            .link()
            .set(LinkUnspec::new_with_index(index).up().build())
            .execute()
            .await
            .map_err(failed("bring up", name))
    })
    .await
}

/// Returns the addresses of this machine's interfaces, those of the bridge `own` left out.
pub(crate) async fn addresses(own: &str) -> Result<Vec<(Ipv4Addr, u8)>, Error> {
    with_netlink(|handle| async move {
        let own = index_of(&handle, own).await?;
        let found: Vec<_> = handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list the addresses of", "all links"))?;
        let others = found.into_iter().filter(|message| Some(message.header.index) != own);
        let address = |message: AddressMessage| {
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(IpAddr::V4(address)) => Some((*address, message.header.prefix_len)),
                _ => None,
            })
        };
        Ok(others.filter_map(address).collect())
    })
    .await
}

/// Removes the bridge `name` and what hangs on it, if it is there.
pub(crate) async fn remove_bridge(name: &str) -> Result<(), Error> {
    with_netlink(|handle| async move {
        let Some(bridge) = index_of(&handle, name).await? else { return Ok(()) };
        let links: Vec<_> =
            handle.link().get().execute().try_collect().await.map_err(failed("list the links of", name))?;
        for link in links {
            if link.attributes.iter().any(|a| matches!(a, LinkAttribute::Controller(of) if *of == bridge)) {
                // A pod's interface may go by itself at this moment, with its namespace.
                if let Err(error) = handle.link().del(link.header.index).execute().await {
                    let gone =
                        matches!(&error, rtnetlink::Error::NetlinkError(e) if e.raw_code() == -(nix::libc::ENODEV));
                    if !gone {
                        return Err(failed("remove a link of", name)(error));
                    }
                }
            }
        }
        handle.link().del(bridge).execute().await.map_err(failed("remove bridge", name))
    })
    .await
}

/// A pod's hardware address follows from its address: who still remembers an earlier pod at that address reaches the
/// new one at once, and not when the entry has grown old half a minute later.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    [&[0x0a, 0x58][..], &address.octets()].concat()
}

/// Moves this process, which must have one thread, into namespaces of its own and joins them to the bridge.
///
/// Mounts made from here on are seen by this process and its children only.
pub(crate) async fn enter_pod(network: &PodNetwork, address: Ipv4Addr, hostname: &str) -> Result<(), Error> {
    with_netlink(|host| async move {
        let veth = network.veth.as_str();
        let bridge = index_of(&host, &network.bridge)
            .await?
            .ok_or_else(|| failed("find bridge", &network.bridge)(rtnetlink::Error::RequestFailed))?;
        if let Some(stale) = index_of(&host, veth).await? {
            host.link().del(stale).execute().await.map_err(failed("remove", veth))?;
        }
        let own =
            CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS;
        unshare(own).map_err(Error::system("make the pod's namespaces"))?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
            .map_err(Error::system("keep the pod's mounts to itself"))?;
        nix::unistd::sethostname(hostname).map_err(Error::system("set the pod's host name"))?;
        // Both ends in one message, the pod's at once in its namespace: wherever this
        // process is ended, the pair goes with the namespace.
        let peer = LinkUnspec::new_with_name("eth0").setns_by_pid(std::process::id());
        let peer = peer.address(hardware_address(address)).build();
        let pair = LinkVeth::new(veth, "eth0").set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        let pair = pair.controller(bridge).up().build();
        host.link().add(pair).execute().await.map_err(failed("create", veth))
    })
    .await?;
    with_netlink(|pod| async move {
        let index = index_of(&pod, "eth0")
            .await?
            .ok_or_else(|| failed("find in the pod", "eth0")(rtnetlink::Error::RequestFailed))?;
        let set = |message| pod.link().set(message).execute();
        set(LinkUnspec::new_with_index(1).up().build()).await.map_err(failed("bring up", "lo"))?;
        pod.address()
            .add(index, address.into(), network.prefix)
            .execute()
            .await
            .map_err(failed("give an address to", "eth0"))?;
        set(LinkUnspec::new_with_index(index).up().build()).await.map_err(failed("bring up", "eth0"))?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(network.gateway).build();
        pod.route().add(route).execute().await.map_err(failed("route through", "eth0"))
    })
    .await
}
