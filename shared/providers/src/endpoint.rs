//! The URLs that may be called.
//!
//! Users and app operators choose the endpoints of subscriptions and webhooks, so a URL could lead a function to what
//! only it can reach: its runtime API, the metadata of a machine, a private network (server-side request forgery).
//! Three rules prevent it: only `https`, no host that is an address or a local name, and (in [`crate::http`]) no
//! connection to an address that is not public, whatever a name resolves to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Longest URL that is accepted, in characters.
const URL_CHARS: usize = 2048;

/// The addresses that requests may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To public hosts, over `https` alone: production.
    Public,
    /// Anywhere, over `http` too: for the local twin and tests, whose providers are on loopback.
    Anywhere,
}

/// A URL that may be called.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// Why a URL may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is not a URL.
    #[error("not an absolute URL of at most {URL_CHARS} characters")]
    Malformed,
    /// Its scheme is not `https`, so others could read or change the request.
    #[error("the URL is not https")]
    Scheme,
    /// It has a user or a password.
    #[error("the URL has a user name")]
    UserInfo,
    /// Its port is invalid: expected a number from 1 to 65535 without zeros before it, or neither port nor colon.
    #[error("the port of the URL is not a number from 1 to 65535, without zeros before it")]
    Port,
    /// It has a fragment, which is never sent to a server.
    #[error("the URL has a fragment")]
    Fragment,
    /// Its host is an IP address.
    #[error("the host of the URL is an IP address")]
    Address,
    /// Its host is a name of this machine or network only.
    #[error("the host of the URL is not a public name")]
    LocalName,
}

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    /// If the URL may not be called; with [`Reach::Anywhere`] only if it is not an HTTP URL.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, EndpointError> {
        if text.len() > URL_CHARS {
            return Err(EndpointError::Malformed);
        }
        // The parser would drop it silently.
        if text.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| EndpointError::Malformed)?;
        check(&uri, reach)?;
        Ok(Self(uri))
    }

    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Scheme, host and port as in RFC 6454 §6.2, the default port left out: the audience of a VAPID token.
    #[must_use]
    pub fn origin(&self) -> String {
        let (scheme, host) = (self.0.scheme_str().unwrap_or_default(), self.0.host().unwrap_or_default());
        let default = if scheme == "https" { 443 } else { 80 };
        let host = host.to_ascii_lowercase();
        match self.0.port_u16() {
            Some(port) if port != default => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    /// The origin alone: the path of a subscription is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/***", self.origin())
    }
}

/// Whether a URL may be called.
pub(crate) fn check(uri: &Uri, reach: Reach) -> Result<(), EndpointError> {
    let authority = uri.authority().ok_or(EndpointError::Malformed)?;
    if authority.as_str().contains('@') {
        return Err(EndpointError::UserInfo);
    }
    if authority.host().is_empty() {
        return Err(EndpointError::Malformed);
    }
    check_port(authority.as_str())?;
    match (uri.scheme_str(), reach) {
        (Some("https"), _) | (Some("http"), Reach::Anywhere) => {}
        (Some(_), _) => return Err(EndpointError::Scheme),
        (None, _) => return Err(EndpointError::Malformed),
    }
    match reach {
        Reach::Anywhere => Ok(()),
        Reach::Public => public_name(authority.host()),
    }
}

/// Whether the text after the host is empty or a port. The parser takes any digits there, and a client uses the default
/// port if there are none.
fn check_port(authority: &str) -> Result<(), EndpointError> {
    // After the bracket of an IPv6 address, whose colons do not end the host.
    let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    let Some((_, port)) = behind.split_once(':') else { return Ok(()) };
    let is_number = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = is_number && port.parse::<u16>().is_ok();
    if is_port { Ok(()) } else { Err(EndpointError::Port) }
}

fn public_name(host: &str) -> Result<(), EndpointError> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let Some((_, last)) = host.rsplit_once('.') else {
        // One label is `localhost`, a name of this network, or a number that resolvers take for an address.
        let number = host.starts_with('[') || is_number(&host);
        return Err(if number { EndpointError::Address } else { EndpointError::LocalName });
    };
    // The URL standard: a host that ends in a number is an IPv4 address, in whatever spelling (`127.1`, `0x7f.0.0.1`).
    if host.starts_with('[') || is_number(last) {
        return Err(EndpointError::Address);
    }
    let local = ["localhost", "local", "internal", "home.arpa", "lan"];
    let is_local = local.iter().any(|name| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
    if is_local { Err(EndpointError::LocalName) } else { Ok(()) }
}

fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()));
    hexadecimal || (!label.is_empty() && label.bytes().all(|it| it.is_ascii_digit()))
}

