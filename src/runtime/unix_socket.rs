//! Unix sockets that are listened on, and their files.
//!
//! A socket has its permissions before anybody can connect, replaces one that a killed process left behind, and its file is removed when
//! it is dropped, if it is still ours. One that somebody listens on is never taken away.
//!
//! Not here: who may connect, and what is accepted (`admin::socket`, `edge`).

use rustix::fs::FlockOperation;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A bound socket; its file is there as long as this is.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    file: SocketFile,
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
    #[error("something listens there already")]
    InUse,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl UnixSocket {
    /// Binds it there, for whom the mode says, with room for so many that wait. Blocks for the disk that it is on.
    ///
    /// # Errors
    /// See [`NoSocket`].
    pub fn bind(path: &Path, mode: u32, backlog: i32) -> Result<UnixSocket, NoSocket> {
        // Or the second of two that find a dead one would remove what the first just made.
        let _alone = lock(path.parent().unwrap_or(path))?;
        remove_dead(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile { id: id(&fs::symlink_metadata(path)?), path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(backlog)?; // only now can anybody connect
        socket.set_nonblocking(true)?;
        Ok(UnixSocket { listener: socket.into(), file })
    }

    /// Another descriptor of it: whoever has one accepts from the same queue. It does not block.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Lets in whom the mode says from now on.
    ///
    /// # Errors
    /// As the file system's; what has replaced our file is left alone.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match self.file.is_ours() {
            true => fs::set_permissions(&self.file.path, Permissions::from_mode(mode)),
            false => Ok(()),
        }
    }
}

/// One at a time looks at what is there, which takes no time: others that start just now have sockets of their own in that directory. A
/// file system that knows no locks is no reason to have no socket.
fn lock(directory: &Path) -> Result<File, NoSocket> {
    const TRIES: u32 = 100;
    let directory = File::open(directory)?;
    for _ in 0..TRIES {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)), // whoever has it binds, and is soon done
            Ok(()) | Err(_) => return Ok(directory),
        }
    }
    Err(NoSocket::InUse)
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
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
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

impl SocketFile {
    fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| id(&found) == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        (directory, path)
    }

    fn bind(path: &Path) -> Result<UnixSocket, NoSocket> {
        UnixSocket::bind(path, 0o600, 16)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_socket_is_for_whom_its_mode_says_and_goes_with_its_process() {
        let (_directory, path) = directory();
        let socket = UnixSocket::bind(&path, 0o640, 16).unwrap();
        assert_eq!(mode(&path), 0o640);
        UnixStream::connect(&path).unwrap();
        socket.set_mode(0o666).unwrap();
        assert_eq!(mode(&path), 0o666);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let (_directory, path) = directory();
        drop(UnixListener::bind(&path).unwrap()); // std leaves the file, as a killed process does
        assert!(path.exists());
        let _socket = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(NoSocket::InUse)));
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn one_that_hangs_with_a_full_queue_lives() {
        let (_directory, path) = directory();
        let _socket = bind(&path).unwrap();
        let connect = || {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            client.connect(&SockAddr::unix(&path).unwrap()).map(|()| client)
        };
        let crowd: Vec<_> = std::iter::from_fn(|| connect().ok()).take(1_000).collect();
        assert!(crowd.len() < 1_000, "the queue never filled");
        assert!(matches!(bind(&path), Err(NoSocket::InUse)));
    }

    #[test]
    fn what_is_no_socket_stays_and_what_replaced_ours_stays() {
        let (_directory, path) = directory();
        fs::write(&path, "precious").unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.ends_with("a.sock is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

        fs::remove_file(&path).unwrap();
        let socket = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        let before = mode(&path);
        socket.set_mode(0o777).unwrap();
        assert_eq!(mode(&path), before);
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn those_that_start_at_once_in_one_directory_have_their_sockets_each() {
        let directory = tempfile::tempdir().unwrap();
        let begin = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                let (begin, path) = (&begin, directory.path().join(name));
                scope.spawn(move || {
                    begin.wait();
                    bind(&path).unwrap();
                });
            }
        });
        let held = File::open(directory.path()).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(bind(&directory.path().join("a")), Err(NoSocket::InUse)), "nobody waits for ever");
    }

    #[test]
    fn all_descriptors_have_one_queue() {
        let (_directory, path) = directory();
        let socket = bind(&path).unwrap();
        let [one, other] = [(), ()].map(|()| socket.listener().unwrap());
        let _client = UnixStream::connect(&path).unwrap();
        assert!(other.accept().is_ok());
        assert_eq!(one.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}
