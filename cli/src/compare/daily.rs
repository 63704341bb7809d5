//! A model day by day: never trained again, trained from nothing each day, or going on from
//! yesterday.
//!
//! `seqrec compare daily ratings.csv` divides a log by time into periods ("days"), trains on what
//! lies before each and judges on it. It prints recall by day for the three ways, how long each
//! took, and draws `daily.svg`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use plotters::prelude::*;
use seqrec::data::{Filters, Interactions, Rolling, Seen, Split};
use seqrec::eval::{Metric, Spread};
use seqrec::index::FlatIndex;
use seqrec::model::{Gru4Rec, Gru4RecConfig, RecallerConfig};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::{Evaluation, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::train::{NewItems, Trained, Trainer, TrainerConfig, WarmStart};

use serde_json::json;

use crate::numbers::finite;
use crate::output_file::OutputFile;
use crate::reading::ReadingArgs;
use crate::results::Results;

#[derive(Args, Debug)]
pub struct Options {
    /// A file of interactions with times.
    #[arg(value_name = "DATA")]
    file: PathBuf,
    #[command(flatten)]
    reading: ReadingArgs,
    /// The share of interactions before the first day.
    #[arg(long, default_value_t = 0.7, value_parser = finite::<f64>)]
    share: f64,
    /// Days into which the others are divided, of about as many interactions each.
    #[arg(long, default_value_t = 5)]
    days: usize,
    /// Epochs a day of the model that goes on from yesterday's.
    #[arg(long, default_value_t = 1)]
    warm_epochs: usize,
    /// Its batch size: a day has few sequences, and an epoch of them should have steps enough.
    #[arg(long, default_value_t = 8)]
    warm_batch_size: usize,
    /// Its learning rate.
    #[arg(long, default_value_t = 0.002, value_parser = finite::<f64>)]
    warm_lr: f64,
    /// How many places around a new item lie those at whose mean it begins; 0 begins at random.
    #[arg(long, default_value_t = 3)]
    window: usize,
    /// Epochs at most of a model that is trained from nothing.
    #[arg(long, default_value_t = 60)]
    epochs: usize,
    /// The size of vectors.
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// The cut of the metric: how many items are recalled.
    #[arg(long, short, default_value_t = 50)]
    k: usize,
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the picture goes; one that this program drew before is replaced.
    #[arg(long, default_value = "daily.svg")]
    out: PathBuf,
}

type Model = Gru4Rec<Flex>;

/// What the picture begins with.
const MARK: &str = "<!-- drawn by seqrec's daily -->\n";

/// The three ways, as the picture names them.
const WAYS: [&str; 3] = ["never retrained", "retrained from nothing", "warm"];

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    // What can't be is told before any time is spent.
    let out = OutputFile::new(&options.out, MARK)?;
    let metric = Metric::recall(options.k)?;
    for trainer in [cold_trainer(options, metric), warm_trainer(options, metric)] {
        trainer.validate()?;
    }
    let log = options.reading.reader(&options.file)?.read()?;
    let Options { share, days, .. } = *options;
    let rolling = Rolling::evenly(&log, share, days)
        .map_err(|error| format!("--share {share} --days {days}: {error}"))?;
    let recalls = run_days(options, &log, &rolling, metric)?;
    for (way, name) in WAYS.into_iter().enumerate() {
        if let Some(spread) = Spread::from_values(recalls.iter().map(|day| day[way])) {
            results.text(format_args!(
                "{name}: {metric} {spread} over {} days",
                recalls.len()
            ));
        }
    }
    let days: Vec<_> = recalls
        .iter()
        .map(|day| WAYS.into_iter().zip(*day).collect::<BTreeMap<_, _>>())
        .collect();
    results.value(&json!({"metric": metric, "days": days}));
    out.write(&draw(metric, &recalls)?)?;
    eprintln!("the picture is {}", options.out.display());
    Ok(())
}

fn trainer(options: &Options, metric: Metric) -> TrainerConfig {
    TrainerConfig::new()
        .with_metric(metric)
        .with_ks(vec![options.k])
        .with_seen(Seen::Exclude)
        .with_seed(options.seed)
}

/// For a model that is trained from nothing.
fn cold_trainer(options: &Options, metric: Metric) -> TrainerConfig {
    trainer(options, metric).with_epochs(options.epochs)
}

/// For the model that goes on from yesterday's.
fn warm_trainer(options: &Options, metric: Metric) -> TrainerConfig {
    trainer(options, metric)
        .with_epochs(options.warm_epochs)
        .with_batch_size(options.warm_batch_size)
        .with_learning_rate(options.warm_lr)
}

