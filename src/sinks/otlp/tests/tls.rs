//! TLS with certificates of our own making: who is trusted, who is not, and who we are.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::receiver::{Answer, Receiver, Stream};
use super::rig::{BATCH, Rig, SLOW, config};
use crate::config::{OtlpConfig, TlsFiles};
use crate::sinks::Destination;
use crate::sinks::otlp::{OtlpSink, OtlpWorker};

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for `name`, and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap(), key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

/// Files that are gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ironspan-tls-{}-{:x}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A receiver behind TLS as `localhost`; `clients` signs the certificates it asks for.
fn receiver(authority: &Authority, clients: Option<&Authority>) -> Receiver {
    let (certificate, key) = authority.issue("localhost");
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let wrap = move |tcp| {
        let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
        Some(Box::new(StreamOwned::new(connection, tcp)) as Box<dyn Stream>)
    };
    Receiver::start_over(TcpListener::bind("127.0.0.1:0").unwrap(), Box::new(wrap), |_, _| Answer::status(200))
}

fn secure(receiver: &Receiver, tls: TlsFiles) -> OtlpConfig {
    OtlpConfig { tls, ..config(&format!("https://localhost:{}/v1/traces", receiver.address.port())) }
}

#[test]
fn a_receiver_of_a_trusted_authority_gets_spans_over_a_kept_connection() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let receiver = receiver(&authority, None);
    let tls = TlsFiles { ca: Some(folder.file("ca.pem", authority.0.pem())), ..TlsFiles::default() };
    let rig = Rig::new(&secure(&receiver, tls));
    for _ in 0..3 {
        rig.send_named(["a"]);
        rig.flush_all();
    }
    assert_eq!(receiver.names(), ["a"; 3]);
    assert_eq!(receiver.connections(), 1);
    assert_eq!(rig.tally(), (3, 0, 0, 0));
}

#[test]
fn strangers_get_nothing_and_the_spans_wait() {
    let (authority, other, folder) = (Authority::new(), Authority::new(), Folder::new());
    let receiver = receiver(&authority, None);
    let wrong_authority = TlsFiles { ca: Some(folder.file("other.pem", other.0.pem())), ..TlsFiles::default() };
    let right = TlsFiles { ca: Some(folder.file("ca.pem", authority.0.pem())), ..TlsFiles::default() };
    let wrong_name = OtlpConfig {
        url: format!("https://127.0.0.1:{}/", receiver.address.port()).parse().unwrap(),
        ..secure(&receiver, right)
    };
    for config in [secure(&receiver, wrong_authority), wrong_name] {
        let rig = Rig::with(&config, &BATCH, SLOW, 64 << 20);
        rig.send_named(["secret"]);
        assert!(!rig.flush(Duration::from_millis(200)));
        rig.shutdown(Duration::from_millis(200));
        let error = rig.destination.last_error().unwrap();
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert_eq!(rig.tally(), (0, 0, 1, 0));
    }
    assert_eq!(receiver.seen().len(), 0);
}

#[test]
fn a_receiver_that_asks_for_our_certificate_gets_it() {
    let (authority, clients, folder) = (Authority::new(), Authority::new(), Folder::new());
    let receiver = receiver(&authority, Some(&clients));
    let ca = Some(folder.file("ca.pem", authority.0.pem()));
    let (certificate, key) = clients.issue("client");
    let known = TlsFiles {
        ca: ca.clone(),
        client_cert: Some(folder.file("client.pem", certificate.pem())),
        client_key: Some(folder.file("client.key", key.serialize_pem())),
    };
    let rig = Rig::new(&secure(&receiver, known));
    rig.send_named(["a"]);
    rig.flush_all();
    assert_eq!(receiver.names(), ["a"]);
    assert_eq!(rig.tally(), (1, 0, 0, 0));

    let anonymous = Rig::with(&secure(&receiver, TlsFiles { ca, ..TlsFiles::default() }), &BATCH, SLOW, 64 << 20);
    anonymous.send_named(["b"]);
    assert!(!anonymous.flush(Duration::from_millis(200)));
    anonymous.shutdown(Duration::from_millis(200));
    assert_eq!(anonymous.tally(), (0, 0, 1, 0));
    assert_eq!(receiver.names(), ["a"]);
}

#[test]
fn certificates_that_were_renewed_on_disk_are_used_for_the_next_attempt() {
    let (authority, clients, folder) = (Authority::new(), Authority::new(), Folder::new());
    let receiver = receiver(&authority, Some(&clients));
    let (stranger, key) = Authority::new().issue("client");
    let tls = TlsFiles {
        ca: Some(folder.file("ca.pem", authority.0.pem())),
        client_cert: Some(folder.file("client.pem", stranger.pem())),
        client_key: Some(folder.file("client.key", key.serialize_pem())),
    };
    let rig = Rig::new(&secure(&receiver, tls));
    rig.send_named(["a"]);
    assert!(!rig.flush(Duration::from_millis(100)));
    let (certificate, key) = clients.issue("client");
    // For a moment the two do not fit together: that is one failed attempt more.
    folder.file("client.pem", certificate.pem());
    folder.file("client.key", key.serialize_pem());
    rig.flush_all();
    assert_eq!(receiver.names(), ["a"]);
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn files_that_cannot_be_used_are_told_when_the_destination_is_built() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let (certificate, key) = authority.issue("client");
    let (_, other_key) = authority.issue("other");
    let ca = Some(folder.file("ca.pem", authority.0.pem()));
    let client_cert = Some(folder.file("client.pem", certificate.pem()));
    let junk = Some(folder.file("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    for tls in [
        TlsFiles { ca: Some(folder.0.join("missing.pem")), ..TlsFiles::default() },
        TlsFiles { ca: junk, ..TlsFiles::default() },
        TlsFiles { ca: Some(folder.file("key.pem", key.serialize_pem())), ..TlsFiles::default() },
        TlsFiles { ca: ca.clone(), client_cert: client_cert.clone(), client_key: ca.clone() },
        TlsFiles { ca, client_cert, client_key: Some(folder.file("other.key", other_key.serialize_pem())) },
    ] {
        let config = OtlpConfig { tls, ..config("https://localhost:4318/") };
        let worker = OtlpWorker::new(Box::leak(Box::default()));
        let problem = OtlpSink::new(&config, &BATCH, Arc::new(Destination::new("otlp", 1 << 20)), &worker).unwrap_err();
        let sentence = crate::config::ConfigError::new("certificate", problem).to_string();
        assert!(sentence.contains("PEM"), "{sentence}");
    }
}
