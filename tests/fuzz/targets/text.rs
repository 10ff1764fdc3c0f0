//! What operators write: the configuration, a command.

use super::shown;
use hotspare::admin::request;
use hotspare::config::token::SecretFile;
use hotspare::config::{Color, Span, Surroundings, parse_in};
use hotspare::domain::{Command, Force, Order, PlaceName, Scope};
use hotspare::health::Act;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::LazyLock;

/// Either a configuration in which what must be unique is, or problems that can be shown, each of them a place in the text.
pub fn config(bytes: &[u8]) {
    static PEM: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("the name is one");
        (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes())
    });
    let text = String::from_utf8_lossy(bytes);
    let files = |path: &Path| match path.extension().and_then(|kind| kind.to_str()) {
        Some("pem") => Ok(PEM.0.clone()),
        Some("key") => Ok(PEM.1.clone()),
        Some("html") => Ok(b"<p>{status}".to_vec()),
        _ => Err(ErrorKind::NotFound.into()),
    };
    let secrets = |path: &Path| files(path).map(|bytes| SecretFile { bytes, mode: 0o600 });
    let resolve = |host: &str| {
        if host.len().is_multiple_of(2) { Ok(Ipv4Addr::LOCALHOST.into()) } else { Err(io::Error::other("no")) }
    };
    let surroundings = Surroundings {
        files: &files,
        directories: &|_| Err(ErrorKind::NotFound.into()),
        in_force: None,
        secrets: &secrets,
        include: &|_| Ok(Vec::new()),
        state_dir: None,
        resolve: &resolve,
        roots: &Vec::new,
        cores: NonZeroUsize::MIN,
        descriptors: 1_024,
    };
    match parse_in("fuzz.toml", &text, &surroundings) {
        Ok(config) => {
            let unique = |names: Vec<String>| names.iter().collect::<HashSet<_>>().len() == names.len();
            let pools = config.backends.iter().flat_map(|backend| &backend.pools);
            assert!(!config.listeners.is_empty() && !config.backends.is_empty(), "{text}");
            assert!(unique(config.listeners.iter().map(|listener| listener.address.to_string()).collect()), "{text}");
            assert!(unique(config.backends.iter().map(|backend| backend.name.to_string()).collect()), "{text}");
            assert!(pools.clone().all(|pool| !pool.endpoints.is_empty()), "{text}");
            assert_eq!(config.setup().backends.len(), config.backends.len());
        }
        Err(problems) => {
            let rendered = problems.render(Color::Plain);
            assert!(problems.len() > 0 && rendered.contains("fuzz.toml"), "{rendered}");
            let controls = rendered.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
            assert_eq!(controls, None, "what is shown on a terminal must be fit for one: {rendered:?} of {text:?}");
        }
    }
}

/// What is understood is, written again in our words, understood as the same; what is not is told in words that fit a terminal.
pub fn command(bytes: &[u8]) {
    match request::parse(bytes) {
        Ok((order, act)) => {
            let again = written(&order, act).to_string();
            let (other, same) = request::parse(again.as_bytes()).unwrap_or_else(|error| panic!("{again}: {error}"));
            assert_eq!(
                (&other.command, other.lasts, other.force),
                (&order.command, order.lasts, order.force),
                "{again}"
            );
            assert_eq!(same, act, "{again}");
            assert!(!order.command.to_string().contains(char::is_control), "{}", shown(bytes));
        }
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && !told.contains(char::is_control), "{told:?} of {}", shown(bytes));
        }
    }
}

fn written(order: &Order, act: Act) -> Value {
    let Order { command, lasts, force } = order;
    let scoped = |word: &str, scope: &Scope| match scope {
        Scope::Backend(backend) => json!({"command": word, "backend": &**backend}),
        Scope::All => json!({"command": word, "all": true}),
    };
    let placed = |word: &str, place: &PlaceName| match place {
        PlaceName::Pool(pool) => json!({"command": word, "pool": &**pool}),
        PlaceName::Endpoint(endpoint) => json!({"command": word, "endpoint": &**endpoint}),
    };
    let mut body = match command {
        Command::Failover { backend, to: Some(to) } => {
            json!({"command": "failover", "backend": &**backend, "to": &**to})
        }
        Command::Failover { backend, to: None } => json!({"command": "failover", "backend": &**backend}),
        Command::Failback { backend } => json!({"command": "failback", "backend": &**backend}),
        Command::Hold { scope } => scoped("hold", scope),
        Command::Release { scope } => scoped("release", scope),
        Command::Drain { place } => placed("drain", place),
        Command::Undrain { place } => placed("undrain", place),
        Command::ReadOnly { backend } => json!({"command": "readonly", "backend": &**backend}),
        Command::Ack { backend } => json!({"command": "ack", "backend": &**backend}),
    };
    if let Some(lasts) = lasts {
        body["for"] = Span(*lasts).to_string().into();
    }
    if *force == Force::Yes {
        body["force"] = true.into();
    }
    if act == Act::Consider {
        body["dry_run"] = true.into();
    }
    body
}
