//! Rows of tables that are replaced and added to.

use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, ElementConversion, FloatDType, Int, Tensor, TensorMetadata};
use half::f16;

use super::Backend;
use super::primitives::{HostFloats, integers, primitive, tensor};
use super::random_bits::RandomBits;
use crate::kernels;
use crate::kernels::scoring::LARGEST_HALF;

/// `table` `[rows, dim]` with each row of `values` `[n, dim]` added to the row that `indices` `[n]`
/// names; a row that is named several times gets them all.
pub fn add_to_rows<B: Backend>(
    table: Tensor<B, 2>,
    indices: Tensor<B, 1, Int>,
    values: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let [table, values] = [table, values].map(primitive);
    tensor(add_primitives::<B>(table, indices.into_primitive(), values))
}

/// The primitive of [`add_to_rows`].
pub(super) fn add_primitives<B: Backend>(
    table: FloatTensor<B>,
    indices: IntTensor<B>,
    values: FloatTensor<B>,
) -> FloatTensor<B> {
    if !B::KERNELS {
        return B::float_select_add(table, 0, indices, values);
    }
    let [rows, dim] = table.shape().dims();
    let numbers = numbers::<B>(indices, rows);
    let mut table = B::floats(table);
    kernels::rows::add(&mut table, dim, &numbers, &B::floats(values));
    table.into_tensor()
}

/// `table` `[rows, dim]` with the rows that `indices` `[n]` name, each once, replaced by `values`
/// `[n, dim]`.
///
/// Where the table is of half precision, values are rounded stochastically: to one of the two
/// neighbors there, the nearer one the more often, so that a step that is too small to show is not
/// lost over many. The seed decides.
pub(crate) fn replace_rows<B: Backend>(
    table: Tensor<B, 2>,
    indices: Tensor<B, 1, Int>,
    values: Tensor<B, 2>,
    seed: u64,
) -> Tensor<B, 2> {
    let [table, values] = [table, values].map(primitive);
    tensor(B::replace_rows(
        table,
        indices.into_primitive(),
        values,
        seed,
    ))
}

/// The row numbers of an index tensor.
///
/// # Panics
/// When one is negative or not below `rows`.
pub(super) fn numbers<B: Backend>(indices: IntTensor<B>, rows: usize) -> Vec<usize> {
    integers::<B>(indices)
        .into_iter()
        .map(|index| {
            let row = usize::try_from(index).unwrap_or(rows);
            assert!(row < rows, "row {index} of a table of {rows} rows");
            row
        })
        .collect()
}

/// Replaces rows by burn's own operations.
pub(super) fn replace_by_tensors<B: Backend>(
    table: FloatTensor<B>,
    indices: IntTensor<B>,
    values: FloatTensor<B>,
    seed: u64,
) -> FloatTensor<B> {
    let values = match table.dtype() {
        DType::F16 => {
            let rounded = rounded_to_half(tensor::<B, 2>(values), seed);
            B::float_cast(primitive(rounded), FloatDType::F16)
        }
        _ => values,
    };
    // A number less itself is 0, and nothing is rounded where it is added to that.
    let old = B::float_select(table.clone(), 0, indices.clone());
    let without = B::float_select_add(table, 0, indices.clone(), B::float_neg(old));
    B::float_select_add(without, 0, indices, values)
}

/// Values that half precision holds, each of which is a neighbor of what it was, by chance.
fn rounded_to_half<B: Backend>(values: Tensor<B, 2>, seed: u64) -> Tensor<B, 2> {
    let (least, most) = (f16::MIN_POSITIVE.to_f64(), f64::from(LARGEST_HALF));
    let shape = values.dims();
    let bits = RandomBits::first(seed, shape[0] * shape[1]);
    let bits = Tensor::<B, 1, Int>::from_primitive(B::random_bits(&bits, &values.device()));
    // The upper 13, of which the first is a sign here.
    let chances = bits
        .bitwise_right_shift_scalar(19.elem())
        .float()
        .reshape(shape);
    let chances = chances.div_scalar(8192.0).add_scalar(0.5);
    // The logarithm of a number just below a power of two may be that of the power, whose unit is
    // twice as large; it is then rounded to fewer digits than it could be, and its mean stays.
    let sizes = values.clone().abs();
    let exponent = sizes.clone().clamp(least, most).log();
    let exponent = exponent.div_scalar(std::f64::consts::LN_2).floor();
    let unit = Tensor::from_floats([[2.0]], &values.device()).powf(exponent);
    let unit = unit.div_scalar(1024.0);
    let moved = (sizes / unit.clone() + chances).floor() * unit;
    moved.clamp_max(most) * values.sign()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::TensorData;
    use burn::tensor::ops::FloatTensorOps;
    use burn_flex::FlexTensor;
    use proptest::prelude::*;

    use super::super::agreement::{Numbers, assert_close, floats, tensor, values};
    use super::super::lookup::select_by_tensors;
    use super::super::operations::Operations;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn rows_that_are_named_several_times_get_all(
            numbers in floats(70 + 28, 1.0),
            order in Just((0..10).collect::<Vec<i32>>()).prop_shuffle(),
        ) {
            let mut numbers = Numbers::new(numbers);
            let (table, more) = (numbers.tensor([10, 7]), numbers.tensor([4, 7]));
            let repeated = vec![order[0], order[1], order[0], order[0]];
            let indices = FlexTensor::from_data(TensorData::new(repeated, [4]));
            let by_kernel =
                add_primitives::<Flex>(table.clone(), indices.clone(), more.clone());
            let by_tensors = Flex::float_select_add(table, 0, indices, more);
            assert_close("sum", by_kernel, by_tensors, 1e-6);
        }
    }

    /// Stochastic rounding gives equal values, but for a logarithm's last digit next to a power of
    /// two.
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
        let plain = replace_by_tensors::<Flex>(table(), indices(), news(), 5);
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
        let plain_rows = select_by_tensors::<Flex>(fused, indices());
        assert_eq!([fused_rows.dtype(), plain_rows.dtype()], [DType::F32; 2]);
        assert_eq!(values(fused_rows), values(plain_rows));
    }
}
