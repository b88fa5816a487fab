//! Forecasters: they predict no value, they predict how wrong each member will be this time,
//! which lets the network trust the right member at the right moment.

mod called;
mod ema;
mod members;
mod phase;

pub use called::Called;
pub use ema::EmaForecaster;
pub use phase::PhaseForecaster;

/// Most members a forecaster remembers; beyond it the one not heard of for longest is forgotten.
pub const MAX_MEMBERS: usize = 4096;
/// Longest member address that is remembered, in bytes.
pub const MAX_ADDRESS: usize = 128;

/// Something that watches the losses of members and says what they will be.
///
/// Members are named by their address text. Losses are positive; 0 counts as a tiny loss, what is negative or not
/// finite is ignored.
pub trait Forecaster: Send {
    /// Short unique name, such as `loss-ema`.
    fn name(&self) -> &'static str;

    /// One sentence for people: how the forecaster thinks.
    fn about(&self) -> &'static str;

    /// Learns the losses of an epoch, one pair of address and loss per member that reported. Only the first
    /// [`MAX_MEMBERS`] pairs count. Epochs are numbered consecutively and may arrive late.
    fn observe(&mut self, epoch: u64, losses: &[(String, f64)]);

    /// The expected loss, finite and above 0, of every member it knows something of, in the order asked; members never
    /// observed are left out. Takes `&mut self` for scratch space only.
    fn predict(&mut self, epoch: u64, members: &[String]) -> Vec<(String, f64)>;
}

/// Who predicts for a lane.
pub enum Thinker {
    /// One of ours.
    BuiltIn(Box<dyn Forecaster>),
    /// A Python file or a program.
    Called(Called),
}

/// The standard line-up, with unique names, in a fixed order. `season` is the number of epochs after which the
/// time of day recurs (0 counts as 1).
pub fn built_in(season: usize) -> Vec<Box<dyn Forecaster>> {
    vec![Box::new(EmaForecaster::default()), Box::new(PhaseForecaster::new(season))]
}

/// Natural logarithm of a loss, or `None` for what is no loss. The ends keep one freak loss from deciding an average:
/// nothing below 10^-12 or above 10^12 is told apart, unless `known` (an average so far) lies out there: then
/// losses within a factor of 10^6 of it count in full.
fn log_loss(loss: f64, known: Option<f64>) -> Option<f64> {
    const FAR: f64 = 27.6;
    const NEAR: f64 = 13.8;
    if !(loss >= 0.0 && loss.is_finite()) {
        return None;
    }
    let log = libm::log(loss.max(f64::MIN_POSITIVE));
    Some(match known {
        Some(known) => log.clamp(known - NEAR, known + NEAR),
        None => log.clamp(-FAR, FAR),
    })
}

/// The loss of a logarithm: always finite and above 0.
fn loss(log: f64) -> f64 {
    libm::exp(log.clamp(-690.0, 690.0))
}
