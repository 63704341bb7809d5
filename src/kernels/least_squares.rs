//! Regularized least squares by conjugate gradients: Hestenes & Stiefel,
//! [1952](https://doi.org/10.6028/jres.049.044).

use pulp::{Arch, Simd, WithSimd};

use super::scoring::{Line, prefetch};

/// Rows that are summed at once, so that their sums do not wait for each other.
const ROWS: usize = 8;

/// The system (P + w Σ v qqᵀ + λ I) x = (1 + w) Σ v q over some of many rows q with weights v, each
/// row of the same whole number of lines, filled up with 0.
#[derive(Clone, Copy)]
pub(crate) struct NormalEquations<'a> {
    /// P, `[dim, lines]`.
    pub products: &'a [Line],
    /// The rows q, `[rows, lines]`.
    pub rows: &'a [Line],
    /// w.
    pub weight: f32,
    /// λ.
    pub regularization: f32,
    /// The size of a row.
    pub dim: usize,
}

/// Rows of a system.
#[derive(Clone, Copy)]
pub(crate) struct ChosenRows<'a> {
    /// Their numbers.
    pub numbers: &'a [u32],
    /// v, or nothing at all where it is 1 for each.
    pub weights: &'a [f32],
}

impl ChosenRows<'_> {
    #[inline(always)]
    fn weight(&self, place: usize) -> f32 {
        self.weights.get(place).copied().unwrap_or(1.0)
    }
}

/// The memory that a system is solved in.
#[derive(Default)]
pub(crate) struct Workspace {
    solution: Vec<Line>,
    residual: Vec<Line>,
    direction: Vec<Line>,
    along: Vec<Line>,
}

impl NormalEquations<'_> {
    /// Takes `steps` steps from `x` `[dim]` towards the solution of the system of the `chosen`
    /// rows.
    pub(crate) fn solve(
        &self,
        chosen: ChosenRows<'_>,
        x: &mut [f32],
        steps: usize,
        at: &mut Workspace,
    ) {
        let lines = self.dim.div_ceil(Line::WIDTH);
        for vector in [
            &mut at.solution,
            &mut at.residual,
            &mut at.direction,
            &mut at.along,
        ] {
            vector.clear();
            vector.resize(lines, Line::default());
        }
        bytemuck::cast_slice_mut(&mut at.solution)[..self.dim].copy_from_slice(x);
        Arch::new().dispatch(Solve {
            system: self,
            chosen,
            steps,
            at,
        });
        x.copy_from_slice(&bytemuck::cast_slice(&at.solution)[..self.dim]);
    }
}

struct Solve<'a> {
    system: &'a NormalEquations<'a>,
    chosen: ChosenRows<'a>,
    steps: usize,
    at: &'a mut Workspace,
}

impl WithSimd for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let weight = self.system.weight;
        let Workspace {
            solution,
            residual,
            direction,
            along,
        } = self.at;
        let solution = vectors_mut::<S>(solution);
        let residual = vectors_mut::<S>(residual);
        let direction = vectors_mut::<S>(direction);
        let along = vectors_mut::<S>(along);
        // What is missing: the right side less the left.
        let missing = Product {
            system: self.system,
            chosen: self.chosen,
            sign: -1.0,
            shift: 1.0 + weight,
        };
        missing.of(simd, solution, residual);
        direction.copy_from_slice(residual);
        let mut size = dot(simd, residual, residual);
        let product = Product {
            sign: 1.0,
            shift: 0.0,
            ..missing
        };
        for _ in 0..self.steps {
            if size < 1e-12 {
                break;
            }
            product.of(simd, direction, along);
            let step = size / dot(simd, direction, along);
            add_scaled(simd, solution, step, direction);
            add_scaled(simd, residual, -step, along);
            let new_size = dot(simd, residual, residual);
            let kept = simd.splat_f32s(new_size / size);
            for (direction, &residual) in direction.iter_mut().zip(&*residual) {
                *direction = simd.mul_add_f32s(kept, *direction, residual);
            }
            size = new_size;
        }
    }
}

/// ± (P + w Σ v qqᵀ + λ I) x + s Σ v q, in one pass over the rows.
#[derive(Clone, Copy)]
struct Product<'a> {
    system: &'a NormalEquations<'a>,
    chosen: ChosenRows<'a>,
    sign: f32,
    /// s.
    shift: f32,
}

impl Product<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: &[S::f32s], result: &mut [S::f32s]) {
        let system = self.system;
        let lines = system.dim.div_ceil(Line::WIDTH);
        let scale = simd.splat_f32s(self.sign * system.regularization);
        for (result, &x) in result.iter_mut().zip(x) {
            *result = simd.mul_f32s(scale, x);
        }
        let values: &[f32] = &bytemuck::cast_slice(x)[..system.dim];
        let products = system.products.chunks_exact(lines);
        for (row, &value) in products.zip(values) {
            add_scaled(simd, result, self.sign * value, vectors::<S>(row));
        }

