//! The files in `config/`: they are valid, and what they say of keys and defaults is true. And what holds for any text.

use super::Files;
use hotspare::config::problem::What;
use hotspare::config::{Backend, Config, Listener, Scheme};
use proptest::prelude::*;
use std::collections::BTreeSet;
#[cfg(feature = "real")]
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const REFERENCE: &str = include_str!("../../config/hotspare.toml");
const MINIMAL: &str = include_str!("../../config/minimal.toml");

fn parse(text: &str) -> Config {
    Files::new().parse(&text.replace("certs/", "")).unwrap_or_else(|problems| panic!("{problems}"))
}

/// `text` with the keys that are off turned on: in the reference `#key` is a key, `# word` is a comment.
fn with_every_key(text: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_minimal_config_is_seven_lines_and_whole() {
    assert_eq!(MINIMAL.lines().count(), 7);
    let config = parse(MINIMAL);
    assert_eq!(config.listeners[0].address.to_string(), "[::]:443");
    assert!(config.listeners[0].tls.is_some());
    let pools: Vec<_> = config.backends[0].pools.iter().map(|pool| (&*pool.name, pool.endpoints.len())).collect();
    assert_eq!(pools, [("new-jersey", 2), ("oregon", 1)]);
}

/// What the minimal config leaves out is what the reference says.
#[test]
fn the_reference_tells_the_true_defaults() {
    let (said, real) = (parse(REFERENCE), parse(MINIMAL));
    let listener = |listener: &Listener| {
        format!(
            "{:?}",
            (&listener.address, listener.mode, listener.protocols, listener.proxy_protocol, listener.limits)
        )
    };
    let backend = |backend: &Backend| format!("{backend:#?}");
    assert_eq!(said.workers, real.workers);
    assert_eq!(said.max_connections, real.max_connections);
    assert_eq!(said.max_connections_per_client, real.max_connections_per_client);
    assert_eq!(said.max_buffered, real.max_buffered);
    assert_eq!(said.drain_timeout, real.drain_timeout);
    assert_eq!(said.drain_streams, real.drain_streams);
    assert_eq!(said.state_dir, real.state_dir);
    assert_eq!(said.admin, real.admin);
    assert_eq!(listener(&said.listeners[0]), listener(&real.listeners[0]));
    assert_eq!(backend(&said.backends[0]), backend(&real.backends[0]));
    assert_eq!(format!("{:?}", said.sites), format!("{:?}", real.sites));
}

/// Asks the parser for its keys, by way of one in each table that is unknown, and looks for each in the reference.
#[test]
fn the_reference_has_every_key() {
    let mut asked = String::from("zzz = 1\n");
    for line in with_every_key(REFERENCE).lines() {
        asked.push_str(&line.replace("{ name", "{ zzz = 1, name").replace("{ cert", "{ zzz = 1, cert"));
        asked.push_str(if line.starts_with('[') { "\nzzz = 1\n" } else { "\n" });
    }
    let problems = Files::new().parse(&asked).unwrap_err();
    let mut tables = BTreeSet::new();
    for problem in problems.iter() {
        let What::UnknownKey { key, table, known } = &problem.what else { continue };
        assert_eq!(key, "zzz", "the reference has a key that {table} has not");
        tables.insert(table.clone());
        for key in known.iter() {
            let written = |line: &str| line.trim_start_matches('#').starts_with(&format!("{key} "));
            let inline = [format!("{{ {key} = "), format!(", {key} = "), format!("[{key}]"), format!(".{key}]")];
            let found = REFERENCE.lines().any(|line| written(line) || inline.iter().any(|form| line.contains(form)));
            assert!(found, "{table} may have `{key}`, and config/hotspare.toml does not say so");
        }
    }
    let expected = [
        "[[backend]]",
        "[[listener]]",
        "[[site]]",
        "`admin`",
        "`failback`",
        "`limits`",
        "`pools.client_cert`",
        "`pools`",
        "`primary`",
        "`probe`",
        "`secondary`",
        "`tally`",
        "`timeouts`",
        "`tls`",
        "the top level",
    ];
    assert_eq!(tables.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn what_the_reference_leaves_off_may_be_turned_on() {
    // `pools` stands in place of `primary` and `secondary`; `service` is for gRPC, what is for TLS needs https.
    let on = with_every_key(REFERENCE).replace("certs/ca.pem", "site.pem");
    let elsewhere = ["primary ", "secondary ", "service "];
    let lines = on.lines().filter(|line| !elsewhere.iter().any(|key| line.starts_with(key)));
    let config = parse(&lines.collect::<Vec<_>>().join("\n"));
    assert!(config.backends[0].pools.iter().flat_map(|pool| &pool.endpoints).all(|endpoint| endpoint.probed.is_some()));
    let traffic = config.backends[0].pools.iter().map(|pool| (pool.scheme, pool.endpoints[0].way.tls.is_some()));
    assert_eq!(
        traffic.collect::<Vec<_>>(),
        [(Scheme::Https, true), (Scheme::Http, false), (Scheme::Http, false)],
        "a pool has its own scheme"
    );
    assert_eq!(config.listeners[1].redirect.map(|redirect| redirect.port), Some(443));
    assert_eq!(config.workers.get(), 4);
    assert!(config.admin.token.is_some());
}

/// What a validator that others wrote says of TOML texts by config/schema.json, a line for each: empty where they fit.
#[cfg(feature = "real")]
fn validated(texts: &[String]) -> Vec<String> {
    const SCRIPT: &str = "import json, sys, tomllib, jsonschema\n\
        schema = json.load(open(sys.argv[1]))\n\
        validator = jsonschema.Draft7Validator(schema)\n\
        validator.check_schema(schema)\n\
        for text in json.load(sys.stdin):\n    \
            print('; '.join(error.message for error in validator.iter_errors(tomllib.loads(text))).replace('\\n', ' '))\n";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = std::env::var_os("PYTHON_DIR").map_or_else(|| root.join("target/python"), PathBuf::from);
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(root.join("config/schema.json"))
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(python.stdin.take().unwrap(), texts).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "is Python's `jsonschema` there? `make tools`");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[cfg(feature = "real")]
#[test]
fn the_schema_takes_what_the_parser_takes_and_refuses_slips() {
    let included = "[[site]]\nhosts = [\"a\"]\nbackend = \"b\"\nretry = { idempotent = true }\n";
    let good = [MINIMAL.to_owned(), REFERENCE.to_owned(), with_every_key(REFERENCE), included.to_owned()];
    assert_eq!(validated(&good), [""; 4]);
    let slips = [
        ("address", "adress"),
        ("\"10s\"", "10"),
        ("\"10s\"", "\"10 seconds\""),
        ("\"32KiB\"", "\"32KB\""),
        ("max_headers = 100", "max_headers = 0"),
        ("hosts = [\"*\"]", "hosts = []"),
        ("upgrades = \"write\"", "upgrades = \"both\""),
        ("hosts = [\"*\"]\n", ""),
        ("retry = true", "retry = \"safe\""),
    ];
    let wrong: Vec<_> = slips.iter().map(|(right, wrong)| REFERENCE.replace(right, wrong)).collect();
    for ((right, wrong), said) in slips.iter().zip(validated(&wrong)) {
        assert!(REFERENCE.contains(right) && !said.is_empty(), "{wrong} in place of {right}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let problems = Files::none().parse(&text).unwrap_err();
        prop_assert!(!problems.to_string().is_empty());
    }

    /// Closer to home: the reference with one stretch cut out, doubled or overwritten.
    #[test]
    fn no_slip_of_the_editor_makes_the_parser_panic(
        place in 0..REFERENCE.len(),
        length in 0usize..40,
        insert in "[\\[\\]{}=\"',.#\n a-z0-9é\u{0}]{0,12}",
    ) {
        let start = REFERENCE.floor_char_boundary(place);
        let end = REFERENCE.floor_char_boundary((start + length).min(REFERENCE.len()));
        for middle in [insert.clone(), REFERENCE[start..end].repeat(2)] {
            let text = format!("{}{middle}{}", &REFERENCE[..start], &REFERENCE[end..]);
            if let Err(problems) = Files::none().parse(&text) {
                prop_assert!(!problems.to_string().is_empty());
            }
        }
    }
}
