//! Real nginx: a data centre, with its own files and process group; or one with any `http` block.

use super::child::Child;
use super::site::Site;
use super::{admin, eventually, free_address};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A running (or crashed) nginx that serves the site, and
/// - `/health`: what probes ask for;
/// - `/post/ID`: takes a POST and notes its ID;
/// - `/upload/ID`: the same, when it has the whole body;
/// - `/slow/PATH`: the site's files, at 200 KB a second.
///
/// Each response says in `x-data-centre` who gave it.
pub struct Nginx {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
    /// After the child, which shows its log from there when it is dropped.
    directory: TempDir,
}

impl Nginx {
    pub async fn start(name: &'static str, site: &Site) -> Nginx {
        let directory = tempfile::tempdir().unwrap();
        site.write_to(&directory.path().join("site"));
        let address = free_address();
        fs::write(directory.path().join("nginx.conf"), config(&data_centre(name, address))).unwrap();
        let child = run(name, directory.path());
        let nginx = Nginx { name, address, directory, child };
        nginx.answers().await;
        nginx
    }

    /// Power off.
    pub fn crash(&mut self) {
        self.child.crash();
    }

    /// Power on again, at the same address, with the same files.
    pub async fn restart(&mut self) {
        self.child = run(self.name, self.directory.path());
        self.answers().await;
    }

    async fn answers(&self) {
        eventually(&format!("{} answers", self.name), async || {
            matches!(admin::try_get(self.address, "/health").await, Ok((200, _)))
        })
        .await;
    }

    /// How often each POST came here, by its ID.
    pub fn posts(&self) -> BTreeMap<String, usize> {
        let mut posts = BTreeMap::new();
        for line in self.access_log().lines() {
            if let Some(id) = line.strip_prefix("POST /post/") {
                *posts.entry(id.to_owned()).or_default() += 1;
            }
        }
        posts
    }

    /// A line a request: method, path.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("access.log")).unwrap()
    }
}

/// An nginx with what its `http` block is to have, run in that directory.
pub fn with(directory: &Path, http: &str) -> Child {
    fs::write(directory.join("nginx.conf"), config(http)).unwrap();
    run("nginx", directory)
}

fn run(name: &str, directory: &Path) -> Child {
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "error.log"]);
    Child::start(name, command, directory)
}

/// All paths are inside the prefix, so that it needs no root; where it is root it stays so, since the prefix is root's.
fn config(http: &str) -> String {
    format!(
        r#"
        user root root;
        daemon off;
        worker_processes 1;
        pid nginx.pid;
        error_log error.log warn;
        events {{ worker_connections 16384; }}
        http {{
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            {http}
        }}
        "#
    )
}

/// A data centre of that name, with the site's files.
fn data_centre(name: &str, address: SocketAddr) -> String {
    format!(
        r#"
            types {{ text/html html; text/css css; }}
            default_type application/octet-stream;
            log_format visits '$request_method $request_uri';
            access_log access.log visits;
            sendfile on;
            server {{
                listen {address} backlog=4096;
                client_body_timeout 10m;
                send_timeout 10m;
                root site;
                add_header X-Data-Centre {name} always;
                location = /health {{ access_log off; return 200 "well\n"; }}
                location /post/ {{ return 200 "taken\n"; }}
                location /upload/ {{ proxy_pass http://{address}/post/; }}
                location /slow/ {{ alias site/; limit_rate 200k; }}
            }}
        "#
    )
}
