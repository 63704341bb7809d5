//! Requests of any contents to the service: answered or refused in JSON, and never an error of the
//! service's own.
//!
//! `cargo +nightly fuzz run http` from the repository's root.
#![no_main]

#[path = "../../tests/support/stage.rs"]
mod support;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use libfuzzer_sys::fuzz_target;
use seqrec::channels::{MarkovChainConfig, PopularityConfig};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::recall::{ChannelWeight, Fusion, RecallStage};
use seqrec::store::ServedStage;

use seqrec_cli::serve::api::{Limits, Service, router};
use seqrec_cli::serve::titles::Titles;

static RUNNING: LazyLock<(tokio::runtime::Runtime, TowerToHyperService<Router>)> =
    LazyLock::new(|| {
        let load = || {
            let data = support::data();
            let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 10)?
                .channel(
                    "markov",
                    MarkovChainConfig::new().fit(&data)?,
                    ChannelWeight::default(),
                )?
                .fallback(PopularityConfig::new().fit(&data)?);
            Ok(ServedStage::new(stage, data))
        };
        let settings = EngineConfig::new()
            .with_users(1_000)
            .with_budget(Duration::from_secs(5));
        let engine = Arc::new(RecallEngine::with_loader(load, settings).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let router = router(Service::new(engine, Titles::default(), Limits::default()));
        (runtime, TowerToHyperService::new(router))
    });

fuzz_target!(|data: &[u8]| {
    let [which, body @ ..] = data else {
        return;
    };
    let path = ["/recall", "/events", "/titles"][usize::from(*which) % 3];
    let (runtime, router) = &*RUNNING;
    let request = Request::post(path).body(Body::from(body.to_vec())).unwrap();
    let (status, answer) = runtime.block_on(async {
        let response = router.call(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, body)
    });
    assert!(status.is_success() || status.is_client_error(), "{status}");
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status.is_success(), answer.get("error").is_none());
});
