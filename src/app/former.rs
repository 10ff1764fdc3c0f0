//! What was in force before a reload, held until nobody else holds it: so it is never a worker that takes it apart, for which all its
//! clients would wait. Ten thousand sites are some milliseconds of freeing memory.

use crate::health::View;
use crate::runtime::tasks;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the last request that began in it has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Holds it, and lets go of it last.
pub(super) fn hold(view: Arc<View>) {
    tasks::spawn(async move {
        while is_held(&view) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // The office has scrapes to answer, too. If the runtime ends before, it is dropped all the same.
        let _ = tokio::task::spawn_blocking(move || drop(view)).await;
    });
}

/// By anyone else. Views with other health may share the config. Once nobody does, nobody will: there is no way to it but these.
fn is_held(view: &Arc<View>) -> bool {
    Arc::strong_count(view) > 1 || Arc::strong_count(&view.config) > 1
}
