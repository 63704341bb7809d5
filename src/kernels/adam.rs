//! One step of Adam in one pass over a parameter.

use rayon::prelude::*;

/// Values per piece of work: 64 KiB each of parameter, gradient and the two moments.
const PIECE: usize = 16_384;

/// The settings of Adam.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    /// The decays of the first and the second moment.
    pub(crate) beta_1: f64,
    pub(crate) beta_2: f64,
    /// Added to the root of the second moment.
    pub(crate) epsilon: f64,
}

impl Adam {
    /// The learning rate over `1 - beta_1^t`, and `1 / sqrt(1 - beta_2^t)`, at step `time`, counted
    /// from 1.
    pub(crate) fn corrections(&self, learning_rate: f64, time: usize) -> (f64, f64) {
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        (
            learning_rate / (1.0 - self.beta_1.powi(time)),
            1.0 / (1.0 - self.beta_2.powi(time)).sqrt(),
        )
    }

    /// The factors of a step: `1 - beta_1` and `1 - beta_2`, taken from 1 in double precision,
    /// since `1 - 0.999` is wrong in its fifth digit in single; epsilon; and the two corrections.
    pub(crate) fn numbers(&self, learning_rate: f64, time: usize) -> [f32; 5] {
        let (step_size, moment_2_scale) = self.corrections(learning_rate, time);
        [
            1.0 - self.beta_1,
            1.0 - self.beta_2,
            self.epsilon,
            step_size,
            moment_2_scale,
        ]
        .map(|number| number as f32)
    }
}

/// Moves `parameter` against `gradient` and updates both moments, all of one length, by the
/// [`Adam::numbers`] of a step.
pub(crate) fn step(
    parameter: &mut [f32],
    gradient: &[f32],
    [moment_1, moment_2]: [&mut [f32]; 2],
    numbers: [f32; 5],
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

/// Moves the rows of `[rows, dim]` that `rows` names, with their gradients `[n, dim]`.
pub(crate) fn step_rows(
    table: &mut [f32],
    gradient: &[f32],
    [moment_1, moment_2]: [&mut [f32]; 2],
    (rows, dim): (&[usize], usize),
    numbers: [f32; 5],
) {
    for (&row, gradient) in rows.iter().zip(gradient.chunks_exact(dim)) {
        let place = row * dim..(row + 1) * dim;
        piece(
            &mut table[place.clone()],
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
        numbers: [f32; 5],
    ) {
        let [moment_1_rate, moment_2_rate, epsilon, step_size, moment_2_scale] = numbers;
        let moments = moment_1.iter_mut().zip(moment_2);
        for ((parameter, &gradient), (moment_1, moment_2)) in
            parameter.iter_mut().zip(gradient).zip(moments)
        {
            *moment_1 += moment_1_rate * (gradient - *moment_1);
            *moment_2 += moment_2_rate * (gradient * gradient - *moment_2);
            let root = moment_2.sqrt() * moment_2_scale + epsilon;
            *parameter -= step_size * *moment_1 / root;
        }
    }
}
