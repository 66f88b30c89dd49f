//! TLS by rustls with ring. Files are read when the destination is built, so that a bad one is a configuration error and
//! not a handshake that fails later.

use std::path::Path;
use std::sync::Arc;

use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::client::Connector;
use super::resolver::Resolver;
use crate::config::otlp::tls::read_pem;
use crate::config::{OtlpConfig, Problem, Protocol};

/// TLS sessions kept for resumption: those of one receiver, and of the one that its name means after a change.
const SESSIONS: usize = 2;

/// Connections for `config`: TLS for an https URL, plain TCP else.
///
/// # Errors
///
/// Files that cannot be read or hold no usable certificate or key; no trusted certificates on the machine.
pub(super) fn connector(config: &OtlpConfig, http: HttpConnector<Resolver>) -> Result<Connector, Problem> {
    let mut tls = if config.is_secure() { client_config(config)? } else { plain()? };
    // There is one receiver; the default keeps room for the sessions of 256.
    tls.resumption = Resumption::in_memory_sessions(SESSIONS);
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    // Offered by ALPN; over plain TCP the client speaks HTTP/2 by prior knowledge.
    Ok(match config.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(http),
        Protocol::HttpProtobuf | Protocol::HttpJson => builder.enable_http1().wrap_connector(http),
    })
}

/// A configuration that trusts nobody, for connections that do not use it.
fn plain() -> Result<ClientConfig, Problem> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Problem> {
    // By name, since another crate in the process may have set another default provider, or none.
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(format!("cannot use TLS ({error})"), "write an http URL"))
}

fn client_config(config: &OtlpConfig) -> Result<ClientConfig, Problem> {
    let roots = match &config.tls.ca {
        Some(path) => custom_roots(path)?,
        None => native_roots()?,
    };
    let builder = builder()?.with_root_certificates(roots);
    let (Some(certificate), Some(key)) = (&config.tls.client_cert, &config.tls.client_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let key_der = PrivateKeyDer::from_pem_slice(&read_pem(key)?).map_err(|error| unusable(key, &error))?;
    builder.with_client_auth_cert(chain, key_der).map_err(|error| unusable(key, &error))
}

fn custom_roots(path: &Path) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, &error))?;
    }
    Ok(roots)
}

fn native_roots() -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    // Single certificates that cannot be read are no reason to distrust the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let what = "is https, and this machine has no trusted root certificates";
        return Err(Problem::new(what, "install the ca-certificates package or set certificate to a PEM file"));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read_pem(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(path, &error))?;
    if chain.is_empty() {
        return Err(unusable(path, &"no certificate in it"));
    }
    Ok(chain)
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Problem {
    Problem::new(format!("names {}, which cannot be used ({why})", path.display()), "write the path of a PEM file")
}
