//! A step of Bayesian personalized ranking.

/// Number of partial sums, so that they can be added up in vectors.
const LANES: usize = 16;

super::for_each_instruction_set! {
    /// Moves a user's vector and those of two items, all of one length, so that the user's inner
    /// product with `better` grows over that with `worse`: a step of `rate` along the gradient
    /// of ln σ(user · better - user · worse), with weights shrunk by `rate · decay` of them.
    pub(crate) fn step_apart(
        user: &mut [f32],
        better: &mut [f32],
        worse: &mut [f32],
        rate: f32,
        decay: f32,
    ) {
        let mut lanes = [0.0; LANES];
        let mut apart = 0.0;
        let (users, betters, worses) = (
            user.chunks_exact(LANES),
            better.chunks_exact(LANES),
            worse.chunks_exact(LANES),
        );
        let rest = (users.remainder().iter()).zip(betters.remainder().iter().zip(worses.remainder()));
        for (p, (q, r)) in rest {
            apart += p * (q - r);
        }
        for (p, (q, r)) in users.zip(betters.zip(worses)) {
            for (lane, (&p, (&q, &r))) in lanes.iter_mut().zip(p.iter().zip(q.iter().zip(r))) {
                *lane += p * (q - r);
            }
        }
        apart += lanes.into_iter().sum::<f32>();
        let step = rate / (1.0 + apart.exp());
        let kept = 1.0 - rate * decay;
        for (p, (q, r)) in user.iter_mut().zip(better.iter_mut().zip(worse)) {
            let (of_user, between) = (*p, *q - *r);
            *p = kept * of_user + step * between;
            *q = kept * *q + step * of_user;
            *r = kept * *r - step * of_user;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_follows_the_gradient() {
        for length in [3, 16, 37] {
            let values = |by: usize| -> Vec<f32> {
                (0..length)
                    .map(|i| (i * by % 11) as f32 / 11.0 - 0.4)
                    .collect()
            };
            let (user, better, worse) = (values(3), values(5), values(7));
            let (mut p, mut q, mut r) = (user.clone(), better.clone(), worse.clone());
            step_apart(&mut p, &mut q, &mut r, 0.1, 0.5);
            let apart: f32 = (0..length).map(|i| user[i] * (better[i] - worse[i])).sum();
            let slope = 1.0 / (1.0 + apart.exp());
            for i in 0..length {
                let moved = [p[i] - user[i], q[i] - better[i], r[i] - worse[i]];
                let expected = [
                    slope * (better[i] - worse[i]) - 0.5 * user[i],
                    slope * user[i] - 0.5 * better[i],
                    -slope * user[i] - 0.5 * worse[i],
                ];
                for (moved, expected) in moved.into_iter().zip(expected) {
                    assert!((moved - 0.1 * expected).abs() < 1e-6, "{moved} {expected}");
                }
            }
        }
    }
}