        let factor = self.sign * system.weight;
        let (blocks, rest) = pulp::as_arrays::<ROWS, _>(self.chosen.numbers);
        for (place, block) in blocks.iter().enumerate() {
            for &ahead in blocks.get(place + 1).into_iter().flatten() {
                prefetch(row(system.rows, lines, ahead));
            }
            // Loops, not `map`: a closure is not compiled for the instruction set around it.
            let mut rows: [&[S::f32s]; ROWS] = [&[]; ROWS];
            for (row_of_block, &number) in rows.iter_mut().zip(block) {
                *row_of_block = vectors::<S>(row(system.rows, lines, number));
            }
            let mut sums = [simd.splat_f32s(0.0); ROWS];
            for (column, &x) in x.iter().enumerate() {
                for (sum, row) in sums.iter_mut().zip(&rows) {
                    *sum = simd.mul_add_f32s(row[column], x, *sum);
                }
            }
            for (of_block, sum) in sums.iter_mut().enumerate() {
                let weight = self.chosen.weight(place * ROWS + of_block);
                let share = self.shift + factor * simd.reduce_sum_f32s(*sum);
                *sum = simd.splat_f32s(weight * share);
            }
            for (column, result) in result.iter_mut().enumerate() {
                let mut total = *result;
                for (&share, row) in sums.iter().zip(&rows) {
                    total = simd.mul_add_f32s(share, row[column], total);
                }
                *result = total;
            }
        }
        for (place, &number) in rest.iter().enumerate() {
            let row = vectors::<S>(row(system.rows, lines, number));
            let weight = self.chosen.weight(blocks.len() * ROWS + place);
            let share = self.shift + factor * dot(simd, row, x);
            add_scaled(simd, result, weight * share, row);
        }
    }
}

#[inline(always)]
fn row(rows: &[Line], lines: usize, number: u32) -> &[Line] {
    &rows[number as usize * lines..][..lines]
}

#[inline(always)]
fn vectors<S: Simd>(lines: &[Line]) -> &[S::f32s] {
    S::as_simd_f32s(bytemuck::cast_slice(lines)).0
}

#[inline(always)]
fn vectors_mut<S: Simd>(lines: &mut [Line]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(bytemuck::cast_slice_mut(lines)).0
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[S::f32s], b: &[S::f32s]) -> f32 {
    let mut sum = simd.splat_f32s(0.0);
    for (&a, &b) in a.iter().zip(b) {
        sum = simd.mul_add_f32s(a, b, sum);
    }
    simd.reduce_sum_f32s(sum)
}

/// `sums + scale · values`, in `sums`.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, sums: &mut [S::f32s], scale: f32, values: &[S::f32s]) {
    let scale = simd.splat_f32s(scale);
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = simd.mul_add_f32s(scale, value, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The solution makes both sides of the system equal, for sizes and counts of rows that fill
    /// lines and blocks and that do not.
    #[test]
    fn the_solution_solves_the_system() {
        for (dim, count) in [(1usize, 1usize), (5, 7), (16, 8), (19, 21), (64, 40)] {
            let lines = dim.div_ceil(Line::WIDTH);
            let padded = lines * Line::WIDTH;
            let value = |row: usize, column: usize| {
                ((row * 31 + column * 17 + row * column * 7) % 23) as f32 / 23.0 - 0.5
            };
            let mut rows = vec![Line::default(); (count + 1) * lines];
            let mut products = vec![Line::default(); dim * lines];
            for row in 0..=count {
                for column in 0..dim {
                    bytemuck::cast_slice_mut(&mut rows)[row * padded + column] = value(row, column);
                }
            }
            for column in 0..dim {
                bytemuck::cast_slice_mut(&mut products)[column * padded + column] = 2.0f32;
            }
            let system = NormalEquations {
                products: &products,
                rows: &rows,
                weight: 3.0,
                regularization: 0.5,
                dim,
            };
            let numbers: Vec<u32> = (1..=count as u32).rev().collect();
            let some: Vec<f32> = (0..count).map(|place| 0.5 + (place % 3) as f32).collect();
            for weights in [&[][..], &some] {
                let chosen = ChosenRows {
                    numbers: &numbers,
                    weights,
                };
                let mut x = vec![0.25; dim];
                system.solve(chosen, &mut x, 2 * dim + 8, &mut Workspace::default());
                let mut apart: Vec<f32> = x.iter().map(|x| 2.5 * x).collect();
                for (place, &row) in numbers.iter().enumerate() {
                    let row = row as usize;
                    let weight = weights.get(place).unwrap_or(&1.0);
                    let product: f32 = (0..dim).map(|column| value(row, column) * x[column]).sum();
                    for (column, apart) in apart.iter_mut().enumerate() {
                        *apart += weight * (3.0 * product - 4.0) * value(row, column);
                    }
                }
                let worst = apart.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                assert!(worst < 1e-3, "{dim} {count} {weights:?}: {worst}");
            }
        }
    }
}
