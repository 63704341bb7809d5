//! Devices that may be missing, or fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Tensor;

use super::Backend;
use crate::error::panic_text;
use crate::{Error, ErrorKind, Result};

/// Checks that a device computes: a GPU may be missing, or its driver, or be of another kind.
///
/// Models ask before they are made; a program that chooses between devices asks itself:
///
/// ```
/// use seqrec::backend::{Flex, check_device};
///
/// check_device::<Flex>(&Default::default())?; // a processor is always there
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Device`] when it does not.
pub fn check_device<B: Backend>(device: &B::Device) -> Result<()> {
    if B::HOST {
        return Ok(());
    }
    on_device::<B, _>(device, || {
        let sum = Tensor::<B, 1>::ones([8], device).sum().into_data();
        match sum.iter::<f32>().next() {
            Some(8.0) => Ok(()),
            sum => Err(failed::<B>(device, format!("eight ones add up to {sum:?}"))),
        }
    })
}

/// The result of work on a device. burn says by a panic that a device is missing or has no memory
/// left, which to a caller is an error like others; a panic where there is no such device is a
/// fault of the program, and stays one.
pub(crate) fn on_device<B: Backend, T>(
    device: &B::Device,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if B::HOST {
        return work();
    }
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let reason = panic_text(&*panic).unwrap_or("it did not say why");
        Err(failed::<B>(device, reason.to_owned()))
    })
}

/// Waits until a device has done what it was told to.
pub(crate) fn synchronize<B: Backend>(device: &B::Device) -> Result<()> {
    B::sync(device).map_err(|error| failed::<B>(device, error.to_string()))
}

fn failed<B: Backend>(device: &B::Device, reason: String) -> Error {
    Error::from(ErrorKind::Device {
        device: format!("{device:?}"),
        reason,
    })
}
