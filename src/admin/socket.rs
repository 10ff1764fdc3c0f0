//! `admin.sock` in the state directory: commands from this machine's root and hotspare's own user, without a token.
//!
//! It is made mode 0600 before anybody can connect, replaces one that a killed process left behind, and is removed when it is
//! dropped, if it is still ours. That one listens there already means that two hotspares would share one state.
//!
//! Not here: who may do what (`guard`), the connections (`server`), making the directory (`app`).

use super::guard::Peer;
use rustix::fs::FlockOperation;
use socket2::{Domain, SockAddr, Type};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// What it is called.
pub const NAME: &str = "admin.sock";

/// Operators and their scripts.
const BACKLOG: i32 = 16;

/// A bound socket; its file is there as long as this is.
#[derive(Debug)]
pub struct Socket {
    listener: StdListener,
    _file: SocketFile,
}

/// The socket's file, removed with this.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoSocket {
    #[error("another hotspare runs with this state_dir")]
    InUse,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Socket {
    /// Binds it. Blocks for the disk that the directory is on.
    ///
    /// # Errors
    /// See [`NoSocket`].
    pub fn bind(state_dir: &Path) -> Result<Socket, NoSocket> {
        let path = state_dir.join(NAME);
        let _alone = lock(state_dir)?; // or the second of two that find a dead one would remove what the first just made
        remove_dead(&path)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        let file = SocketFile { id: id(&fs::symlink_metadata(&path)?), path };
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?; // only now can anybody connect
        socket.set_nonblocking(true)?;
        Ok(Socket { listener: socket.into(), _file: file })
    }

    /// Ready to accept, on this thread's runtime.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.listener.try_clone()?)
    }
}

/// The next connection, and whose it is.
pub(super) async fn accept(listener: &UnixListener) -> io::Result<(UnixStream, Peer)> {
    let (stream, _) = listener.accept().await?;
    let uid = stream.peer_cred()?.uid();
    Ok((stream, Peer::Socket { uid }))
}

/// One at a time looks at what is there. A file system that knows no locks is no reason to have no socket.
fn lock(directory: &Path) -> Result<File, NoSocket> {
    let directory = File::open(directory)?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(NoSocket::InUse),
        Ok(()) | Err(_) => Ok(directory),
    }
}

/// Removes a socket that nobody listens on.
fn remove_dead(path: &Path) -> Result<(), NoSocket> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is no socket", path.display())).into());
        }
        Ok(_) => {}
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // a process that hangs may have a full queue; it lives all the same
    match probe.connect(&SockAddr::unix(path)?).map_err(|error| (error.kind(), error)) {
        Ok(()) | Err((ErrorKind::WouldBlock, _)) => Err(NoSocket::InUse),
        Err((ErrorKind::ConnectionRefused, _)) => Ok(fs::remove_file(path)?),
        Err((ErrorKind::NotFound, _)) => Ok(()),
        Err((_, error)) => Err(error.into()),
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| id(&found) == self.id);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as StdStream;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn the_socket_is_its_owners_alone_and_goes_with_its_process() {
        let directory = directory();
        let path = directory.path().join(NAME);
        let socket = Socket::bind(directory.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        StdStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let directory = directory();
        let path = directory.path().join(NAME);
        drop(StdListener::bind(&path).unwrap()); // std leaves the file, as a killed process does
        assert!(path.exists());
        let socket = Socket::bind(directory.path()).unwrap();
        let second = Socket::bind(directory.path()).unwrap_err();
        assert_eq!(second.to_string(), "another hotspare runs with this state_dir");
        StdStream::connect(&path).unwrap();
        drop(socket);
    }

    #[test]
    fn one_that_hangs_with_a_full_queue_lives() {
        let directory = directory();
        let _socket = Socket::bind(directory.path()).unwrap();
        let connect = || {
            let client = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            client.connect(&SockAddr::unix(directory.path().join(NAME)).unwrap()).map(|()| client)
        };
        let crowd: Vec<_> = std::iter::from_fn(|| connect().ok()).take(1_000).collect();
        assert!(crowd.len() < 1_000, "the queue never filled");
        assert!(matches!(Socket::bind(directory.path()), Err(NoSocket::InUse)));
    }

    #[test]
    fn what_is_no_socket_stays_and_what_replaced_ours_stays() {
        let directory = directory();
        let path = directory.path().join(NAME);
        fs::write(&path, "precious").unwrap();
        let error = Socket::bind(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("admin.sock is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

        fs::remove_file(&path).unwrap();
        let socket = Socket::bind(directory.path()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
