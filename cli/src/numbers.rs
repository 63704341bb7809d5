//! Numbers on command lines.

use std::num::ParseFloatError;
use std::str::FromStr;

/// A number that can be reckoned with: neither `nan` nor `inf`, which floats can be read from.
pub fn finite<N>(text: &str) -> Result<N, String>
where
    N: FromStr<Err = ParseFloatError> + Into<f64> + Copy,
{
    let number: N = text
        .parse()
        .map_err(|error: ParseFloatError| error.to_string())?;
    if number.into().is_finite() {
        Ok(number)
    } else {
        Err("must be a finite number".to_owned())
    }
}
