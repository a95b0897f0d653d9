//! Conversions from the v1 values of the OCI spec to v2 values, as runc does them.

/// Converts CPU shares (2 to 262144, default 1024) to a v2 weight (1 to 10000, default 100).
///
/// The curve is runc's: a parabola in the logarithm of the shares that meets both ends and the default.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return u64::from(shares != 0);
    }
    if shares >= 262_144 {
        return 10_000;
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^18, exact in f64")]
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 10000 by the two tests"
    )]
    let weight = 10.0_f64.powf(exponent).ceil() as u64;
    weight
}

/// Converts a block io weight (10 to 1000) to a v2 io weight (1 to 10000), linearly.
pub(crate) fn io_weight(weight: u16) -> u64 {
    match weight {
        0 => 0,
        weight => 1 + u64::from(weight.saturating_sub(10)) * 9999 / 990,
    }
}

/// What memory.swap.max takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swap {
    /// Not touched.
    Keep,
    /// No limit.
    Max,
    /// Swap alone, in bytes.
    Bytes(i64),
}

/// Converts the sum of memory and swap to swap alone.
///
/// * `swap`: memory and swap together; -1 without limit, 0 unset.
/// * `memory`: -1 without limit, 0 unset.
///
/// # Errors
///
/// Says why there is no such value.
pub(crate) fn swap_alone(swap: i64, memory: i64) -> Result<Swap, &'static str> {
    match (swap, memory) {
        // v1 sets both, so "no memory limit" means both.
        (0, -1) | (-1, _) => Ok(Swap::Max),
        (0, _) => Ok(Swap::Keep),
        (swap, -1) => Ok(Swap::Bytes(swap)),
        (_, 0) => Err("unable to set swap limit without memory limit"),
        (_, memory) if memory < 0 => Err("invalid memory value"),
        (swap, memory) if swap < memory => Err("memory+swap limit should be >= memory limit"),
        (swap, memory) => Ok(Swap::Bytes(swap - memory)),
    }
}