/// Whether an address belongs to the public internet (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let protocols = first == 192 && second == 0 && third == 0;
    let benchmarks = first == 198 && (18..20).contains(&second);
    let special = first == 0 || first >= 240 || shared || protocols || benchmarks;
    !(special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match address.segments() {
        // NAT64 addresses lead to the IPv4 address at their end.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        // Of the rest, only 2000::/3 is allocated, without documentation and 6to4, whose relays are gone.
        [0x2001, 0x0db8, ..] | [0x2002, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_names_over_https_are_called_in_production() {
        use EndpointError::{Address, Fragment, LocalName, Malformed, Port, Scheme, UserInfo};
        let cases = [
            ("https://fcm.googleapis.com/fcm/send/abc:APA91", Ok(())),
            ("https://updates.push.services.mozilla.com/wpush/v2/gAAAA", Ok(())),
            ("https://push.example.net:8443/p/1", Ok(())),
            ("https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%3d", Ok(())),
            ("http://fcm.googleapis.com/fcm/send/abc", Err(Scheme)),
            ("ftp://example.com/", Err(Scheme)),
            ("/fcm/send", Err(Malformed)),
            ("", Err(Malformed)),
            ("https://", Err(Malformed)),
            ("https://user:secret@example.com/", Err(UserInfo)),
            ("https://example.com:65535/h", Ok(())),
            ("https://example.com:1/h", Ok(())),
            ("https://example.com:65536/h", Err(Port)),
            ("https://example.com:99999/h", Err(Port)),
            ("https://example.com:4294967739/h", Err(Port)),
            ("https://example.com:000443/h", Err(Port)),
            ("https://example.com:0443/h", Err(Port)),
            ("https://example.com:09/h", Err(Port)),
            ("https://example.com:00/h", Err(Port)),
            ("https://example.com:+443/h", Err(Port)),
            ("https://example.com:0/h", Err(Port)),
            ("https://example.com:/h", Err(Port)),
            ("https://example.com:x/h", Err(Port)),
            ("https://example.com:-1/h", Err(Port)),
            ("https://example.com:443:443/h", Err(Malformed)),
            ("https://example.com/h#part", Err(Fragment)),
            ("https://example.com#", Err(Fragment)),
            ("https://example.com\\@127.0.0.1/", Err(Malformed)),
            ("https://exa mple.com/", Err(Malformed)),
            ("https://:443/", Err(Malformed)),
            ("https://:secret@example.com/", Err(UserInfo)),
            ("https://127.0.0.1/", Err(Address)),
            ("https://127.1/", Err(Address)),
            ("https://0x7f.0.0.1/", Err(Address)),
            ("https://0x7f000001/", Err(Address)),
            ("https://2130706433/", Err(Address)),
            ("https://169.254.169.254/latest/meta-data/", Err(Address)),
            ("https://93.184.216.34./", Err(Address)),
            ("https://[::1]/", Err(Address)),
            ("https://[::ffff:127.0.0.1]/", Err(Address)),
            ("https://localhost/", Err(LocalName)),
            ("https://LOCALHOST:8443/", Err(LocalName)),
            ("https://a.localhost/", Err(LocalName)),
            ("https://printer.local/", Err(LocalName)),
            ("https://metadata.google.internal/", Err(LocalName)),
            ("https://router/", Err(LocalName)),
        ];
        for (url, expected) in cases {
            assert_eq!(Endpoint::parse(url, Reach::Public).map(|_| ()), expected, "{url}");
        }
        for url in ["http://127.0.0.1:4567/p/1", "https://localhost/", "http://[::1]:80/"] {
            assert!(Endpoint::parse(url, Reach::Anywhere).is_ok(), "{url}");
        }
        // An invalid port is refused for the twin too, which may call any address.
        for url in [
            "http://127.0.0.1:99999/p",
            "http://[::1]:65536/",
            "http://localhost:0/",
            "http://localhost:/",
            "http://[::1]:09/",
        ] {
            assert_eq!(Endpoint::parse(url, Reach::Anywhere), Err(Port), "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_CHARS));
        assert_eq!(Endpoint::parse(&long, Reach::Public), Err(Malformed));
    }

    #[test]
    fn an_origin_has_no_default_port() {
        let cases = [
            ("https://Push.Example.net/p/1?x=y", "https://push.example.net"),
            ("https://push.example.net:443/p", "https://push.example.net"),
            ("https://push.example.net:8443/p", "https://push.example.net:8443"),
            ("http://127.0.0.1:4567/p", "http://127.0.0.1:4567"),
        ];
        for (url, expected) in cases {
            assert_eq!(Endpoint::parse(url, Reach::Anywhere).unwrap().origin(), expected);
        }
    }

    #[test]
    fn addresses_of_private_networks_are_not_public() {
        let private = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["17.188.143.34", "142.250.74.74", "2a00:1450:4001:80e::200a", "64:ff9b::8efa:4a4a"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
