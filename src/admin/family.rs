//! Building metric families by hand, from numbers that live elsewhere.

use crate::telemetry::cells::{BUCKETS, Histogram};
use crate::telemetry::names::{Kind, Metric};
use prometheus::proto;
use std::time::Duration;

/// One family in the making.
pub struct Family {
    metric: &'static Metric,
    series: Vec<proto::Metric>,
}

impl Family {
    pub fn new(metric: &'static Metric) -> Family {
        Family { metric, series: Vec::new() }
    }

    /// A family with one series and no labels.
    pub fn single(metric: &'static Metric, value: f64) -> proto::MetricFamily {
        let mut family = Family::new(metric);
        family.add([], value);
        family.done()
    }

    /// Adds one series of a counter or gauge; `labels` in the order of [`Metric::labels`].
    pub fn add<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        let mut series = self.labelled(labels);
        match self.metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                series.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                series.set_gauge(gauge);
            }
            Kind::Histogram => unreachable!("histograms are added by `add_histogram`"),
        }
        self.series.push(series);
    }

    /// Adds one gauge for each of `states`: 1 for `current`, 0 for the others.
    pub fn add_states<const N: usize>(&mut self, labels: [&str; N], states: &[&str], current: &str) {
        debug_assert!(states.contains(&current), "{current} is missing from the states of {}", self.metric.name);
        for state in states {
            let mut series = self.labelled(labels);
            let mut all = series.take_label();
            all.push(label(self.metric.labels[N], state));
            series.set_label(all);
            let mut gauge = proto::Gauge::default();
            gauge.set_value(if *state == current { 1.0 } else { 0.0 });
            series.set_gauge(gauge);
            self.series.push(series);
        }
    }

    pub fn add_histogram<const N: usize>(&mut self, labels: [&str; N], spread: &Spread) {
        let mut series = self.labelled(labels);
        series.set_histogram(spread.to_proto());
        self.series.push(series);
    }

    pub fn done(self) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(self.series);
        family
    }

    fn labelled<const N: usize>(&self, values: [&str; N]) -> proto::Metric {
        let labels = self.metric.labels.iter().zip(values).map(|(name, value)| label(name, value)).collect();
        proto::Metric::from_label(labels)
    }
}

fn label(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The sum of several histogram cells.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    counts: [u64; BUCKETS.len() + 1],
    sum_micros: u64,
}

impl Spread {
    pub fn of<'a>(cells: impl Iterator<Item = &'a Histogram>) -> Spread {
        let mut spread = Spread::default();
        for cell in cells {
            let (counts, sum_micros) = cell.read();
            spread.add(&Spread { counts, sum_micros });
        }
        spread
    }

    pub fn add(&mut self, other: &Spread) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.sum_micros += other.sum_micros;
    }

    /// How many were observed.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn to_proto(&self) -> proto::Histogram {
        let mut below = 0;
        let cumulated = BUCKETS.iter().zip(self.counts).map(|(bound, count)| {
            below += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(cumulated.collect());
        histogram.set_sample_count(self.total());
        histogram.set_sample_sum(seconds(self.sum_micros));
        histogram
    }
}

/// Microseconds as seconds.
pub fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// A count as the exposition's number: exact up to 2⁵³.
pub fn number(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names;

    #[test]
    fn buckets_are_cumulated_and_agree_with_the_count() {
        let cell = Histogram::default();
        for millis in [0, 1, 3, 3, 70_000] {
            cell.observe(Duration::from_millis(millis));
        }
        let histogram = Spread::of([&cell, &cell].into_iter()).to_proto();
        let cumulated: Vec<_> = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count()).collect();
        assert_eq!(cumulated[..3], [4, 4, 8]);
        assert_eq!(cumulated.last(), Some(&8));
        assert_eq!(histogram.get_sample_count(), 10);
        assert!((histogram.get_sample_sum() - 140.014).abs() < 1e-9);
    }

    #[test]
    fn of_all_states_exactly_one_is_set() {
        let mut family = Family::new(&names::POOL_HEALTH);
        family.add_states(["sites", "oregon"], &["up", "degraded", "down"], "degraded");
        let family = family.done();
        let values: Vec<_> = family.get_metric().iter().map(|series| series.get_gauge().get_value()).collect();
        assert_eq!(values, [0.0, 1.0, 0.0]);
    }
}
