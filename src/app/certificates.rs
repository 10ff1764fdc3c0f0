//! The office's part in certificates: their files are looked at each minute, and whoever runs this hears what came of it.
//!
//! Not here: what is put to use and what is refused (`config::watch`, `config::pairs`).

use crate::config::{Certificates, Folder, News, Refusal, Watch};
use crate::health::Published;
use crate::runtime::clock::Clock;
use crate::telemetry::words;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
pub const EVERY: Duration = Duration::from_secs(60);

/// Lines of the log for one look or one reload: thousands may expire on one day.
const LINES: usize = 20;

/// Looks at the files of the config in force, for ever. Nothing waits for it, and it reads on a thread beside the office: disks hang.
pub async fn keep(published: Arc<Published>, folder: Folder, clock: Clock, every: Duration) {
    let mut watch = Watch::new(folder.clone());
    loop {
        tokio::time::sleep(every).await;
        let (config, now) = (published.load().config.clone(), clock.wall());
        let look = tokio::task::spawn_blocking(move || {
            let news = watch.look(&config, now);
            (watch, news)
        });
        watch = match look.await {
            Ok((watch, news)) => {
                tell(&news);
                watch
            }
            Err(panic) => {
                tracing::error!("looking at the files of certificates failed: {panic}");
                Watch::new(folder.clone())
            }
        };
    }
}

fn tell(news: &[News]) {
    for news in news.iter().take(LINES) {
        match news {
            News::Replaced { file, not_after } => {
                tracing::info!(
                    "certificate {file} was replaced: the new one is shown, it expires at {}",
                    words::time(*not_after)
                );
            }
            News::Refused { file, why, not_after } => tell_refused(file, why, *not_after),
            News::Restored { file } => tracing::info!("certificate {file} is the one in use again"),
        }
    }
    tell_of_more(news.len());
}

/// What a config that has come into force says of certificates.
pub(super) fn tell_of(certificates: &Certificates, now: SystemTime) {
    let mut lines = 0;
    for in_use in certificates.by_urgency() {
        let (certificate, file) = (&in_use.certificate, &in_use.certificate.file);
        let untimely = Refusal::of_time(certificate, now);
        if in_use.refused.is_none() && untimely.is_none() {
            continue;
        }
        lines += 1;
        if lines > LINES {
            continue;
        }
        if let Some(why) = &in_use.refused {
            tell_refused(file, why, certificate.not_after);
        }
        if let Some(why) = untimely {
            tracing::warn!("{why}; it is shown all the same, and clients will warn or go away: replace it");
        }
    }
    tell_of_more(lines);
}

fn tell_refused(file: &str, why: &Refusal, not_after: SystemTime) {
    let until = words::time(not_after);
    tracing::error!(
        "certificate {file} was not replaced: {why}; the one from before stays in use, it expires at {until}"
    );
}

fn tell_of_more(lines: usize) {
    if lines > LINES {
        tracing::warn!("and {} more; hotspare status", words::count(lines - LINES, "certificate"));
    }
}
