//! The kernels against the default bodies, over random shapes.

use burn::backend::Flex;
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Tensor, TensorData, TensorPrimitive};
use burn_flex::FlexTensor;
use proptest::prelude::*;

use super::{
    Activation, AdamState, AdamStep, AttentionBiases, AttentionInput, AttentionScoring, Backend,
    GruWeights, LayerNormInput, LinearInput, SoftmaxInput, default_ops, host,
};

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn values(tensor: FlexTensor) -> Vec<f32> {
    Tensor::<Flex, 1>::from_primitive(TensorPrimitive::Float(tensor))
        .into_data()
        .iter()
        .collect()
}

fn floats(count: usize, size: f32) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-size..size, count)
}

/// The largest difference is small beside the largest value, or beside `floor` where all are
/// smaller: a saturated softmax leaves nothing but rounding.
fn assert_within(name: &str, found: FlexTensor, expected: FlexTensor, tolerance: f32, floor: f32) {
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len(), "{name}");
    let size = largest(&expected).max(floor);
    for (found, expected) in found.iter().zip(&expected) {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * size,
            "{name}: {found} is not {expected} (size {size})"
        );
    }
}

fn assert_close(name: &str, found: FlexTensor, expected: FlexTensor, tolerance: f32) {
    assert_within(name, found, expected, tolerance, 0.03);
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |size, value| size.max(value.abs()))
}

/// Users, items, targets and corrections; item counts lie around multiples of the kernels' tiles.
fn softmax_case() -> impl Strategy<Value = SoftmaxInput<FlexTensor, FlexTensor>> {
    let items = prop_oneof![1..20usize, 505..520usize, 1_020..1_030usize];
    let rows = prop_oneof![1..8usize, 60..70usize];
    (
        rows,
        items,
        1..20usize,
        prop_oneof![Just(1.0f32), Just(2.0)],
        any::<bool>(),
        1..4usize,
    )
        .prop_flat_map(|(rows, items, dim, size, corrected, group)| {
            let rows = rows * group;
            // Where rows share a softmax, some may have no target.
            let least = i32::from(group == 1);
            let targets = proptest::collection::vec(least..=items as i32, rows);
            let all = items + 1;
            (
                floats(rows * dim, size),
                floats(all * dim, size),
                targets,
                floats(all, 3.0),
            )
                .prop_map(move |(users, table, targets, correction)| SoftmaxInput {
                    users: tensor(users, [rows, dim]),
                    items: tensor(table, [all, dim]),
                    log_correction: corrected.then(|| tensor(correction, [all])),
                    targets: FlexTensor::from_data(TensorData::new(targets, [rows])),
                    group,
                })
        })
}

fn gru_case() -> impl Strategy<Value = (Vec<usize>, usize, usize, usize, Vec<f32>)> {
    (
        prop_oneof![1..5usize, 31..36usize],
        1..6usize,
        1..20usize,
        1..20usize,
    )
        .prop_flat_map(|(batch, len, inputs, hidden)| {
            let gates = 3 * hidden;
            let values = batch * len * (inputs + hidden) + (inputs + hidden + 2) * gates;
            let lengths = proptest::collection::vec(1..=len, batch);
            (
                lengths,
                Just(len),
                Just(inputs),
                Just(hidden),
                floats(values, 1.0),
            )
        })
}

