//! Network losses from reputers' reports: stake-weighted means, entry by entry (topic specification, section 5.1).
//! On logarithmic losses this is a stake-weighted geometric mean.

use crate::error::MathError;
use crate::real::Real;
use crate::topic::combine::Losses;

/// The stake-weighted mean of every entry over the reputers that reported it. `reports` are (stake authority >= 0,
/// losses), sorted by address; all speak about the same members in the same order. An entry nobody with stake
/// reported is none; a list missing at one reputer counts as not reported there.
/// Errors: [`MathError::Empty`] without positive stake, [`MathError::OutOfRange`] for a negative one,
/// [`MathError::NotFinite`] on overflow.
pub fn network_losses(reports: &[(Real, Losses)]) -> Result<Losses, MathError> {
    if reports.iter().any(|&(stake, _)| stake < Real::ZERO) {
        return Err(MathError::OutOfRange("stake"));
    }
    let entry = |pick: &dyn Fn(&Losses) -> Option<Real>| {
        let (mut weighted, mut weight) = (0.0, 0.0);
        for (stake, losses) in reports {
            if let Some(loss) = pick(losses) {
                weighted += stake.get() * loss.get();
                weight += stake.get();
            }
        }
        if weight > 0.0 { Real::named(weighted / weight, "network loss").map(Some) } else { Ok(None) }
    };
    let list = |pick: &dyn Fn(&Losses) -> &[Option<Real>]| {
        let length = reports.iter().map(|(_, losses)| pick(losses).len()).max().unwrap_or(0);
        (0..length)
            .map(|place| entry(&|losses| pick(losses).get(place).copied().flatten()))
            .collect::<Result<Vec<_>, _>>()
    };
    let rows = reports.iter().map(|(_, losses)| losses.one_out_inferer_forecaster.len()).max().unwrap_or(0);
    let row = |losses: &'_ Losses, place: usize| -> Vec<Option<Real>> {
        losses.one_out_inferer_forecaster.get(place).cloned().unwrap_or_default()
    };
    let matrix = (0..rows)
        .map(|k| {
            let length = reports.iter().map(|(_, losses)| row(losses, k).len()).max().unwrap_or(0);
            (0..length)
                .map(|j| {
                    entry(&|losses| {
                        losses.one_out_inferer_forecaster.get(k).and_then(|row| row.get(j).copied().flatten())
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Losses {
        combined: entry(&|losses| Some(losses.combined))?.ok_or(MathError::Empty("stake"))?,
        naive: entry(&|losses| Some(losses.naive))?.ok_or(MathError::Empty("stake"))?,
        inferers: list(&|losses| &losses.inferers)?,
        forecasters: list(&|losses| &losses.forecasters)?,
        one_out_inferers: list(&|losses| &losses.one_out_inferers)?,
        one_out_forecasters: list(&|losses| &losses.one_out_forecasters)?,
        one_in_forecasters: list(&|losses| &losses.one_in_forecasters)?,
        one_out_inferer_forecaster: matrix,
    })
}
