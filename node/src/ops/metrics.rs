//! What a node measures of itself, in Prometheus' words.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

use http::{Method, StatusCode};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, NoLabelSet, text::encode,
    },
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::{certificates::Certificates, memory::resident_bytes};
use crate::{
    clock::Clock,
    instances::{Meter, Readings},
    store::{Store, WriterCounts},
};

/// Everything that `/metrics` shows.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    in_flight: Gauge,
    /// How many connections there are.
    pub connections: Connections,
    /// How it goes with other servers.
    pub servers: ServersMeter,
    clock: Clock,
}

/// Counts of connections; cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    /// Those that are open.
    pub open: Gauge,
    refused: Family<RefusalLabels, Counter>,
}

/// How it goes with other servers: with all in sum, for there may be too many to name them, and with a few.
#[derive(Clone, Default)]
pub struct ServersMeter {
    answered: Family<ServerLabels, Gauge>,
    next_try: Family<ServerLabels, Gauge>,
    waiting: Family<ServerLabels, Gauge>,
    failing: Gauge,
    events: Gauge,
    rooms: Gauge,
    edus: Gauge,
    waited_for: Gauge,
    given_up: Counter,
}

impl ServersMeter {
    /// As it is now: servers that have not answered lately; events that wait, rooms of which only the
    /// newest does, and ephemeral data units; for how many servers; and what was given up.
    pub fn set(
        &self,
        failing: i64,
        [events, rooms, edus]: [i64; 3],
        waited_for: i64,
        given_up: u64,
    ) {
        self.given_up.inner().store(given_up, Ordering::Relaxed);
        self.failing.set(failing);
        self.events.set(events);
        self.rooms.set(rooms);
        self.edus.set(edus);
        self.waited_for.set(waited_for);
    }

