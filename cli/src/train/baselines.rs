//! What a model must beat: popularity, the Markov chain and session kNN, which take a second.

use seqrec::Result;
use seqrec::channels::{MarkovChainConfig, Popularity, SessionKnnConfig};
use seqrec::data::Split;
use seqrec::eval::{Metric, Report};
use seqrec::recall::{Evaluation, RecallChannel};
use serde_json::{Value, json};

/// The channels, by name.
pub struct Fitted([(&'static str, Box<dyn RecallChannel>); 3]);

impl Fitted {
    pub fn new(split: &Split) -> Result<Self> {
        let (train, catalog) = (&split.train, split.catalog());
        Ok(Self([
            ("popularity", Box::new(Popularity::new(catalog))),
            ("markov", Box::new(MarkovChainConfig::new().fit(train)?)),
            ("session kNN", Box::new(SessionKnnConfig::new().fit(train)?)),
        ]))
    }

    pub fn measure(&self, evaluation: &Evaluation, split: &Split) -> Result<Baselines> {
        let measure = |(name, channel): &(&'static str, Box<dyn RecallChannel>)| {
            let report = evaluation.run(channel.as_ref(), &split.test, split.catalog())?;
            Ok((*name, report))
        };
        self.0
            .iter()
            .map(measure)
            .collect::<Result<_>>()
            .map(Baselines)
    }
}

/// What each of them reaches on the test split.
pub struct Baselines(Vec<(&'static str, Report)>);

impl Baselines {
    /// Their names and reports.
    pub fn to_json(&self) -> Vec<Value> {
        let of = |(name, report): &(&str, Report)| json!({"name": name, "report": report});
        self.0.iter().map(of).collect()
    }

    /// The model's metrics beside theirs.
    pub fn table(&self, model: &Report) -> String {
        let mut table = format!(
            "test split, {} users\n  {:<24} {:>11}",
            model.users, "", "model"
        );
        for (name, _) in &self.0 {
            table += &format!(" {name:>11}");
        }
        for (metric, value) in model.iter() {
            table += &format!("\n  {:<24} {value:>11.4}", metric.to_string());
            for (_, report) in &self.0 {
                let value = report.get(metric).unwrap_or(f64::NAN);
                table += &format!(" {value:>11.4}");
            }
        }
        if model.unreachable_labels > 0 {
            table += &format!(
                "\n  {} labels were taken before, and can't be recalled where seen items are left out",
                model.unreachable_labels
            );
        }
        table
    }

    /// Says where the model is below one of them.
    pub fn compare(&self, model: &Report, metric: Metric) -> Option<String> {
        let of_model = model.get(metric)?;
        let above: Vec<String> = (self.0.iter())
            .filter_map(|(name, report)| {
                let value = report.get(metric).filter(|&value| value > of_model)?;
                Some(format!("{name} ({value:.4})"))
            })
            .collect();
        (!above.is_empty()).then(|| {
            format!(
                "\nThe model's {metric}, {of_model:.4}, is below that of {}: as it is trained here, it is \
                 not worth its training on these data. More epochs or patience, another --lr, \
                 --dropout or --similarity may help.",
                above.join(" and ")
            )
        })
    }
}