/// Sequences shorter and longer than the kernel's blocks of rows, and the gradient of what is
/// gathered.
fn attention_case() -> impl Strategy<Value = (AttentionInput<FlexTensor>, FlexTensor)> {
    let lengths = prop_oneof![
        proptest::collection::vec(1..9usize, 1..6),
        proptest::collection::vec(1..40usize, 1..4),
        proptest::collection::vec(60..70usize, 1..3),
    ];
    (lengths, 1..4usize, 1..20usize, any::<bool>(), any::<u64>()).prop_flat_map(
        |(lengths, heads, size, biased, seed)| {
            let tokens: usize = lengths.iter().sum();
            let pairs: usize = lengths.iter().map(|len| len * (len + 1) / 2).sum();
            let dim = heads * size;
            let classes = proptest::collection::vec(0..5u8, pairs);
            let dropout = prop_oneof![Just(None), Just(Some((seed, 0.3)))];
            (
                floats(4 * tokens * dim, 2.0),
                floats(75, 1.0),
                classes,
                dropout,
            )
                .prop_map(move |(numbers, biases, classes, dropout)| {
                    let (projected, gradient) = numbers.split_at(3 * tokens * dim);
                    let scoring = if biased {
                        AttentionScoring::Silu(AttentionBiases {
                            divisor: 7.0,
                            positions: tensor(biases[..70].to_vec(), [70, 1]),
                            times: tensor(biases[70..].to_vec(), [5, 1]),
                            classes: classes.into(),
                        })
                    } else {
                        AttentionScoring::Softmax { dropout }
                    };
                    let input = AttentionInput {
                        projected: tensor(projected.to_vec(), [tokens, 3 * dim]),
                        lengths: lengths.as_slice().into(),
                        heads,
                        scoring,
                    };
                    (input, tensor(gradient.to_vec(), [tokens, dim]))
                })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention((input, gradient) in attention_case(), weights in prop_oneof![1..40usize, 40..4_000usize, Just(1 << 24)]) {
        let fused = host::attention::<Flex>(input.clone());
        let plain = default_ops::attention_by_blocks::<Flex>(input.clone(), weights);
        assert_close("gathered", fused.gathered, plain.gathered, 1e-5);
        let fused = host::attention_backward::<Flex>(gradient.clone(), input.clone(), fused.saved);
        let plain = default_ops::attention_backward_by_blocks::<Flex>(gradient, input, weights);
        assert_close("projected", fused.projected, plain.projected, 1e-4);
        prop_assert_eq!(fused.biases.is_some(), plain.biases.is_some());
        let biases = fused.biases.into_iter().flatten().zip(plain.biases.into_iter().flatten());
        for (fused, plain) in biases {
            assert_close("biases", fused, plain, 1e-4);
        }
    }

    #[test]
    fn linear(
        (rows, inputs, outputs) in (prop_oneof![1..5usize, 120..140usize], 1..20usize, 1..40usize),
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Silu), Just(Activation::Gelu)],
        numbers in floats(140 * 20 + 20 * 40 + 40 + 140 * 40, 2.0),
    ) {
        let mut numbers = numbers.into_iter();
        let mut next = |count: usize| numbers.by_ref().take(count).collect::<Vec<_>>();
        let input = LinearInput {
            values: tensor(next(rows * inputs), [rows, inputs]),
            weight: tensor(next(inputs * outputs), [inputs, outputs]),
            bias: tensor(next(outputs), [outputs]),
            activation,
        };
        let gradient = tensor(next(rows * outputs), [rows, outputs]);
        let fused = host::linear::<Flex>(input.clone());
        let plain = default_ops::linear::<Flex>(input.clone());
        assert_close("outputs", fused.outputs, plain.outputs, 1e-5);
        let fused = host::linear_backward::<Flex>(gradient.clone(), input.clone(), fused.saved);
        let plain = default_ops::linear_backward::<Flex>(gradient, input, plain.saved);
        for ((name, fused), plain) in ["values", "weight", "bias"].into_iter().zip(fused).zip(plain) {
            assert_close(name, fused, plain, 1e-4);
        }
    }

    #[test]
    fn layer_norm(
        (rows, dim) in (prop_oneof![1..5usize, 120..140usize], 2..40usize),
        numbers in floats(2 * 140 * 40 + 2 * 40, 2.0),
    ) {
        let mut numbers = numbers.into_iter();
        let mut next = |count: usize| numbers.by_ref().take(count).collect::<Vec<_>>();
        let input = LayerNormInput {
            values: tensor(next(rows * dim), [rows, dim]),
            gamma: tensor(next(dim), [dim]),
            beta: tensor(next(dim), [dim]),
            epsilon: 1e-5,
        };
        let gradient = tensor(next(rows * dim), [rows, dim]);
        let fused = host::normalize_rows::<Flex>(input.clone());
        let plain = default_ops::normalize_rows::<Flex>(input.clone());
        assert_close("normal", fused, plain, 1e-5);
        let fused = host::normalize_rows_backward::<Flex>(gradient.clone(), input.clone());
        let plain = default_ops::normalize_rows_backward::<Flex>(gradient, input);
        for ((name, fused), plain) in ["values", "gamma", "beta"].into_iter().zip(fused).zip(plain) {
            assert_close(name, fused, plain, 2e-4);
        }
    }

    #[test]
    fn causal_convolution(
        lengths in proptest::collection::vec(1..12usize, 1..9),
        dim in 1..20usize,
        numbers in floats(9 * 12 * 20, 2.0),
        taps in floats(12, 1.0),
        transposed in any::<bool>(),
    ) {
        let tokens: usize = lengths.iter().sum();
        let values = tensor(numbers[..tokens * dim].to_vec(), [tokens, dim]);
        let fused =
            host::causal_convolution::<Flex>(values.clone(), &lengths, &taps, transposed);
        let plain =
            default_ops::causal_convolution::<Flex>(values, &lengths, &taps, transposed);
        assert_close("mixed", fused, plain, 1e-5);
    }

    /// The same bits, on any number of pieces.
    #[test]
    fn dropping(count in prop_oneof![1..100usize, 16_380..16_390usize], seed in any::<u64>()) {
        let numbers = (0..count).map(|place| place as f32 - 50.0).collect();
        let input = tensor(numbers, [count]);
        let fused = host::drop_values::<Flex>(input.clone(), 0.3, seed);
        let plain = default_ops::drop_values::<Flex>(input, 0.3, seed);
        let bits = |dropped| values(dropped).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        prop_assert_eq!(bits(fused), bits(plain));
    }

    /// The backward pass against differences of the forward pass.
    #[test]
    fn attention_gradients((input, gradient) in attention_case(), place in any::<prop::sample::Index>()) {
        let gathered = |input: AttentionInput<FlexTensor>| -> f64 {
            let gathered = values(host::attention::<Flex>(input).gathered);
            let pairs = gathered.iter().zip(values(gradient.clone()));
            pairs.map(|(value, by)| f64::from(*value) * f64::from(by)).sum()
        };
        let saved = host::attention::<Flex>(input.clone()).saved;
        let by = host::attention_backward::<Flex>(gradient.clone(), input.clone(), saved);
        let (projected, by) = (values(input.projected.clone()), values(by.projected));
        let place = place.index(projected.len());
        let shape: [usize; 2] = burn::tensor::TensorMetadata::shape(&input.projected).dims();
        const STEP: f32 = 1e-2;
        let moved = |step: f32| {
            let mut projected = projected.clone();
            projected[place] += step;
            gathered(AttentionInput { projected: tensor(projected, shape), ..input.clone() })
        };
        let difference = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
        let error = (difference - f64::from(by[place])).abs();
        prop_assert!(error < 2e-2 * (1.0 + difference.abs()), "{difference} is not {}", by[place]);
    }

    #[test]
    fn softmax(input in softmax_case(), scale in 0.1f32..3.0, block in 1usize..40) {
        let loss = values(host::softmax_cross_entropy::<Flex>(input.clone()));
        let fused = host::softmax_cross_entropy_gradients::<Flex>(input.clone());
        prop_assert_eq!(values(fused.loss.clone()), loss);
        let plain = default_ops::softmax_cross_entropy_gradients::<Flex>(input.clone());
        // The loss is the difference of a normalizer and a logit, and is as exact as they are.
        let of = |primitive| Tensor::<Flex, 2>::from_primitive(TensorPrimitive::Float(primitive));
        let mut logits = of(input.users.clone()).matmul(of(input.items.clone()).transpose());
        if let Some(correction) = &input.log_correction {
            let correction = TensorPrimitive::Float(correction.clone());
            logits = logits - Tensor::<Flex, 1>::from_primitive(correction).unsqueeze();
        }
        let logits = logits.abs().max().into_scalar().max(1.0);
        assert_within("loss", fused.loss.clone(), plain.loss.clone(), 1e-6, logits);
        // And where items come in many blocks.
        let blocks = default_ops::softmax_gradients_by_blocks::<Flex>(input, block);
        assert_within("loss by blocks", fused.loss.clone(), blocks.loss, 1e-6, logits);
        assert_close("users by blocks", fused.users.clone(), blocks.users, 1e-4);
        assert_close("items by blocks", fused.items.clone(), blocks.items, 1e-4);
        let gradient = || tensor(vec![scale], [1]);
        let fused = host::softmax_cross_entropy_backward::<Flex>(gradient(), fused);
        let plain = default_ops::softmax_cross_entropy_backward::<Flex>(gradient(), plain);
        for (name, (fused, plain)) in ["users", "items"].into_iter().zip(fused.into_iter().zip(plain)) {
            assert_close(name, fused, plain, 1e-4);
        }
    }

    #[test]
    fn gru((lengths, len, inputs, hidden, numbers) in gru_case()) {
        let (batch, gates) = (lengths.len(), 3 * hidden);
        let mut numbers = numbers.into_iter();
        let mut next = |rows: usize, columns: usize| {
            tensor(numbers.by_ref().take(rows * columns).collect(), [rows, columns])
        };
        let weights = GruWeights {
            input: next(inputs, gates),
            hidden: next(hidden, gates),
            input_bias: next(1, gates),
            hidden_bias: next(1, gates),
        };
        let sequences = tensor(values(next(batch * len, inputs)), [batch, len, inputs]);
        let gradient = tensor(values(next(batch * len, hidden)), [batch, len, hidden]);
        let fused = host::gru::<Flex>(sequences.clone(), &lengths, weights.clone());
        let plain = default_ops::gru::<Flex>(sequences.clone(), &lengths, weights.clone());
        assert_close("states", fused.states, plain.states, 1e-5);
        let fused = host::gru_backward::<Flex>(
            gradient.clone(), sequences.clone(), &lengths, weights.clone(), fused.saved,
        );
        let plain = default_ops::gru_backward::<Flex>(gradient, sequences, &lengths, weights, plain.saved);
        assert_close("values", fused.values, plain.values, 1e-4);
        assert_close("input", fused.weights.input, plain.weights.input, 1e-4);
        assert_close("hidden", fused.weights.hidden, plain.weights.hidden, 1e-4);
        assert_close("input_bias", fused.weights.input_bias, plain.weights.input_bias, 1e-4);
        assert_close("hidden_bias", fused.weights.hidden_bias, plain.weights.hidden_bias, 1e-4);
    }

    #[test]
    fn adam(numbers in floats(4 * 70, 1.0), time in 1usize..1000) {
        let part = |number: usize| tensor(numbers[70 * number..70 * (number + 1)].to_vec(), [7, 10]);
        let squares = values(part(3)).iter().map(|value| value * value).collect();
        let state = AdamState { parameter: part(0), moment_1: part(1), moment_2: tensor(squares, [7, 10]) };
        let step = AdamStep { learning_rate: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, time };
        let fused = host::adam_step::<Flex>(state.clone(), part(2), step);
        let plain = default_ops::adam_step::<Flex>(state, part(2), step);
        assert_close("parameter", fused.parameter, plain.parameter, 1e-5);
        assert_close("moment_1", fused.moment_1, plain.moment_1, 1e-5);
        assert_close("moment_2", fused.moment_2, plain.moment_2, 1e-5);
    }

    #[test]
    fn rows(numbers in floats(4 * 70, 1.0), order in Just((0..10).collect::<Vec<i32>>()).prop_shuffle()) {
        let part = |number: usize| tensor(numbers[70 * number..70 * (number + 1)].to_vec(), [10, 7]);
        let few = |number: usize| tensor(numbers[70 * number..70 * number + 28].to_vec(), [4, 7]);
        let indices = |order: &[i32]| FlexTensor::from_data(TensorData::new(order[..4].to_vec(), [4]));
        let repeated = [order[0], order[1], order[0], order[0]];
        let fused = host::add_to_rows::<Flex>(part(0), indices(&repeated), few(1));
        let plain = Flex::float_select_add(part(0), 0, indices(&repeated), few(1));
        assert_close("sum", fused, plain, 1e-6);
        let squares = values(part(3)).iter().map(|value| value * value).collect();
        let state = AdamState { parameter: part(0), moment_1: part(1), moment_2: tensor(squares, [10, 7]) };
        let step = AdamStep { learning_rate: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, time: 3 };
        let fused = host::adam_step_rows::<Flex>(state.clone(), indices(&order), few(2), step);
        let plain = default_ops::adam_step_rows::<Flex>(state.clone(), indices(&order), few(2), step);
        assert_close("parameter", fused.parameter.clone(), plain.parameter, 1e-5);
        assert_close("moment_1", fused.moment_1.clone(), plain.moment_1, 1e-5);
        assert_close("moment_2", fused.moment_2, plain.moment_2, 1e-5);
        // Rows that are not named stay the same bits.
        for (before, after) in [(state.parameter, fused.parameter), (state.moment_1, fused.moment_1)] {
            let (before, after) = (values(before), values(after));
            for &row in &order[4..] {
                let place = row as usize * 7..(row as usize + 1) * 7;
                prop_assert_eq!(&before[place.clone()], &after[place]);
            }
        }
    }
}