/// Each day's recall in each of the [ways](WAYS).
fn run_days(
    options: &Options,
    log: &Interactions,
    rolling: &Rolling,
    metric: Metric,
) -> Result<Vec<[f64; 3]>, Box<dyn Error>> {
    // The first day's model, and yesterday's warm one.
    let (mut first, mut yesterday) = (None, None);
    let mut recalls = Vec::new();
    for day in 0..rolling.windows() {
        let filters = Filters::new().with_minimum_per_user(5);
        let split = rolling.split(log, filters, day)?;
        Evaluation::new(&[options.k], Seen::Exclude).validate(split.catalog())?;
        let from_nothing = Trainer::new(cold_trainer(options, metric));
        let (cold, seconds) = train(options, &split, from_nothing)?;
        let warm = match &yesterday {
            None => None,
            Some(start) => {
                let start = WarmStart::clone(start).new_items(match options.window {
                    0 => NewItems::Noise,
                    window => NewItems::Neighbors { window },
                });
                eprintln!("day {}: {}", day + 1, start.overlap(split.catalog()));
                let trainer = Trainer::new(warm_trainer(options, metric)).warm_start(start);
                Some(train(options, &split, trainer)?)
            }
        };
        let (warm, warm_seconds) = match &warm {
            Some((trained, seconds)) => (trained, *seconds),
            None => (&cold, seconds),
        };
        let start = |model: &Model| WarmStart::new(model, split.catalog());
        let unchanged = match &first {
            None => cold.model.clone(),
            Some(start) => unchanged(options, start, &split)?,
        };
        let models = [&unchanged, &cold.model, &warm.model];
        let mut of_day = [0.0; 3];
        for (recall, model) in of_day.iter_mut().zip(models) {
            *recall = judge(model, &split, metric)?;
        }
        eprintln!(
            "day {}: {} test users, {} newcomers not judged; {metric} {:.4} never retrained, {:.4} from nothing ({} epochs, \
             {seconds:.1} s), {:.4} warm ({warm_seconds:.1} s)",
            day + 1,
            split.test.len(),
            split.test.newcomers().len(),
            of_day[0],
            of_day[1],
            cold.best_epoch,
            of_day[2],
        );
        yesterday = Some(start(&warm.model));
        first.get_or_insert_with(|| start(&cold.model));
        recalls.push(of_day);
    }
    Ok(recalls)
}

fn model(options: &Options, split: &Split) -> seqrec::Result<Gru4Rec<Autodiff<Flex>>> {
    let config = Gru4RecConfig::new().with_dim(options.dim);
    config.init(split.catalog().len(), options.seed, &Default::default())
}

/// A trained model, and how many seconds that took.
fn train(
    options: &Options,
    split: &Split,
    trainer: Trainer<'_>,
) -> seqrec::Result<(Trained<Model>, f64)> {
    let clock = Instant::now();
    let trained = trainer.fit(model(options, split)?, split)?;
    Ok((trained, clock.elapsed().as_secs_f64()))
}

/// An old model on today's catalog, whose new items it can't know.
fn unchanged(options: &Options, start: &WarmStart, split: &Split) -> seqrec::Result<Model> {
    use seqrec::burn::module::AutodiffModule;
    Ok(start.apply(model(options, split)?, split)?.valid())
}

fn judge(model: &Model, split: &Split, metric: Metric) -> seqrec::Result<f64> {
    let index = FlatIndex::new(&item_vectors(model))?;
    let channel = VectorChannel::from_model(model.clone(), index);
    let evaluation = Evaluation::new(&[metric.k()], Seen::Exclude);
    let report = evaluation.run(&channel, &split.test, split.catalog())?;
    Ok(report.get(metric).unwrap_or_default())
}

/// The picture, as SVG.
fn draw(metric: Metric, recalls: &[[f64; 3]]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    let top = recalls.iter().flatten().copied().fold(1e-3, f64::max) * 1.15;
    let area = SVGBackend::with_string(&mut svg, (900, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption(format!("{metric} by day"), ("sans-serif", 20))
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(1.0..recalls.len().max(2) as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("day")
        .x_labels(recalls.len())
        .x_label_formatter(&|day| format!("{day:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (way, name) in WAYS.into_iter().enumerate() {
        let color = Palette99::pick(way).to_rgba();
        let points = (1..).map(f64::from).zip(recalls.iter().map(|day| day[way]));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    // Which still hold on to the text.
    drop((chart, area));
    Ok(svg)
}
