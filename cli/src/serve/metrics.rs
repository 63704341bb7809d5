//! What is counted, in the form that Prometheus reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use seqrec::engine::RecallEngine;
use seqrec::engine::counters::ChannelStatistics;

/// Reads one number of a channel's.
type Read = fn(&ChannelStatistics) -> u64;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub path: String,
    pub status: u16,
}

/// The service's own counters, and the engine's.
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    seconds: Histogram,
}

impl Metrics {
    pub fn new(engine: Arc<RecallEngine>) -> Self {
        let requests = Family::default();
        // From a quarter of a millisecond to half a second.
        let seconds = Histogram::new((0..12).map(|power| 0.000_25 * f64::from(1 << power)));
        let mut registry = Registry::with_prefix("seqrec");
        registry.register("requests", "Requests by path and status", requests.clone());
        let help = "How long answers of /recall took";
        registry.register("recall_seconds", help, seconds.clone());
        registry.register_collector(Box::new(EngineCollector(engine)));
        Self {
            registry,
            requests,
            seconds,
        }
    }

    pub fn count(&self, outcome: Outcome, took: Duration) {
        if outcome.path == "/recall" && outcome.status == 200 {
            self.seconds.observe(took.as_secs_f64());
        }
        self.requests.get_or_create(&outcome).inc();
    }

    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct EngineCollector(Arc<RecallEngine>);

impl Collector for EngineCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let statistics = self.0.statistics();
        let counters = [
            ("calls", "Calls that were answered", statistics.calls),
            ("refused", "Calls that were refused", statistics.refused),
            ("events", "Events that were taken", statistics.events),
            (
                "unknown_events",
                "Events of items that the stage lacks",
                statistics.unknown_events,
            ),
            ("reloads", "Stages that were loaded", statistics.reloads),
            (
                "failed_reloads",
                "Loads that failed",
                statistics.failed_reloads,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let gauges = [
            (
                "users",
                "Users of whom events are held",
                statistics.users as u64,
            ),
            ("version", "Which stage serves", statistics.version),
            (
                "threads",
                "Threads that run channels",
                statistics.threads as u64,
            ),
            (
                "queued",
                "Jobs that wait for a thread",
                statistics.queued as u64,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let outcomes: [(&str, Read); 5] = [
            ("answered", |channel| channel.answered),
            ("empty", |channel| channel.empty),
            ("late", |channel| channel.late),
            ("busy", |channel| channel.busy),
            ("failed", |channel| channel.failed),
        ];
        let kind = ConstCounter::new(0u64).metric_type();
        let help = "Calls by channel and what became of it";
        let mut family = encoder.encode_descriptor("channel_calls", help, None, kind)?;
        for (name, channel) in &statistics.channels {
            for (outcome, value) in outcomes {
                let labels = [("channel", &**name), ("outcome", outcome)];
                let metric = family.encode_family(&labels)?;
                ConstCounter::new(value(channel)).encode(metric)?;
            }
        }
        let help = "How long a channel took in all, without the wait for a thread";
        let mut family = encoder.encode_descriptor("channel_seconds", help, None, kind)?;
        for (name, channel) in &statistics.channels {
            let labels = [("channel", &**name)];
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(channel.microseconds as f64 / 1e6).encode(metric)?;
        }
        Ok(())
    }
}
