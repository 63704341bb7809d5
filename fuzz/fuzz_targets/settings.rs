//! Settings as JSON or as text: read and checked, or refused; what is read is written and read
//! again the same.
//!
//! `cargo +nightly fuzz run settings` from the repository's root.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seqrec::backend::{Autodiff, Flex};
use seqrec::burn::config::{Config, config_to_json};
use seqrec::data::{Format, Schema};
use seqrec::eval::Metric;
use seqrec::index::HnswConfig;
use seqrec::model::{MODEL_NAMES, ModelVisitor, TrainableConfig, visit_model};
use seqrec::store::StagePlan;
use seqrec::train::TrainerConfig;

fuzz_target!(|data: &[u8]| {
    let [which, text @ ..] = data else {
        return;
    };
    match which % 4 {
        0 => {
            for name in MODEL_NAMES {
                visit_model::<Autodiff<Flex>, _>(name, Model(text)).unwrap();
            }
        }
        1 => {
            if let Ok(config) = TrainerConfig::load_binary(text) {
                let _ = config.validate();
            }
            if let Ok(config) = serde_json::from_slice::<HnswConfig>(text) {
                let _ = config.validate();
            }
        }
        2 => {
            if let Ok(plan) = serde_json::from_slice::<StagePlan>(text) {
                let json = serde_json::to_string(&plan).unwrap();
                let again = serde_json::from_str::<StagePlan>(&json).unwrap();
                assert_eq!(serde_json::to_string(&again).unwrap(), json);
            }
        }
        _ => {
            let Ok(text) = std::str::from_utf8(text) else {
                return;
            };
            if let Ok(metric) = text.parse::<Metric>() {
                assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
            }
            if let Ok(schema) = text.parse::<Schema>() {
                assert_eq!(schema.to_string().parse::<Schema>().unwrap(), schema);
            }
            if let Ok(format) = text.parse::<Format>() {
                assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
            }
        }
    }
});

/// Settings of a model, read as those of every model there is.
struct Model<'a>(&'a [u8]);

impl ModelVisitor<Autodiff<Flex>> for Model<'_> {
    type Output = ();

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, _: C) {
        if let Ok(config) = C::load_binary(self.0) {
            let _ = config.validate_for(100);
            let json = config_to_json(&config);
            assert!(C::load_binary(json.as_bytes()).is_ok());
        }
    }
}
