//! The backends that are made of CubeCL's kernels: CUDA, wgpu and others of burn's, fused or not.
//!
//! Random bits are drawn on the device; all else is ordinary tensor operations.

use std::fmt;

use burn::tensor::ops::{Device, FloatTensor, IntTensor};
use burn::tensor::{DType, Element, Shape};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement, kernel};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Client, Fusion, FusionBackend, FusionRuntime, FusionTensor, get_client};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, OperationOutput, TensorIr};

use super::operations::Operations;
use super::random_bits::RandomBits;
use super::{Backend, lookup};
use crate::kernels::random::{FIRST_FACTOR, SECOND_FACTOR, STEP};

impl<R, F, I, T> Operations for CubeBackend<R, F, I, T>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    T: BoolElement,
{
    fn random_bits(bits: &RandomBits, device: &Device<Self>) -> IntTensor<Self> {
        let client = R::client(device);
        let [_, rows, columns] = bits.shape.map(|size| size as u32);
        let count = bits.count();
        let drawn = empty_device_contiguous_dtype(
            client.clone(),
            device.clone(),
            Shape::new([count]),
            DType::I32,
        );
        if count > 0 {
            let unit = CubeDim::new(&client, count);
            let steps = |places: u64| places.wrapping_mul(STEP);
            draw::launch(
                &client,
                calculate_cube_count_elemwise(&client, count, unit),
                unit,
                drawn.clone().into_array_arg(),
                rows,
                columns,
                wide(bits.seed.wrapping_add(steps(bits.first))),
                wide(steps(bits.strides[0])),
                wide(steps(bits.strides[1])),
            );
        }
        kernel::cast(drawn, I::dtype())
    }
}

impl<B: FusionBackend + Backend> Operations for Fusion<B> {
    fn random_bits(bits: &RandomBits, device: &Device<Self>) -> IntTensor<Self> {
        let client = get_client::<B>(device);
        let shape = Shape::new([bits.count()]);
        let drawn = TensorIr::uninit(client.create_empty_handle(), shape, B::IntElem::dtype());
        let (bits, on) = (*bits, device.clone());
        let description = CustomOpIr::new("random_bits", &[], &[drawn]);
        unfused::<B>(
            &client,
            OperationStreams::default(),
            description,
            move |description, handles| {
                let ([], [drawn]) = description.as_fixed();
                handles.register_int_tensor::<B>(&drawn.id, B::random_bits(&bits, &on));
            },
        )
    }

    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        let shape = Shape::new([indices.shape[0], table.shape[1]]);
        if shape[1] > 1 {
            return lookup::select_by_tensors::<Self>(table, indices);
        }
        // Where rows of one number meet wider ones, burn 0.21 fuses both to a kernel that reads the
        // numbers of other rows (`select_indices` in burn-cubecl-fusion).
        let client = table.client.clone();
        let selected = TensorIr::uninit(client.create_empty_handle(), shape, table.dtype);
        let streams = OperationStreams::with_inputs([&table, &indices]);
        let inputs = [table.into_ir(), indices.into_ir()];
        let description = CustomOpIr::new("select_rows", &inputs, &[selected]);
        let selected = unfused::<B>(&client, streams, description, |description, handles| {
            let ([table, indices], [rows]) = description.as_fixed();
            let table = handles.get_float_tensor::<B>(table);
            let indices = handles.get_int_tensor::<B>(indices);
            handles.register_float_tensor::<B>(&rows.id, B::float_select(table, 0, indices));
        });
        lookup::in_single::<Self>(selected)
    }
}

/// The tensor of an operation that is in a stream of fused ones, and is left as it is.
fn unfused<B: FusionBackend>(
    client: &Client<B::FusionRuntime>,
    streams: OperationStreams,
    description: CustomOpIr,
    run: impl Fn(&CustomOpIr, &mut HandleContainer<B::Handle>) + Send + Sync + 'static,
) -> FusionTensor<B::FusionRuntime> {
    let operation = OperationIr::Custom(description.clone());
    let run = Unfused { description, run };
    client.register(streams, operation, run).output()
}

/// An operation that a stream of fused ones runs as it is.
struct Unfused<F> {
    description: CustomOpIr,
    run: F,
}

impl<F> fmt::Debug for Unfused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description.fmt(f)
    }
}

impl<R, F> Operation<R> for Unfused<F>
where
    R: FusionRuntime,
    F: Fn(&CustomOpIr, &mut HandleContainer<R::FusionHandle>) + Send + Sync,
{
    fn execute(&self, handles: &mut HandleContainer<R::FusionHandle>) {
        (self.run)(&self.description, handles);
    }
}

/// A number of 64 bits, which not all devices have.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Wide {
    low: u32,
    high: u32,
}

fn wide<R: Runtime>(number: u64) -> WideLaunch<R> {
    WideLaunch::new(number as u32, (number >> 32) as u32)
}

/// Each place's bits, as [`random::bits`](crate::kernels::random) has them, from the start of the
/// Weyl sequence and its steps from table to table and from row to row.
#[cube(launch)]
fn draw(
    drawn: &mut Array<i32>,
    rows: u32,
    columns: u32,
    start: Wide,
    of_table: Wide,
    of_row: Wide,
) {
    if ABSOLUTE_POS < drawn.len() {
        let place = ABSOLUTE_POS as u32;
        let (row, column) = (place / columns, place % columns);
        let bits = add(start, times(of_table, row / rows));
        let bits = add(bits, times(of_row, row % rows));
        let bits = add(bits, times(constant(comptime!(STEP)), column));
        let bits = product(mixed(bits, 30u32), constant(comptime!(FIRST_FACTOR)));
        let bits = product(mixed(bits, 27u32), constant(comptime!(SECOND_FACTOR)));
        drawn[ABSOLUTE_POS] = i32::reinterpret(bits.high ^ 0x8000_0000u32);
    }
}

#[cube]
fn constant(#[comptime] number: u64) -> Wide {
    Wide {
        low: comptime!(number as u32).runtime(),
        high: comptime!((number >> 32) as u32).runtime(),
    }
}

#[cube]
fn add(a: Wide, b: Wide) -> Wide {
    let low = a.low + b.low;
    let carried = u32::cast_from(low < a.low);
    Wide {
        low,
        high: a.high + b.high + carried,
    }
}

#[cube]
fn times(a: Wide, b: u32) -> Wide {
    Wide {
        low: a.low * b,
        high: a.high * b + a.low.mul_hi(b),
    }
}

#[cube]
fn product(a: Wide, b: Wide) -> Wide {
    Wide {
        low: a.low * b.low,
        high: a.high * b.low + a.low * b.high + a.low.mul_hi(b.low),
    }
}

/// `bits ^ (bits >> shift)`, by less than 32.
#[cube]
fn mixed(bits: Wide, #[comptime] shift: u32) -> Wide {
    let carried = bits.high << comptime!(32 - shift);
    Wide {
        low: bits.low ^ ((bits.low >> shift) | carried),
        high: bits.high ^ (bits.high >> shift),
    }
}
