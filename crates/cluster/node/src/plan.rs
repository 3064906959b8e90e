//! Names and addresses that follow from the data folder, so that two platforms on one
//! machine do not meet: bridge, interfaces, control groups, address ranges. Pure.

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path};

use crate::Error;

/// What follows from a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    /// The bridge's name, at most 15 bytes as Linux wants it.
    pub(crate) bridge: String,
    /// The control group of all pods.
    pub(crate) cgroup: String,
    hash: [u8; 8],
}

/// A range of pod addresses, a /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cidr {
    /// The first address of the range.
    pub network: Ipv4Addr,
    /// How many leading bits are fixed.
    pub prefix: u8,
}

impl Naming {
    /// Derives the names from the folder's absolute path.
    pub(crate) fn of(data: &Path) -> Self {
        let digest = images::Digest::of(data.as_os_str().as_encoded_bytes()).hex();
        let mut hash = [0; 8];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digest[index * 2..index * 2 + 2], 16).unwrap_or_default();
        }
        Self { bridge: format!("rs{}", &digest[..8]), cgroup: format!("/roadstead-{}", &digest[..8]), hash }
    }

    /// Returns the host's end of a pod's interface.
    pub(crate) fn veth(uid: &str) -> String {
        format!("rv{}", &images::Digest::of(uid.as_bytes()).hex()[..11])
    }

    /// Returns the range of pod addresses on a bridge of our own: the first from the
    /// folder's own on that no interface of the machine lies in.
    pub(crate) fn pods(&self, taken: &[(Ipv4Addr, u8)]) -> Cidr {
        let range = |third: u8| Cidr { network: Ipv4Addr::new(10, 244, third, 0), prefix: 24 };
        let free = |range: &Cidr| !taken.iter().any(|(address, prefix)| range.overlaps(*address, *prefix));
        let mut ranges = (0..=255).map(|step| range(self.hash[0].wrapping_add(step)));
        ranges.find(free).unwrap_or(range(self.hash[0]))
    }

    /// Returns the range of pod addresses on the loopback interface; never 127.0.
    pub(crate) fn loopback(&self) -> Cidr {
        Cidr { network: Ipv4Addr::new(127, self.hash[1].clamp(1, 254), self.hash[2], 0), prefix: 24 }
    }
}

impl Cidr {
    /// Parses `a.b.c.d/n` with `n` from 8 to 28.
    pub fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = text.split_once('/')?;
        let (network, prefix): (Ipv4Addr, u8) = (network.parse().ok()?, prefix.parse().ok()?);
        let cidr = Self { network, prefix };
        ((8..=28).contains(&prefix) && network.to_bits() & (cidr.size() - 1) == 0).then_some(cidr)
    }

    fn size(self) -> u32 {
        1 << (32 - u32::from(self.prefix))
    }

    /// Returns whether an interface with this address and prefix has addresses in common with the range.
    pub(crate) fn overlaps(self, address: Ipv4Addr, prefix: u8) -> bool {
        let fixed = self.prefix.min(prefix).min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(fixed)).unwrap_or(0);
        (address.to_bits() ^ self.network.to_bits()) & mask == 0
    }

    /// Returns the address of the host within the range.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + 1)
    }

    /// Returns the next address after `last` that is not taken.
    ///
    /// Going on from the last one keeps a freed address unused for as long as possible:
    /// who still holds it must not reach another pod.
    pub(crate) fn next(self, last: Option<Ipv4Addr>, taken: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr, Error> {
        let (first, count) = (self.network.to_bits() + 2, self.size() - 3);
        let from = last.map_or(0, |last| last.to_bits().wrapping_sub(first).wrapping_add(1) % count);
        (0..count)
            .map(|step| Ipv4Addr::from_bits(first + (from + step) % count))
            .find(|address| !taken.contains(address))
            .ok_or_else(|| Error::Addresses { range: format!("{}/{}", self.network, self.prefix) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_have_different_names() {
        let (a, b) = (Naming::of(Path::new("/a")), Naming::of(Path::new("/b")));
        assert_ne!(a.bridge, b.bridge);
        assert_ne!(a.cgroup, b.cgroup);
        assert_eq!(a, Naming::of(Path::new("/a")));
        assert!(a.bridge.len() <= 15 && Naming::veth("x").len() <= 14);
    }

    #[test]
    fn a_range_that_is_in_use_is_passed_over() {
        let naming = Naming::of(Path::new("/a"));
        let own = naming.pods(&[]);
        let [_, _, third, _] = own.network.octets();
        let next = naming.pods(&[(own.gateway(), 24), (Ipv4Addr::new(192, 0, 2, 1), 24)]);
        assert_eq!(next.network, Ipv4Addr::new(10, 244, third.wrapping_add(1), 0));
        assert!(own.overlaps(Ipv4Addr::new(10, 0, 0, 1), 8) && !own.overlaps(Ipv4Addr::new(11, 0, 0, 1), 8));
        assert_eq!(naming.pods(&[(Ipv4Addr::new(10, 0, 0, 1), 8)]), own, "if all are in use, its own");
    }

    #[test]
    fn addresses_go_round_and_leave_out_host_and_broadcast() {
        let range = Cidr::parse("10.0.0.0/28").unwrap();
        let ip = |last| Ipv4Addr::new(10, 0, 0, last);
        assert_eq!(range.gateway(), ip(1));
        assert_eq!(range.next(None, &BTreeSet::new()).unwrap(), ip(2));
        assert_eq!(range.next(Some(ip(5)), &BTreeSet::new()).unwrap(), ip(6));
        assert_eq!(range.next(Some(ip(14)), &BTreeSet::from([ip(2)])).unwrap(), ip(3));
        assert!(range.next(None, &(2..=14).map(ip).collect()).is_err());
        for bad in ["10.0.0.1/28", "10.0.0.0/33", "10.0.0.0", "x/8"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
