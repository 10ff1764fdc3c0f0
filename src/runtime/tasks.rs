//! stand-in
#[allow(clippy::disallowed_methods)]
pub fn spawn(f: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(f);
}
