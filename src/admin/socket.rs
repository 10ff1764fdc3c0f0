//! `admin.sock` in the state directory: commands from this machine's root and hotspare's own user, without a token. That one listens
//! there already means that two hotspares would share one state.
//!
//! Not here: how it is bound and removed (`runtime::unix_socket`), who may do what (`guard`), the connections (`server`), making the
//! directory (`app`).

use super::guard::Peer;
pub use crate::runtime::unix_socket::NoSocket;
use crate::runtime::unix_socket::UnixSocket;
use std::io;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// What it is called.
pub const NAME: &str = "admin.sock";

/// Operators and their scripts.
const BACKLOG: i32 = 16;

/// Its owner's alone.
const MODE: u32 = 0o600;

/// A bound socket; its file is there as long as this is.
#[derive(Debug)]
pub struct Socket(UnixSocket);

impl Socket {
    /// Binds it. Blocks for the disk that the directory is on.
    ///
    /// # Errors
    /// See [`NoSocket`].
    pub fn bind(state_dir: &Path) -> Result<Socket, NoSocket> {
        UnixSocket::bind(&state_dir.join(NAME), MODE, BACKLOG).map(Socket)
    }

    /// Ready to accept, on this thread's runtime.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.0.listener()?)
    }
}

/// The next connection, and whose it is.
pub(super) async fn accept(listener: &UnixListener) -> io::Result<(UnixStream, Peer)> {
    let (stream, _) = listener.accept().await?;
    let uid = stream.peer_cred()?.uid();
    Ok((stream, Peer::Socket { uid }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_socket_is_its_owners_alone_and_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let socket = Socket::bind(directory.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(directory.path()), Err(NoSocket::InUse)));
        drop(socket);
        assert!(!path.exists());
    }
}
