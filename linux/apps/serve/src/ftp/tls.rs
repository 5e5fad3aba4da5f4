//! TLS: the certificate and key of files, and the provider of the ciphers.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Reads a certificate with those that have signed it, and its key, both PEM.
///
/// # Errors
/// The file that is wrong, and why; for the user.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let bad = |path: &Path, why: String| format!("{}: {why}", path.display());
    if !processor_fits() {
        return Err(bad(
            certificate,
            "TLS here needs a processor with AES, CLMUL, BMI1, ADX and AVX2; leave it out".into(),
        ));
    }
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| bad(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(certificate, "holds no certificate; name a PEM file".into()));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| bad(key, format!("{error}; name a PEM file with the key alone")))?;
    let provider = Arc::new(rustls_graviola::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| {
            bad(
                certificate,
                format!("does not go with {}: {error}", key.display()),
            )
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whether this processor has what the ciphers are written for; they would end the program without.
fn processor_fits() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("adx")
        && std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    true
}
