//! One step of Adam in one pass over a parameter.

use rayon::prelude::*;

/// Values per piece of work: 64 KiB each of parameter, gradient and the two moments.
const PIECE: usize = 16_384;

/// The numbers of a step of Adam, with the bias corrections worked out.
#[derive(Clone, Copy)]
pub(crate) struct AdamNumbers {
    /// `1 - beta_1`, taken from 1 in double precision: in single, `1 - 0.999` is wrong in its
    /// fifth digit.
    pub(crate) moment_1_rate: f32,
    /// `1 - beta_2`.
    pub(crate) moment_2_rate: f32,
    pub(crate) epsilon: f32,
    /// The learning rate divided by `1 - beta_1^t`.
    pub(crate) step_size: f32,
    /// `1 / sqrt(1 - beta_2^t)`.
    pub(crate) moment_2_scale: f32,
}

/// Moves `parameter` against `gradient` and updates both moments; all have one length.
pub(crate) fn step(
    parameter: &mut [f32],
    gradient: &[f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    numbers: AdamNumbers,
) {
    parameter
        .par_chunks_mut(PIECE)
        .zip(gradient.par_chunks(PIECE))
        .zip(moment_1.par_chunks_mut(PIECE))
        .zip(moment_2.par_chunks_mut(PIECE))
        .for_each(|(((parameter, gradient), moment_1), moment_2)| {
            piece(parameter, gradient, moment_1, moment_2, numbers);
        });
}

/// The same for the rows of `[rows, dim]` that `rows` names, with their gradients `[n, dim]`.
pub(crate) fn step_rows(
    parameter: &mut [f32],
    gradient: &[f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    rows: &[usize],
    dim: usize,
    numbers: AdamNumbers,
) {
    for (&row, gradient) in rows.iter().zip(gradient.chunks_exact(dim)) {
        let place = row * dim..(row + 1) * dim;
        piece(
            &mut parameter[place.clone()],
            gradient,
            &mut moment_1[place.clone()],
            &mut moment_2[place],
            numbers,
        );
    }
}

super::for_each_instruction_set! {
    fn piece(
        parameter: &mut [f32],
        gradient: &[f32],
        moment_1: &mut [f32],
        moment_2: &mut [f32],
        numbers: AdamNumbers,
    ) {
        let moments = moment_1.iter_mut().zip(moment_2);
        for ((parameter, &gradient), (moment_1, moment_2)) in
            parameter.iter_mut().zip(gradient).zip(moments)
        {
            *moment_1 += numbers.moment_1_rate * (gradient - *moment_1);
            *moment_2 += numbers.moment_2_rate * (gradient * gradient - *moment_2);
            let root = moment_2.sqrt() * numbers.moment_2_scale + numbers.epsilon;
            *parameter -= numbers.step_size * *moment_1 / root;
        }
    }
}
