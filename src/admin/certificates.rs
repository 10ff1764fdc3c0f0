//! Certificates in the exposition, and in the picture that `/status` gives.
//!
//! Not here: which of them is in use (`config`).

use super::family::{Family, number};
use super::metrics::flag;
use super::picture::{Severity, seconds};
use super::status::CertificateStatus;
use crate::config::{Certificates, InUse};
use crate::telemetry::{names, words};
use prometheus::proto::MetricFamily;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// How many certificates have series of their own: a host may have thousands.
const MOST: usize = 1_000;

/// Certificates are a problem when they end within this; renewal usually happens a month before.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Problems that are told one by one.
const TOLD: usize = 20;

/// Their families.
pub(super) fn families(certificates: &Certificates) -> [MetricFamily; 4] {
    let unix = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut expiry = Family::new(&names::CERTIFICATE_EXPIRY);
    let mut refused = Family::new(&names::CERTIFICATE_REFUSED);
    let mut soonest = Family::new(&names::CERTIFICATE_SOONEST);
    let all = certificates.by_urgency();
    let mut files = BTreeSet::new(); // two pairs may have one of these, with the key in two places
    for in_use in all.iter().filter(|in_use| files.insert(&in_use.certificate.file)).take(MOST) {
        expiry.add([&*in_use.certificate.file], unix(in_use.certificate.not_after));
        refused.add([&*in_use.certificate.file], flag(in_use.refused.is_some()));
    }
    if let Some(first) = all.iter().map(|in_use| in_use.certificate.not_after).min() {
        soonest.add([], unix(first));
    }
    let count = number(u64::try_from(all.len()).unwrap_or(u64::MAX));
    [expiry.done(), refused.done(), Family::single(&names::CERTIFICATES, count), soonest.done()]
}

/// One of a listener.
pub(super) fn status(InUse { certificate, refused, .. }: &InUse, wall: SystemTime) -> CertificateStatus {
    CertificateStatus {
        file: certificate.file.to_string(),
        names: certificate.names.iter().map(|name| name.to_string()).collect(),
        not_after: words::time(certificate.not_after),
        left_seconds: left(certificate.not_after, wall),
        refused: refused.as_ref().map(ToString::to_string),
    }
}

/// Seconds until `then`, negative when it has passed.
fn left(then: SystemTime, wall: SystemTime) -> f64 {
    match then.duration_since(wall) {
        Ok(left) => seconds(left),
        Err(passed) => -seconds(passed.duration()),
    }
}

/// What is to be said of certificates; of so many that they can be read.
pub(super) fn problems(certificates: &Certificates, wall: SystemTime, problems: &mut Vec<(Severity, String)>) {
    let mut told = certificates.by_urgency().into_iter().filter_map(|in_use| {
        let certificate = status(&in_use, wall);
        let span = words::span(Duration::from_secs_f64(certificate.left_seconds.abs()));
        let file = certificate.file;
        if certificate.left_seconds < 0.0 {
            let why = certificate.refused.map(|why| format!("; what is to replace it is refused: {why}"));
            Some((Severity::Refused, format!("certificate {file} expired {span} ago{}", why.unwrap_or_default())))
        } else if let Some(why) = certificate.refused {
            let stays = format!("the one from before stays in use and expires in {span}");
            Some((Severity::ToCome, format!("certificate {file} was not replaced: {why}; {stays}")))
        } else if certificate.left_seconds < EXPIRES_SOON.as_secs_f64() {
            Some((Severity::ToCome, format!("certificate {file} expires in {span}")))
        } else {
            None
        }
    });
    problems.extend(told.by_ref().take(TOLD));
    match told.count() {
        0 => {}
        more => problems.push((Severity::ToCome, format!("and {} more like these", words::count(more, "certificate")))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::certificate;
    use super::*;
    use crate::config::Pair;
    use std::sync::Arc;

    #[test]
    fn of_thousands_the_refused_and_those_that_end_soonest_have_series_and_all_are_counted() {
        let ends = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let mut pairs: Vec<_> = (10..1_510).map(|n| Pair::made(certificate(&format!("{n:04}.pem"), ends(n)))).collect();
        pairs.push(Pair::refusing(certificate("late.pem", ends(9_999)), "can't read late.key"));
        let [expiry, refused, count, soonest] = families(&Certificates::new(pairs));
        let files = |family: &MetricFamily| -> Vec<String> {
            family.get_metric().iter().map(|series| series.get_label()[0].value().to_owned()).collect()
        };
        let told = files(&expiry);
        assert_eq!((told.len(), &*told[0], &*told[1], &*told[999]), (1_000, "late.pem", "0010.pem", "1008.pem"));
        assert_eq!(files(&refused), told);
        let value = |family: &MetricFamily, at: usize| family.get_metric()[at].get_gauge().get_value();
        assert_eq!([value(&refused, 0), value(&refused, 1)], [1.0, 0.0]);
        assert_eq!([value(&count, 0), value(&soonest, 0)], [1_501.0, 10.0]);
    }

    #[test]
    fn what_is_wrong_with_certificates_is_a_problem_each_and_of_many_some() {
        let (day, wall) = (Duration::from_secs(86_400), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let said = |pairs: Vec<Arc<Pair>>| {
            let mut problems = Vec::new();
            super::problems(&Certificates::new(pairs), wall, &mut problems);
            problems.into_iter().map(|(_, words)| words).collect::<Vec<_>>()
        };
        let pairs = vec![
            Pair::made(certificate("well.pem", wall + 90 * day)),
            Pair::made(certificate("soon.pem", wall + 13 * day)),
            Pair::made(certificate("over.pem", wall - day)),
            Pair::refusing(certificate("late.pem", wall + 20 * day), "can't read late.key"),
            Pair::refusing(certificate("lost.pem", wall - 2 * day), "can't read lost.key"),
        ];
        let expected = [
            "certificate lost.pem expired 2d ago; what is to replace it is refused: can't read lost.key",
            "certificate late.pem was not replaced: can't read late.key; the one from before stays in use and expires in 20d",
            "certificate over.pem expired 1d ago",
            "certificate soon.pem expires in 13d",
        ];
        assert_eq!(said(pairs), expected);
        let many = said((0..50).map(|n| Pair::made(certificate(&format!("{n}.pem"), wall + day))).collect());
        assert_eq!((many.len(), &*many[20]), (21, "and 30 certificates more like these"));
    }
}
