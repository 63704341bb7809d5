//! The sampled losses.

use seqrec::model::{SampledLoss, ScoreActivation};

/// The sampled losses by the names of the reference.
pub fn losses() -> [(&'static str, SampledLoss, ScoreActivation); 8] {
    let linear = ScoreActivation::Linear;
    let bpr_max = SampledLoss::BprMax {
        regularization: 0.7,
    };
    [
        ("softmax", SampledLoss::Softmax { log_q: false }, linear),
        (
            "softmax_log_q",
            SampledLoss::Softmax { log_q: true },
            linear,
        ),
        ("bpr", SampledLoss::Bpr, linear),
        ("bpr_max", bpr_max, linear),
        ("bpr_max_elu", bpr_max, ScoreActivation::Elu { alpha: 0.5 }),
        ("top1_max", SampledLoss::Top1Max, linear),
        ("bce", SampledLoss::Bce, linear),
        ("gbce", SampledLoss::Gbce { calibration: 0.6 }, linear),
    ]
}
