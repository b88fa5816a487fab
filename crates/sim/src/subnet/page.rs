//! The outcome of a sweep as a page that needs nothing else: tables, lines over epochs, and a cell for each combination of
//! rules. Light or dark as the reader's system is.

use std::fmt::Write;

use super::{Adversary, Outcome, Point, Rules, Setup};

/// Size of a chart of lines.
const WIDE: f64 = 560.0;
const HIGH: f64 = 200.0;
/// Room for the words beside and below it.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fbfaf7;--card:#ffffff;--ink:#1d2430;--soft:#5d6675;--line:#dcdfe4;
--a:#1f6fb2;--b:#c2571a;--c:#7a828e}
@media(prefers-color-scheme:dark){:root{--page:#14171c;--card:#1c2128;--ink:#e6e9ee;--soft:#9aa4b2;--line:#353c47;
--a:#64aee8;--b:#f0935a;--c:#8b95a3}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:0 0 4px}
p{margin:4px 0 12px;max-width:72ch}.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:18px 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;min-width:620px;width:100%}
th,td{text-align:right;white-space:nowrap;padding:5px 10px;border-bottom:1px solid var(--line)}th{font-weight:600;color:var(--soft)}
th:first-child,td:first-child{text-align:left}
svg{max-width:100%;height:auto;display:block}svg.wide{min-width:500px}a{color:var(--a)}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .soft{fill:var(--soft)}svg .cell{fill:#14171c;font-variant-numeric:tabular-nums}
.grid{stroke:var(--line)}.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c);stroke-dasharray:4 4}
.ta{fill:var(--a)!important}.tb{fill:var(--b)!important}.tc{fill:var(--c)!important}
.panels{display:flex;flex-wrap:wrap;gap:18px}.panels figure{margin:0}figcaption{color:var(--soft);font-size:13px;margin-bottom:4px}
";

/// What each adversary does, in a sentence.
fn about(who: Adversary) -> &'static str {
    match who {
        Adversary::Nobody => {
            "Everybody is honest: a validator with a tenth of the stake, measuring like the others, for comparison."
        }
        Adversary::Copier => {
            "A validator with a tenth of the stake measures nothing and repeats what it sees of the others."
        }
        Adversary::Majority => {
            "Three validators with 60 % of the stake give everything to four miners of their own that do no work."
        }
        Adversary::Minority => {
            "Three validators with 40 % of the stake give everything to four miners of their own that do no work."
        }
        Adversary::Lazy => "A validator with a tenth of the stake measured once and repeats itself.",
        Adversary::Owner => {
            "The owner, with a fifth of the stake, weighs only itself, which nobody else may."
        }
        Adversary::Sybils => "One average miner registers eight times. It holds no stake.",
    }
}

/// A part of one, in per cent.
fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// The rules of new subnets in a sweep, or the first of it.
fn usual(outcomes: &[Outcome], who: Adversary, commit_reveal: bool) -> Option<&Outcome> {
    let mut own = outcomes.iter().filter(|o| o.adversary == who && o.rules.commit_reveal == commit_reveal);
    let usual = Rules { commit_reveal, ..Rules::default() };
    own.clone().find(|o| o.rules == usual).or_else(|| own.next())
}

/// The page.
pub fn page(setup: Setup, outcomes: &[Outcome]) -> String {
    let mut out = String::with_capacity(64 << 10);
    // Writing to a text cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Subnets under adversaries</title>\
         <style>{STYLE}</style><main><h1>Subnets under adversaries</h1>\
         <p class=\"soft\">{} epochs, {} honest validators, {} honest miners, seed {}. The epoch is the chain's own code; \
         the quality of miners, from 0 to 1, walks by up to {} an epoch, validators are wrong about it by up to {}.</p>\
         <p><b>Gain</b> is what the adversary was paid, in parts of what would be fair: validators by stake, miners by the \
         quality of their work, each worker once. 1 is fair, above 1 the adversary wins. <b>Fidelity</b> is how much of \
         the miners' pay went where quality says.</p>",
        setup.epochs, setup.validators, setup.miners, setup.seed, setup.drift, setup.error
    );
    let mut who: Vec<Adversary> = outcomes.iter().map(|o| o.adversary).collect();
    who.dedup();
    overview(&mut out, outcomes, &who);
    for who in who {
        let own: Vec<&Outcome> = outcomes.iter().filter(|o| o.adversary == who).collect();
        let _ = write!(out, "<section id=\"{0}\"><h2>{0}</h2><p>{1}</p>", who.name(), about(who));
        lines(&mut out, usual(outcomes, who, true), usual(outcomes, who, false));
        panels(&mut out, &own);
        out.push_str("</section>");
    }
    out.push_str("</main></html>\n");
    out
}

