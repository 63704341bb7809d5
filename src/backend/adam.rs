//! Steps of Adam.

use burn::tensor::{DType, Tensor};

use super::lookup::RowGradient;
use super::primitives::{HostFloats, primitive, tensor};
use super::{Backend, replace_rows, rows, select_rows};
pub(crate) use crate::kernels::adam::Adam;
use crate::kernels::adam::{step, step_rows};

/// A parameter and its two moments after step `time`, counted from 1, of Adam with bias correction
/// (Kingma & Ba, 2015).
pub(crate) fn adam_step<B: Backend, const D: usize>(
    adam: &Adam,
    (learning_rate, time): (f64, usize),
    parameter: Tensor<B, D>,
    gradient: Tensor<B, D>,
    moments: [Tensor<B, D>; 2],
) -> (Tensor<B, D>, [Tensor<B, D>; 2]) {
    if !B::KERNELS {
        return by_tensors(adam, (learning_rate, time), parameter, gradient, moments);
    }
    let gradient = B::floats(primitive(gradient));
    in_place(parameter, moments, |parameter, moments| {
        let numbers = adam.numbers(learning_rate, time);
        step(parameter, &gradient, moments, numbers);
    })
}

/// A table `[rows, dim]` and its two moments after a step of Adam for the rows that a gradient
/// names, each once; the other rows and their moments stay as they are.
///
/// This is the lazy form: a row's moments decay when it is touched, not at every step. The table
/// may be of half precision, and is then rounded as by [`replace_rows`].
pub(crate) fn adam_step_rows<B: Backend>(
    adam: &Adam,
    (learning_rate, time): (f64, usize),
    table: Tensor<B, 2>,
    gradient: RowGradient<B>,
    moments: [Tensor<B, 2>; 2],
) -> (Tensor<B, 2>, [Tensor<B, 2>; 2]) {
    if !B::KERNELS || table.dtype() == DType::F16 {
        return rows_by_tensors(adam, (learning_rate, time), table, gradient, moments);
    }
    let [rows, dim] = table.dims();
    let rows = rows::numbers::<B>(gradient.indices.into_primitive(), rows);
    let gradient = B::floats(primitive(gradient.values));
    in_place(table, moments, |table, moments| {
        let numbers = adam.numbers(learning_rate, time);
        step_rows(table, &gradient, moments, (&rows, dim), numbers);
    })
}

fn by_tensors<B: Backend, const D: usize>(
    adam: &Adam,
    (learning_rate, time): (f64, usize),
    parameter: Tensor<B, D>,
    gradient: Tensor<B, D>,
    [moment_1, moment_2]: [Tensor<B, D>; 2],
) -> (Tensor<B, D>, [Tensor<B, D>; 2]) {
    let moment_1 =
        moment_1.mul_scalar(adam.beta_1) + gradient.clone().mul_scalar(1.0 - adam.beta_1);
    let moment_2 =
        moment_2.mul_scalar(adam.beta_2) + gradient.square().mul_scalar(1.0 - adam.beta_2);
    let (step_size, moment_2_scale) = adam.corrections(learning_rate, time);
    let root = moment_2
        .clone()
        .sqrt()
        .mul_scalar(moment_2_scale)
        .add_scalar(adam.epsilon);
    let parameter = parameter - moment_1.clone().mul_scalar(step_size) / root;
    (parameter, [moment_1, moment_2])
}

fn rows_by_tensors<B: Backend>(
    adam: &Adam,
    (learning_rate, time): (f64, usize),
    table: Tensor<B, 2>,
    gradient: RowGradient<B>,
    moments: [Tensor<B, 2>; 2],
) -> (Tensor<B, 2>, [Tensor<B, 2>; 2]) {
    let RowGradient { indices, values } = gradient;
    let rows = |table: &Tensor<B, 2>| select_rows(table.clone(), indices.clone());
    let before = moments.each_ref().map(rows);
    let (moved, after) = adam_step(adam, (learning_rate, time), rows(&table), values, before);
    let put = |table, rows| replace_rows(table, indices.clone(), rows, time as u64);
    let [moment_1, moment_2] = moments;
    let [after_1, after_2] = after;
    (
        put(table, moved),
        [put(moment_1, after_1), put(moment_2, after_2)],
    )
}

/// Changes a parameter and its moments as slices, in place where nobody else holds them.
fn in_place<B: Backend, const D: usize>(
    parameter: Tensor<B, D>,
    [moment_1, moment_2]: [Tensor<B, D>; 2],
    change: impl FnOnce(&mut [f32], [&mut [f32]; 2]),
) -> (Tensor<B, D>, [Tensor<B, D>; 2]) {
    let mut parameter = B::floats(primitive(parameter));
    let mut moment_1 = B::floats(primitive(moment_1));
    let mut moment_2 = B::floats(primitive(moment_2));
    change(&mut parameter, [&mut moment_1, &mut moment_2]);
    let moments = [moment_1, moment_2].map(|moment| tensor(moment.into_tensor()));
    (tensor(parameter.into_tensor()), moments)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Int, TensorData};
    use proptest::prelude::*;

    use super::super::agreement::{assert_close, floats};
    use super::*;

    const ADAM: Adam = Adam {
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
    };

    type Moved = (Tensor<Flex, 2>, [Tensor<Flex, 2>; 2]);

    fn check_agreement((parameter, moments): Moved, (plain_parameter, plain_moments): Moved) {
        let mut found = vec![parameter];
        found.extend(moments);
        let mut expected = vec![plain_parameter];
        expected.extend(plain_moments);
        for (found, expected) in found.into_iter().zip(expected) {
            assert_close("state", primitive(found), primitive(expected), 1e-5);
        }
    }

    fn matrix(numbers: &[f32], dim: usize) -> Tensor<Flex, 2> {
        let shape = [numbers.len() / dim, dim];
        Tensor::from_data(
            TensorData::new(numbers.to_vec(), shape),
            &Default::default(),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn kernels_and_tensors_agree(numbers in floats(4 * 70, 1.0), time in 1usize..1000) {
            let part = |number: usize| matrix(&numbers[70 * number..70 * (number + 1)], 10);
            let moments = [part(1), part(3).square()];
            let fused = adam_step(&ADAM, (0.01, time), part(0), part(2), moments.clone());
            let plain = by_tensors(&ADAM, (0.01, time), part(0), part(2), moments);
            check_agreement(fused, plain);
        }

        #[test]
        fn rows_that_are_not_named_stay(numbers in floats(4 * 70, 1.0), order in Just((0..10).collect::<Vec<i32>>()).prop_shuffle()) {
            let part = |number: usize| matrix(&numbers[70 * number..70 * (number + 1)], 7);
            let gradient = || RowGradient {
                indices: Tensor::<Flex, 1, Int>::from_ints(&order[..4], &Default::default()),
                values: matrix(&numbers[140..168], 7),
            };
            let moments = [part(1), part(3).square()];
            let fused = adam_step_rows(&ADAM, (0.01, 3), part(0), gradient(), moments.clone());
            let plain = rows_by_tensors(&ADAM, (0.01, 3), part(0), gradient(), moments.clone());
            for (before, after) in [(part(0), &fused.0), (part(1), &fused.1[0])] {
                let of = |table: Tensor<Flex, 2>| table.into_data().to_vec::<f32>().unwrap();
                let (before, after) = (of(before), of(after.clone()));
                for &row in &order[4..] {
                    let place = row as usize * 7..(row as usize + 1) * 7;
                    prop_assert_eq!(&before[place.clone()], &after[place]);
                }
            }
            check_agreement(fused, plain);
        }
    }
}
