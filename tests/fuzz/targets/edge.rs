//! What a connection begins with: a PROXY header, a ClientHello.

use super::shown;
use hotspare::config::{self, ProxyVersion, Tls};
use hotspare::edge::proxy_header::{Read, read};
use hotspare::upstream::ProxyHeader;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The longest that is read (docs/limits.md).
const MOST: usize = 4_096;

/// Either more is needed, never past the bound, or there is one header, which no byte after it and no other cut changes; and whom it
/// names is who is read again from what we would write of it.
pub fn proxy_header(bytes: &[u8]) {
    match read(bytes) {
        Ok(Read::Part) => assert!(bytes.len() < MOST, "no end of {}", shown(bytes)),
        Ok(Read::Whole { ends, length }) => {
            assert!((8..=MOST).contains(&length) && length <= bytes.len(), "{length} of {}", shown(bytes));
            for cut in 0..length {
                assert_eq!(read(&bytes[..cut]), Ok(Read::Part), "the first {cut} of {}", shown(bytes));
            }
            assert_eq!(read(&bytes[..length]), Ok(Read::Whole { ends, length }));
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let written = ProxyHeader { version, ends }.bytes();
                let again = Read::Whole { ends, length: written.len() };
                assert_eq!(read(&written), Ok(again), "{} of {}", shown(&written), shown(bytes));
            }
        }
        Err(why) => {
            let after = [bytes, b"\r\n\r\n"].concat();
            assert_eq!(read(&after), Err(why), "more bytes make {} another thing", shown(bytes));
        }
    }
}

/// Whatever a client begins with, the name that it asks for is a host name in lower case, it is shown a certificate for that name if there
/// is one, and it is not sent much.
pub fn client_hello(bytes: &[u8]) {
    static TLS: LazyLock<Arc<Tls>> = LazyLock::new(tls);
    let mut server = rustls::ServerConnection::new(TLS.server.clone()).expect("the setup is good");
    let mut rest = bytes;
    while !rest.is_empty() && server.read_tls(&mut rest).is_ok_and(|read| read > 0) {
        if server.process_new_packets().is_err() {
            break;
        }
    }
    if let Some(name) = server.server_name() {
        let well = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
        assert!(!name.is_empty() && name.len() <= 255 && name.bytes().all(well), "{name:?} of {}", shown(bytes));
    }
    if let Some(name) = server.server_name() {
        let covered = TLS.certificates().any(|certificate| certificate.covers(name));
        assert_eq!(TLS.shown(Some(name)).covers(name), covered, "the certificate for {name}");
    }
    let mut said = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut said).expect("memory takes it");
    }
    assert!(said.len() < 16 * 1024 + 4 * bytes.len(), "{} bytes for {}", said.len(), shown(bytes));
}

/// As of a listener with three certificates.
fn tls() -> Arc<Tls> {
    let names = ["localhost", "*.example.org", "www.example.com"];
    let made = names.map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).expect("it is a name"));
    let files = |path: &Path| {
        let place = path.file_stem().and_then(|stem| stem.to_str()?.parse::<usize>().ok()).expect("files are numbered");
        Ok(match path.extension().and_then(|kind| kind.to_str()) {
            Some("pem") => made[place].cert.pem().into_bytes(),
            _ => made[place].signing_key.serialize_pem().into_bytes(),
        })
    };
    let listed = ["0", "1", "2"].map(|place| format!("{{ cert = '{place}.pem', key = '{place}.key' }}")).join(", ");
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:443'\ntls = [{listed}]\n[[backend]]\nname = 'sites'\n\
         primary = {{ name = 'main', endpoints = ['127.0.0.1:1'] }}\n"
    );
    let config = config::parse("fuzz.toml", &text, &files).unwrap_or_else(|problems| panic!("{problems}"));
    config.listeners[0].tls.clone().expect("it has certificates")
}