fn overview(out: &mut String, outcomes: &[Outcome], who: &[Adversary]) {
    out.push_str(
        "<section><h2>At a glance</h2><p class=\"soft\">Under the rules of a new subnet where they are part of the sweep; \
         sealed: with commit and reveal.</p><div class=\"scroll\"><table><tr><th>adversary</th><th>weights</th>\
         <th>stake, mean</th><th>stake, end</th><th>of dividends</th><th>of miners' pay</th><th>fair pay</th><th>gain</th>\
         <th>fidelity</th></tr>",
    );
    for who in who {
        for (sealed, word) in [(true, "sealed"), (false, "open")] {
            let Some(o) = usual(outcomes, *who, sealed) else { continue };
            let _ = write!(
                out,
                "<tr><td><a href=\"#{0}\">{0}</a></td><td>{word}</td><td>{1}</td><td>{2}</td><td>{3}</td><td>{4}</td>\
                 <td>{5}</td><td><b>{6:.2}</b></td><td>{7:.2}</td></tr>",
                who.name(),
                percent(o.stake),
                percent(o.stake_end),
                percent(o.dividends),
                percent(o.incentive),
                percent(o.fair),
                o.gain,
                o.fidelity
            );
        }
    }
    out.push_str("</table></div></section>");
}

/// The adversary's part of all pay over epochs, sealed and open, and what would be fair.
fn lines(out: &mut String, sealed: Option<&Outcome>, open: Option<&Outcome>) {
    let known: Vec<&Outcome> = sealed.into_iter().chain(open).collect();
    let Some(first) = known.first() else { return };
    let last = first.series.last().map_or(1, |p| p.epoch).max(1);
    let values = known.iter().flat_map(|o| &o.series).flat_map(|p| [p.pay, p.fair]);
    let most = nice(values.fold(0.0, f64::max));
    let (plot_w, plot_h) = (WIDE - LEFT - RIGHT, HIGH - TOP - BOTTOM);
    let x = |epoch: u32| LEFT + f64::from(epoch) / f64::from(last) * plot_w;
    let y = |part: f64| TOP + (1.0 - part / most) * plot_h;
    let _ = write!(
        out,
        "<p class=\"soft\">Its part of all pay over epochs.</p>\
         <div class=\"scroll\"><svg class=\"wide\" viewBox=\"0 0 {WIDE} {HIGH}\" width=\"{WIDE}\" role=\"img\" aria-label=\"part of all pay over epochs\">"
    );
    for step in 0..=4 {
        let part = most * f64::from(step) / 4.0;
        let at = y(part);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + plot_w,
            LEFT - 6.0,
            at + 4.0,
            if most < 0.2 { format!("{:.1} %", part * 100.0) } else { format!("{:.0} %", part * 100.0) }
        );
    }
    for step in 0..=4u32 {
        let epoch = (u64::from(last) * u64::from(step) / 4) as u32;
        let _ = write!(
            out,
            "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch}</text>",
            x(epoch),
            HIGH - 8.0
        );
    }
    // Names at the end of each line, kept apart where lines end close to each other.
    let mut names: Vec<(f64, &str, &str)> = Vec::new();
    let draw = |out: &mut String, class: &str, series: &[Point], of: fn(&Point) -> f64| {
        let path: Vec<String> = series.iter().map(|p| format!("{:.1},{:.1}", x(p.epoch), y(of(p)))).collect();
        let _ = write!(
            out,
            "<polyline class=\"{class}\" fill=\"none\" stroke-width=\"1.8\" points=\"{}\"/>",
            path.join(" ")
        );
        series.last().map_or(HIGH, |p| y(of(p)))
    };
    let at = draw(out, "c", &first.series, |p| p.fair);
    names.push((at, "tc", "fair"));
    if let Some(o) = sealed {
        let at = draw(out, "a", &o.series, |p| p.pay);
        names.push((at, "ta", "pay, sealed"));
    }
    if let Some(o) = open {
        let at = draw(out, "b", &o.series, |p| p.pay);
        names.push((at, "tb", "pay, open"));
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::MIN;
    for name in &mut names {
        lowest = (name.0 + 4.0).max(lowest + 14.0);
        name.0 = lowest;
    }
    // Not down into the numbers below: whoever is too low goes up, and whom it meets there.
    let mut highest = TOP + plot_h;
    for name in names.iter_mut().rev() {
        name.0 = name.0.min(highest);
        highest = name.0 - 14.0;
    }
    for (y, class, name) in names {
        let x = LEFT + plot_w + 6.0;
        let _ = write!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
    }
    out.push_str("</svg></div>");
}

/// The next round number.
fn nice(most: f64) -> f64 {
    [0.02, 0.04, 0.08, 0.12, 0.2, 0.4, 0.6, 0.8].into_iter().find(|step| *step >= most).unwrap_or(1.0)
}

