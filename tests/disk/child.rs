//! This test binary as a child process, running one test's other part.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Names the directory that the child writes in.
const DIRECTORY: &str = "HOTSPARE_TEST_DIRECTORY";

/// How long a test waits for what should come soon.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// In the child: where to write.
pub fn directory() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// In the child: says something to the test.
pub fn say(what: &str) {
    println!("says {what}");
}

/// In the child: waits until the test says something, or is gone.
pub fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// A child that runs the test of that name. Killed when dropped.
pub struct Part {
    child: Child,
    pub stdin: ChildStdin,
    said: Receiver<String>,
    log: Receiver<String>,
}

impl Part {
    /// `test` is its whole path: `killed::a_test`.
    pub fn start(test: &str, directory: &Path) -> Part {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env("RUST_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, out, errors) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (said, log) = (lines(out), lines(errors));
        Part { child, stdin, said, log }
    }

    /// The next thing that it says; `None`: it has ended.
    pub fn next(&self) -> Option<String> {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => match line.split_once("says ") {
                    Some((_, said)) => return Some(said.to_owned()),
                    None => continue, // a line of libtest's own
                },
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("it says nothing"),
            }
        }
    }

    #[track_caller]
    pub fn says(&self, what: &str) {
        let said = self.next();
        assert_eq!(said.as_deref(), Some(what), "{}", self.rest_of_log());
    }

    pub fn tell(&mut self, what: &str) {
        use std::io::Write;
        writeln!(self.stdin, "{what}").unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; all that it logged.
    pub fn end(mut self) -> String {
        while self.next().is_some() {}
        let status = self.child.wait().unwrap();
        let log = self.rest_of_log();
        assert!(status.success(), "{status}\n{log}");
        log
    }

    fn rest_of_log(&self) -> String {
        let mut log = String::new();
        while let Ok(line) = self.log.recv_timeout(Duration::from_secs(1)) {
            log += &line;
            log += "\n";
        }
        log
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It has ended already: nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = sync_channel(10_000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