/// What is rounded by chance is rounded alike, but for a logarithm's last digit beside a power of two.
#[test]
fn rows_of_half_precision() {
    const ROWS: usize = 400;
    let numbers = |seed: f32| (0..ROWS * 7).map(move |place| (place as f32 * seed).sin());
    let table = || {
        let table = tensor(numbers(0.7).collect(), [ROWS, 7]);
        Flex::float_cast(table, FloatDType::F16)
    };
    let order: Vec<i32> = (0..ROWS as i32).filter(|row| row % 3 > 0).rev().collect();
    let few = order.len();
    let indices = || FlexTensor::from_data(TensorData::new(order.clone(), [few]));
    let news = || {
        let sizes = [1.0, 1e-3, 1e-5, 1e-7, 0.0, 300.0];
        let values = numbers(1.3).zip(sizes.into_iter().cycle());
        let values = values.map(|(value, size)| value * size).take(few * 7);
        tensor(values.collect(), [few, 7])
    };
    let fused = Flex::replace_rows(table(), indices(), news(), 5);
    let plain = default_ops::replace_rows::<Flex>(table(), indices(), news(), 5);
    assert_eq!([fused.dtype(), plain.dtype()], [DType::F16; 2]);
    let [by_kernel, by_default] = [&fused, &plain].map(|table| values(table.clone()));
    let same = by_kernel.iter().zip(&by_default).filter(|(a, b)| a == b);
    let (same, all) = (same.count(), by_kernel.len());
    assert!(same * 1000 > all * 998, "{same} of {all}");
    for (a, b) in by_kernel.iter().zip(&by_default) {
        assert!(
            (a - b).abs() <= a.abs().max(6.2e-5) / 1024.0,
            "{a} is not {b}"
        );
    }
    let before = values(table());
    for row in (0..ROWS).step_by(3) {
        let place = row * 7..(row + 1) * 7;
        assert_eq!(before[place.clone()], by_kernel[place]);
    }
    let fused_rows = Flex::select_rows(fused.clone(), indices());
    let plain_rows = default_ops::select_rows::<Flex>(fused, indices());
    assert_eq!([fused_rows.dtype(), plain_rows.dtype()], [DType::F32; 2]);
    assert_eq!(values(fused_rows), values(plain_rows));
}

/// Logits of ±80 and more must not overflow anywhere.
#[test]
fn extreme_logits_stay_finite() {
    let input = SoftmaxInput {
        users: tensor(vec![80.0, -80.0, 400.0], [3, 1]),
        items: tensor(vec![0.0, 1.0, -1.0, 0.5], [4, 1]),
        log_correction: None,
        targets: FlexTensor::from_data(TensorData::new(vec![1, 1, 2], [3])),
        group: 1,
    };
    let by_kernel = host::softmax_cross_entropy_gradients::<Flex>(input.clone());
    let by_blocks = default_ops::softmax_gradients_by_blocks::<Flex>(input, 3);
    for gradients in [by_kernel, by_blocks] {
        // The last two rows miss their target by the whole width of their logits.
        let loss = values(gradients.loss)[0];
        assert!((loss - (160.0 + 800.0) / 3.0).abs() < 1e-3, "{loss}");
        let (users, items) = (values(gradients.users), values(gradients.items));
        assert!((users.iter().chain(&items)).all(|value| value.is_finite()));
    }
}