/// Gain by kappa and moving average, a panel for each of the other rules.
fn panels(out: &mut String, own: &[&Outcome]) {
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    };
    let kappas = sorted(own.iter().map(|o| o.rules.kappa).collect());
    let averages = sorted(own.iter().map(|o| o.rules.bonds_moving_average).collect());
    if kappas.len() * averages.len() < 2 {
        return;
    }
    out.push_str(
        "<p class=\"soft\">Gain by kappa (down) and bonds moving average (across). Blue: the adversary is paid less than \
         is fair; orange: more.</p><div class=\"panels\">",
    );
    let (cell_w, cell_h, left, top) = (56.0, 30.0, 40.0, 20.0);
    let (wide, high) = (left + cell_w * averages.len() as f64, top + cell_h * kappas.len() as f64);
    for (liquid, sealed) in [(false, true), (false, false), (true, true), (true, false)] {
        let here: Vec<&&Outcome> = own
            .iter()
            .filter(|o| (o.rules.liquid_alpha, o.rules.commit_reveal) == (liquid, sealed))
            .collect();
        if here.is_empty() {
            continue;
        }
        let caption = format!(
            "{}, liquid alpha {}",
            if sealed { "sealed" } else { "open" },
            if liquid { "on" } else { "off" }
        );
        let _ = write!(
            out,
            "<figure><figcaption>{caption}</figcaption><svg viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" role=\"img\" \
             aria-label=\"gain, {caption}\">"
        );
        for (column, average) in averages.iter().enumerate() {
            let middle = left + cell_w * (column as f64 + 0.5);
            let _ = write!(
                out,
                "<text class=\"soft\" x=\"{middle}\" y=\"14\" text-anchor=\"middle\">{average}</text>"
            );
        }
        for (line, kappa) in kappas.iter().enumerate() {
            let y = top + cell_h * line as f64;
            let _ = write!(
                out,
                "<text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{kappa}</text>",
                left - 6.0,
                y + 19.0
            );
            for (column, average) in averages.iter().enumerate() {
                let of = |o: &&&&Outcome| o.rules.kappa == *kappa && o.rules.bonds_moving_average == *average;
                let Some(o) = here.iter().find(of) else { continue };
                let x = left + cell_w * column as f64;
                let _ = write!(
                    out,
                    "<g><title>{caption}, kappa {kappa}, moving average {average}: gain {:.3}, fidelity {:.3}</title>\
                     <rect x=\"{x}\" y=\"{y}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"3\" fill=\"{}\"/>\
                     <text class=\"cell\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{:.2}</text></g>",
                    o.gain,
                    o.fidelity,
                    cell_w - 2.0,
                    cell_h - 2.0,
                    colour(o.gain),
                    x + cell_w / 2.0 - 1.0,
                    y + 19.0,
                    o.gain
                );
            }
        }
        out.push_str("</svg></figure>");
    }
    out.push_str("</div>");
}

/// From blue over pale to orange: nothing, fair, twice what is fair. Dark words can be read on all of them.
fn colour(gain: f64) -> String {
    let (pale, blue, orange) = ([236.0, 236.0, 232.0], [108.0, 168.0, 220.0], [240.0, 147.0, 90.0]);
    let part = (gain - 1.0).clamp(-1.0, 1.0);
    let end: [f64; 3] = if part < 0.0 { blue } else { orange };
    let mixed: Vec<u8> =
        pale.iter().zip(end).map(|(from, to): (&f64, f64)| (from + (to - from) * part.abs()) as u8).collect();
    format!("#{:02x}{:02x}{:02x}", mixed[0], mixed[1], mixed[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subnet::sweep;

    #[test]
    fn a_page_shows_every_outcome_and_needs_nothing_else() {
        let setup = Setup { epochs: 60, validators: 4, miners: 6, ..Setup::default() };
        let rules: Vec<Rules> = [0.3, 0.5]
            .into_iter()
            .flat_map(|kappa| {
                [true, false].map(|commit_reveal| Rules { kappa, commit_reveal, ..Rules::default() })
            })
            .collect();
        let outcomes = sweep(setup, &Adversary::ALL, &rules).unwrap();
        let page = page(setup, &outcomes);
        assert_eq!(page.matches("<rect").count(), outcomes.len(), "a cell for each");
        assert_eq!(page.matches("<polyline").count(), 3 * Adversary::ALL.len());
        for who in Adversary::ALL {
            assert!(page.contains(&format!("id=\"{}\"", who.name())), "{who:?}");
        }
        for foreign in ["http:", "https:", "<script", "<link", "<img", "NaN", "inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn colours_go_from_blue_over_pale_to_orange() {
        assert_eq!([0.0, 1.0, 2.0, 9.0].map(colour), ["#6ca8dc", "#ecece8", "#f0935a", "#f0935a"]);
    }
}
