//! Whose certificates clients must show: `client_ca_file` of a listener.
//!
//! Not here: whom we believe at endpoints (`trust`).

use super::Surroundings;
use super::problem::Form;
use super::table::Value;
use super::trust;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

/// Authorities that clients' certificates must lead to.
#[derive(Clone, Debug)]
pub struct ClientCa {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) digest: Arc<[u8]>,
}

impl ClientCa {
    /// `None`: there are no roots, and so nobody could be let in.
    pub fn new(roots: RootCertStore) -> Option<ClientCa> {
        let digest = trust::digest(&roots, None);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
        Some(ClientCa { verifier, digest })
    }

    /// Those in the file that `value` names.
    pub(super) fn read(surroundings: &Surroundings<'_>, value: &Value<'_>) -> Option<ClientCa> {
        let file = value.text(Form::FileName, |text| (!text.is_empty()).then_some(text))?;
        match trust::read(surroundings, file) {
            Ok(roots) => ClientCa::new(roots),
            Err(what) => {
                value.note(what);
                None
            }
        }
    }
}
