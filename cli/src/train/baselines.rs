//! What a model must beat, and what is said where it doesn't.

use seqrec::Result;
use seqrec::channels::baselines;
use seqrec::data::Split;
use seqrec::eval::{Comparison, Metric};
use seqrec::recall::RecallChannel;

/// The model and the channels that it is compared with, the model first.
pub fn beside<'a>(
    model: impl RecallChannel + 'a,
    split: &Split,
) -> Result<Vec<(&'static str, Box<dyn RecallChannel + 'a>)>> {
    let model: Box<dyn RecallChannel + 'a> = Box::new(model);
    let mut channels = vec![("model", model)];
    for (name, channel) in baselines(&split.train)? {
        channels.push((name, channel));
    }
    Ok(channels)
}

/// Says where the model, which is the first, is below one of the others.
pub fn shortfall(compared: &Comparison, metric: Metric) -> Option<String> {
    let of_model = compared.reports.first()?.report.get(metric)?;
    let above: Vec<String> = (compared.reports.iter())
        .filter_map(|named| {
            let value = named.report.get(metric).filter(|&value| value > of_model)?;
            Some(format!("{} ({value:.4})", named.name))
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
