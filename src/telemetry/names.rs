//! Every metric, once: its name, kind, unit, labels and help. Whoever emits and whoever reads a metric uses these
//! constants; docs/metrics.md explains each (a test compares the two, both ways).
//!
//! Not here: what is counted (`metrics`, `control`, `health::tally`), and how it is written out (`admin::metrics`).

/// What Prometheus calls the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// The word for it in the exposition format and in the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// What one of it is: `requests`, `seconds`, `bytes`; `0 or 1` and `info` say that for themselves.
    pub unit: &'static str,
    /// Label names, in the order in which their values are handed over.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Declares the constants and [`ALL`] from one list, so that a metric can't be in one and not in the other.
macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], help: $help };
        )*
        /// Every metric of the exposition.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    // Requests, by backend.
    REQUESTS = Counter "hotspare_requests_total" "requests" ["backend", "class"]
        "Requests of clients, by the class of the status that was sent (1xx: an upgrade).";
    REQUEST_DURATION = Histogram "hotspare_request_duration_seconds" "seconds" ["backend"]
        "From a request's head read to its response's head handed to the client's connection.";
    REQUESTS_IN_FLIGHT = Gauge "hotspare_requests_in_flight" "requests" ["backend"]
        "Requests whose response has not ended yet.";
    REQUEST_BODY_BYTES = Counter "hotspare_request_body_bytes_total" "bytes" ["backend"]
        "Bytes of request bodies that came from clients.";
    RESPONSE_BODY_BYTES = Counter "hotspare_response_body_bytes_total" "bytes" ["backend"]
        "Bytes of response bodies that went to clients.";
    RESCUED = Counter "hotspare_requests_rescued_total" "requests" ["backend", "by"]
        "Requests that got a good answer after an attempt had failed, by what saved them.";
    RETRIES_DENIED = Counter "hotspare_retry_budget_exhausted_total" "retries" ["backend"]
        "Retries that were not made because the retry budget was used up.";
    HEDGES_DENIED = Counter "hotspare_hedge_budget_exhausted_total" "hedges" ["backend"]
        "Hedges that were not made because the hedge budget was used up.";
    SITE_REQUESTS = Gauge "hotspare_site_requests" "requests" ["site"]
        "Requests of a site with max_requests that run now.";
    SITE_REFUSED = Counter "hotspare_site_requests_refused_total" "requests" ["site"]
        "Requests that were refused because their site had max_requests running.";
    WAITING_WRITES = Gauge "hotspare_waiting_writes" "requests" ["backend"]
        "Unsafe requests that wait now for a verdict about where to send them.";
    COPIES = Counter "hotspare_copies_total" "requests" ["backend"]
        "Copies of clients' requests that were sent to an endpoint in probation where its answers are not shown to clients.";

    // Attempts at endpoints.
    ATTEMPTS = Counter "hotspare_attempts_total" "attempts" ["backend", "pool", "endpoint", "outcome"]
        "Tries of real requests at an endpoint, by outcome: good, or why it failed.";
    ATTEMPT_HEAD = Histogram "hotspare_attempt_head_seconds" "seconds" ["backend", "pool"]
        "From an attempt's begin, or the end of the client's body, to the response's head, failing statuses left out.";
    ENDPOINT_IN_FLIGHT = Gauge "hotspare_endpoint_in_flight" "attempts" ["backend", "pool", "endpoint"]
        "Attempts at an endpoint whose response has not ended.";
    FAILURES_UNTOLD = Counter "hotspare_failures_untold_total" "attempts" []
        "Failed attempts that counted for no verdict because too many others waited to be read.";

    // Health and the serving pool.
    ENDPOINT_HEALTH = Gauge "hotspare_endpoint_health" "0 or 1" ["backend", "pool", "endpoint", "state"]
        "1 for the state that the endpoint is in, 0 for the others.";
    POOL_HEALTH = Gauge "hotspare_pool_health" "0 or 1" ["backend", "pool", "state"]
        "1 for the state that the pool is in, 0 for the others.";
    SERVING_POOL = Gauge "hotspare_serving_pool" "0 or 1" ["backend", "pool"]
        "1 for the pool that new requests go to, 0 for the others.";
    PANIC = Gauge "hotspare_panic" "0 or 1" ["backend"]
        "1 while no pool is usable and every endpoint is tried.";
    WRITES = Gauge "hotspare_writes" "0 or 1" ["backend", "state"]
        "1 for what becomes of unsafe requests now, 0 for the others.";
    FAILBACK_WAITS = Gauge "hotspare_failback_waits" "0 or 1" ["backend", "reason"]
        "1 for what failback waits for now, 0 for the others; all are 0 while the first pool serves.";
    COMMANDS_STANDING = Gauge "hotspare_commands_standing" "commands" ["backend"]
        "Operators' commands that stand for the backend or for what is in it.";
    ENDPOINT_INTERMITTENT = Gauge "hotspare_endpoint_intermittent" "0 or 1" ["backend", "pool", "endpoint"]
        "1 while the endpoint fails now and then.";
    ENDPOINT_DRAINED = Gauge "hotspare_endpoint_drained" "0 or 1" ["backend", "pool", "endpoint"]
        "1 while an operator keeps new requests away.";
    ENDPOINT_LAG = Gauge "hotspare_endpoint_lag_seconds" "seconds" ["backend", "pool", "endpoint"]
        "How far behind the endpoint says it is, to within a second or a tenth.";
    POOL_STALE = Gauge "hotspare_pool_stale" "0 or 1" ["backend", "pool"]
        "1 while the pool is behind by more than max_lag, or does not say.";
    POOL_DIVERGED = Gauge "hotspare_pool_diverged" "0 or 1" ["backend", "pool"]
        "1 while the pool may have taken writes that earlier pools lack.";
    ISOLATED = Gauge "hotspare_isolated" "0 or 1" []
        "1 while the newest probe of every endpoint heard nothing, so that nothing moves.";
    FAILOVERS = Counter "hotspare_failovers_total" "failovers" ["backend", "cause"]
        "Times the serving pool was left because of its health, by cause.";
    FAILBACKS = Counter "hotspare_failbacks_total" "failbacks" ["backend"]
        "Times an earlier pool became the serving pool again after its hold-down.";
    PANICS = Counter "hotspare_panics_total" "panics" ["backend"]
        "Times that no pool was usable any more.";
    RAMPS = Counter "hotspare_ramps_total" "ramps" ["backend", "step"]
        "Gradual returns of safe requests, by what became of them: began, aborted.";
    COMMANDS = Counter "hotspare_commands_total" "commands" ["command"]
        "Operators' commands that were carried out.";
    WRITES_LEFT = Counter "hotspare_writes_left_total" "requests" ["backend"]
        "Unsafe requests that still ran at a pool when others began elsewhere.";
    ENDPOINT_TRANSITIONS = Counter "hotspare_endpoint_transitions_total" "transitions" ["backend", "to"]
        "Changes of endpoints' health, by the state that was entered.";
    PROBES = Counter "hotspare_probes_total" "probes" ["backend", "result"]
        "Probes that ended, by result: passed, or why it failed.";
    PROBE_DURATION = Histogram "hotspare_probe_duration_seconds" "seconds" ["backend"]
        "How long probes took, failed ones too.";
    VOID_PROBES = Counter "hotspare_void_probes_total" "probes" []
        "Probes that count for nothing because Hotspare itself was ill while they ran.";

    // Clients' connections.
    REPLIES = Counter "hotspare_replies_total" "replies" ["kind"]
        "Responses that Hotspare made itself, by what they say.";
    CONNECTIONS_ACCEPTED = Counter "hotspare_connections_accepted_total" "connections" []
        "Connections of clients that were accepted.";
    CONNECTIONS_OPEN = Gauge "hotspare_connections_open" "connections" []
        "Connections of clients that are open.";
    CONNECTIONS_REFUSED = Counter "hotspare_connections_refused_total" "connections" []
        "Connections closed at once because their client had as many as one may have.";
    CONNECTIONS_MAX = Gauge "hotspare_connections_max" "connections" []
        "How many connections of clients may be open: max_connections.";
    HANDSHAKES = Counter "hotspare_tls_handshakes_total" "handshakes" []
        "TLS handshakes with clients that succeeded.";
    HANDSHAKE_FAILURES = Counter "hotspare_tls_handshake_failures_total" "handshakes" []
        "TLS handshakes with clients that failed or took too long.";
    PROXY_HEADER_FAILURES = Counter "hotspare_proxy_header_failures_total" "connections" ["cause"]
        "Connections that were closed for want of a good PROXY header, by cause.";
    ACCEPT_ERRORS = Counter "hotspare_accept_errors_total" "errors" []
        "Times that accepting a connection failed.";
    CLIENT_TIMEOUTS = Counter "hotspare_client_timeouts_total" "connections" []
        "Connections that ended because the client took too long.";
    IDLE_TUNNELS = Counter "hotspare_idle_tunnels_closed_total" "connections" []
        "Connections that had left HTTP (WebSocket and kin) and were closed because neither side said anything for too long.";
    DRAIN_CUTS = Counter "hotspare_drain_cuts_total" "connections" ["what"]
        "What still ran when the time for a drain was over, and was cut: connections of clients and to endpoints, and tunnels.";
    PROTOCOL_ERRORS = Counter "hotspare_client_protocol_errors_total" "connections" ["reason"]
        "Connections of HTTP/2 that were ended for what the client did on them, by the error code that it was told.";
    CONNECTION_PANICS = Counter "hotspare_connection_panics_total" "panics" []
        "Bugs of Hotspare (Rust panics) that were caught in one connection.";

    // What is kept in memory.
    BUFFERED = Gauge "hotspare_buffered_bytes" "bytes" ["what"]
        "Bytes kept in memory so that requests can be rescued: bodies to be sent once more, responses until they are whole.";
    BUFFERED_MAX = Gauge "hotspare_buffered_max_bytes" "bytes" []
        "How many bytes may be kept so: max_buffered.";
    NOT_BUFFERED = Counter "hotspare_not_buffered_total" "bodies" ["what"]
        "Bodies that were passed on without being kept because max_buffered was used up.";

    // The process.
    WORKER_RESTARTS = Counter "hotspare_worker_restarts_total" "restarts" []
        "Workers that were started anew because one had ended by itself, with all of its connections.";
    RELOADS = Counter "hotspare_reloads_total" "reloads" ["result"]
        "Reloads of the configuration, by result.";
    CONFIG_UNCONFIRMED = Gauge "hotspare_config_unconfirmed" "configurations" []
        "1 while the effect of the newest reload is watched, or waits to be confirmed.";
    CONFIG_TAKEN_BACK = Gauge "hotspare_config_taken_back" "configurations" []
        "1 while the configuration file is one that was taken back: what is in force is the one before it.";
    CONFIG_GENERATION = Gauge "hotspare_config_generation" "generations" []
        "The number of the configuration in force.";
    CERTIFICATE_EXPIRY = Gauge "hotspare_certificate_expiry_timestamp_seconds" "seconds" ["file"]
        "Unix time at which the certificate in use from this file expires; of the 1,000 files that need a look first.";
    CERTIFICATE_REFUSED = Gauge "hotspare_certificate_refused" "0 or 1" ["file"]
        "1 while what is in the file is not put to use and the last good certificate stays; of the same files.";
    CERTIFICATES = Gauge "hotspare_certificates" "certificates" []
        "Certificates in use.";
    CERTIFICATE_SOONEST = Gauge "hotspare_certificate_soonest_expiry_timestamp_seconds" "seconds" []
        "Unix time at which the first of all certificates in use expires.";
    LOOP_LAG = Gauge "hotspare_loop_lag_seconds" "seconds" ["worker"]
        "How late the worker's loop woke from a timer when that was last measured.";
    LONGEST_TURN = Gauge "hotspare_longest_turn_seconds" "seconds" ["worker"]
        "The most CPU time that one poll of one task took on this worker; only where it is measured.";
    LOG_LINES_DROPPED = Counter "hotspare_log_lines_dropped_total" "lines" []
        "Lines of the log that were dropped because whoever reads it did not take them.";
    JOURNAL_LINES_DROPPED = Counter "hotspare_journal_lines_dropped_total" "lines" []
        "Lines of the journal that were dropped because the disk did not take them.";
    JOURNAL_ERRORS = Counter "hotspare_journal_errors_total" "errors" []
        "Tries to write the journal that failed.";
    JOURNAL_FAILING = Gauge "hotspare_journal_failing" "0 or 1" []
        "1 while the journal can't be written.";
    STATE_ERRORS = Counter "hotspare_state_errors_total" "errors" []
        "Tries to write the state file that failed.";
    STATE_FAILING = Gauge "hotspare_state_failing" "0 or 1" []
        "1 while the state file can't be written: a restart would remember an older state.";
    BUILD_INFO = Gauge "hotspare_build_info" "info" ["version"]
        "1; the label says which release runs.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" "seconds" []
        "CPU time that the process used, in user and in system mode.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" "bytes" []
        "Resident memory.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" "bytes" []
        "Virtual memory.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" "descriptors" []
        "File descriptors in use.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" "descriptors" []
        "How many file descriptors the process may use.";
    PROCESS_START = Gauge "process_start_time_seconds" "seconds" []
        "Unix time at which the process started.";
    PROCESS_THREADS = Gauge "process_threads" "threads" []
        "Threads of the process.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("hotspare_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            for unit in ["seconds", "bytes"] {
                let named = name.trim_end_matches("_total").ends_with(&format!("_{unit}"));
                assert_eq!(named, metric.unit == unit, "{name} counts {}", metric.unit);
            }
            assert!(metric.help.ends_with('.'), "{name}: a help is a sentence");
        }
    }

    #[test]
    fn no_name_stands_for_two_metrics() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