    /// Names these servers and no others, each with when it last answered and when it is tried again, in
    /// seconds since the epoch as far as that is known, and how much waits for it.
    pub fn name(&self, servers: impl IntoIterator<Item = (String, Option<i64>, Option<i64>, i64)>) {
        for family in [&self.answered, &self.next_try, &self.waiting] {
            family.clear();
        }
        for (server, answered_s, next_try_s, waiting) in servers {
            let labels = ServerLabels { server };
            let values = [
                (&self.answered, answered_s),
                (&self.next_try, next_try_s),
                (&self.waiting, Some(waiting)),
            ];
            for (family, value) in values {
                if let Some(value) = value {
                    family.get_or_create(&labels).set(value);
                }
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        let (answered, next_try) = (self.answered.clone(), self.next_try.clone());
        let help = "When a server that fails, or for which something waits, last answered; the first of them";
        registry.register_with_unit("server_last_answer_timestamp", help, Unit::Seconds, answered);
        let help = "When such a server is tried again";
        registry.register_with_unit("server_next_try_timestamp", help, Unit::Seconds, next_try);
        let help = "How much waits for such a server";
        registry.register("server_waiting", help, self.waiting.clone());
        for (name, help, gauge) in [
            ("servers_failing", "Other servers that have not answered lately", &self.failing),
            ("servers_waiting_events", "Events that wait for other servers", &self.events),
            (
                "servers_waiting_rooms",
                "Rooms whose newest event waits for other servers",
                &self.rooms,
            ),
            ("servers_waiting_edus", "Other news that wait for other servers", &self.edus),
            ("servers_waited_for", "Other servers for which something waits", &self.waited_for),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "What other servers refused for good and was given up";
        registry.register("servers_given_up", help, self.given_up.clone());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

/// Why a connection was closed as soon as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Refused {
    /// As many were open as may be.
    Full,
    /// As many were open from that address.
    Address,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    why: Refused,
}

impl Connections {
    /// One was refused.
    pub fn refuse(&self, why: Refused) {
        self.refused.get_or_create(&RefusalLabels { why }).inc();
    }
}

/// A request whose time is taken.
pub struct Timer {
    begin: Instant,
    labels: RouteLabels,
    _in_flight: InFlight,
}

/// Counts a request as being answered until it is dropped: whoever hangs up is answered no more,
/// and nobody comes back to say so.
struct InFlight(Gauge);

impl InFlight {
    fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

impl Metrics {
    /// The measures of a node on that store.
    #[must_use]
    pub fn new(
        clock: Clock,
        store: Store,
        certificates: Arc<Certificates>,
        worlds: Arc<Meter>,
    ) -> Self {
        let mut registry = Registry::with_prefix("wayside");
        let requests = Family::<RequestLabels, Counter>::default();
        let seconds = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
        });
        let in_flight = Gauge::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time to answer a request, long polls included",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("http_requests_in_flight", "Requests being answered", in_flight.clone());
        let connections = Connections::default();
        registry.register(
            "connections_open",
            "Connections of all listeners",
            connections.open.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections closed at once because too many were open",
            connections.refused.clone(),
        );
        let servers = ServersMeter::default();
        servers.register(&mut registry);
        let inside = Inside { store: Arc::new(store), certificates, worlds };
        registry.register_collector(Box::new(inside));
        Self {
            registry: Mutex::new(registry),
            requests,
            seconds,
            in_flight,
            connections,
            servers,
            clock,
        }
    }

    /// A request came to a route of the table.
    pub fn begin(&self, method: &Method, route: &str) -> Timer {
        let labels = RouteLabels { method: method.to_string(), route: route.to_owned() };
        Timer { begin: self.clock.instant(), labels, _in_flight: InFlight::begin(&self.in_flight) }
    }

    /// It was answered.
    pub fn end(&self, timer: Timer, status: StatusCode) {
        let Timer { begin, labels, .. } = timer;
        self.seconds.get_or_create(&labels).observe(begin.elapsed().as_secs_f64());
        let RouteLabels { method, route } = labels;
        let labels = RequestLabels { method, route, status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
    }

    /// The text of `/metrics`.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

/// What is read when somebody looks.
#[derive(Debug)]
struct Inside {
    store: Arc<Store>,
    certificates: Arc<Certificates>,
    worlds: Arc<Meter>,
}

impl Collector for Inside {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let WriterCounts { transactions, commits } = self.store.writer_counts();
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        counter("store_transactions", "Use cases whose changes were committed", transactions)?;
        counter("store_commits", "Commits, each of which is one sync to disk", commits)?;
        let mut gauge = |name: &str, help: &str, unit: &Unit, value: i64| {
            let metric = ConstGauge::new(value);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, Some(unit), kind)?)
        };
        if let Some(wal) = self.store.wal_bytes() {
            let help = "SQLite's log of changes, which grows while somebody reads for long";
            gauge("store_wal", help, &Unit::Bytes, i64::try_from(wal).unwrap_or(i64::MAX))?;
        }
        let help = "Memory that the process holds";
        gauge("process_resident_memory", help, &Unit::Bytes, resident_bytes())?;
        let help = "When the certificate that is served ends, since the epoch";
        gauge("certificate_expiry", help, &Unit::Seconds, self.certificates.expiry_s())?;
        if let Some(standing) = self.certificates.standing() {
            let help = "When the next certificate is asked for by ACME, since the epoch";
            gauge("acme_next_attempt", help, &Unit::Seconds, standing.next_ms / 1000)?;
            let help = "When asking for a certificate by ACME failed last, since the epoch";
            let failed_ms = standing.failed_ms.unwrap_or(0);
            gauge("acme_last_failure", help, &Unit::Seconds, failed_ms / 1000)?;
            let help = "Attempts since the last certificate that did not bring one";
            let unit = Unit::Other("attempts".to_owned());
            gauge("acme_failed", help, &unit, standing.failures.into())?;
        }
        encode_worlds(&self.worlds, &mut encoder)
    }
}

fn encode_worlds(meter: &Meter, encoder: &mut DescriptorEncoder) -> Result<(), fmt::Error> {
    let counts = [
        ("world_frame_bytes", "Bytes handed to the connections of visits", &meter.bytes),
        ("world_frames_dropped", "Frames dropped for connections that lag", &meter.dropped),
    ];
    for (name, help, count) in counts {
        let metric = ConstCounter::new(count.load(Ordering::Relaxed));
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
    }
    let gauges = [
        ("world_instances", "Instances that run", &meter.instances),
        ("world_people", "People in them", &meter.people),
    ];
    for (name, help, gauge) in gauges {
        let metric = ConstGauge::new(gauge.load(Ordering::Relaxed));
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
    }
    let times = [
        ("world_tick_lateness", "How late ticks begin", &meter.lateness),
        ("world_tick_duration", "How long ticks take", &meter.work),
    ];
    for (name, help, times) in times {
        let Readings { sum_s, count, buckets } = times.read();
        let kind = MetricType::Histogram;
        let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
        metric.encode_histogram::<NoLabelSet>(sum_s, count, &buckets, None)?;
    }
    Ok(())
}
