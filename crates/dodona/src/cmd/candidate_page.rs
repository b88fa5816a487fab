//! A backtest as one page that needs nothing else: no script, no font, no image from anywhere; light and dark as the
//! reader's system is. Names are other people's texts and are escaped.

use dodona_sim::candidate::{Report, State, Step};

use super::candidate::{contribution, skill_rows};

/// Size of a chart, and the room around its lines.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;
/// Newest points of the chart of answers: more would be a smear.
const NEWEST: usize = 200;
/// Points over which losses are smoothed.
const SMOOTH: usize = 50;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5b6570;--line:#d9dee3;--back:#fff;--own:#c2410c;--net:#1d4ed8;--other:#6b7280;--truth:#111827;--good:#15803d;--warn:#a16207;--bad:#b91c1c;--mark:#fff7ed}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4ae;--line:#30363d;--back:#111417;--own:#fb923c;--net:#7aa2f7;--other:#8b949e;--truth:#f3f4f6;--good:#4ade80;--warn:#facc15;--bad:#f87171;--mark:#2a1d12}}
*{box-sizing:border-box}body{margin:0 auto;max-width:48rem;padding:1.5rem 1rem 4rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.4rem 0}small,.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tr.own td{background:var(--mark);font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:1rem 0}.tile{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}.tile b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.ok{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}figure{margin:.5rem 0}svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}
.own{stroke:var(--own)}.net{stroke:var(--net)}.other{stroke:var(--other);stroke-dasharray:4 3}.truth{stroke:var(--truth);stroke-width:1.1}
.key{display:flex;flex-wrap:wrap;gap:1rem;font-size:.85rem;color:var(--soft)}.key i{display:inline-block;width:1.4rem;border-top:3px solid;vertical-align:middle;margin-right:.35rem}
.key .own{border-color:var(--own)}.key .net{border-color:var(--net)}.key .other{border-color:var(--other)}.key .truth{border-color:var(--truth)}";

/// The whole page.
pub fn page(report: &Report) -> String {
    let p = &report.protocol;
    let tile = |what: &str, value: String, under: String| {
        format!("<div class=tile><small>{what}</small><b>{value}</b><small>{under}</small></div>")
    };
    let expected = match p.expected_allo {
        Some(band) => tile(
            "the topic would pay you an epoch",
            format!("{:.4} ALLO", band.value),
            format!("90 %: {:.4} to {:.4}", band.low, band.high),
        ),
        None => tile(
            "an epoch of this run paid you",
            format!("{:.4} ALLO", p.reward_per_epoch.value),
            format!("90 %: {:.4} to {:.4}", p.reward_per_epoch.low, p.reward_per_epoch.high),
        ),
    };
    let band = p.contribution_percent;
    let tiles = [
        tile("rank by loss", format!("{} of {}", p.rank, p.of), format!("by reward {}", p.rank_by_reward)),
        tile(
            "weight in the network",
            format!("{:.1} %", 100.0 * p.mean_weight),
            format!("last {:.1} %", 100.0 * p.last_weight),
        ),
        tile(
            "part of all pay",
            format!("{:.2} %", 100.0 * p.reward_share.value),
            format!("90 %: {:.2} to {:.2} %", 100.0 * p.reward_share.low, 100.0 * p.reward_share.high),
        ),
        expected,
        tile(
            "the network's loss falls by",
            if p.network_without.is_nan() { "-".into() } else { format!("{:.2} %", band.value) },
            format!("90 %: {:.2} to {:.2} %", band.low, band.high),
        ),
    ]
    .concat();
    let unit = if report.unit.is_empty() { String::new() } else { format!(" in {}", escaped(&report.unit)) };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{name} on {target}</title><style>{STYLE}</style>\
         <h1>{name}</h1><p class=soft>on {target}{unit}, {epochs} scored epochs, {horizon} epoch(s) from question to \
         answer, seed {seed}, dodona {version}</p>\
         <p>{sentence}.</p><div class=tiles>{tiles}</div>\
         <h2>Checks</h2>{checks}\
         <h2>Answers</h2>{answers}<h2>Weight</h2>{weights}<h2>Loss</h2>{losses}<h2>Earned</h2>{earned}\
         <h2>What the chain says</h2>{protocol}\
         <h2>By itself</h2>{skill}<h2>Everybody</h2>{members}\
         <p class=soft><small>The run is the chain's own state machine, once with and once without the model; it was asked \
         each question with what was known at that time. Bands come from 1 000 draws of blocks of epochs. Whoever tries \
         many variants and keeps the best will be disappointed: part of what made it best was luck. Rewards depend on \
         rivals: copies of one model share its pay.</small></p></html>\n",
        name = escaped(&report.candidate),
        target = escaped(&report.target),
        epochs = report.epochs,
        horizon = report.horizon,
        seed = report.seed,
        version = env!("CARGO_PKG_VERSION"),
        sentence = escaped(&capital(&contribution(report))),
        checks = checks(report),
        answers = answers(report),
        weights = weights(report),
        losses = losses(report),
        earned = earned(report),
        protocol = protocol(report),
        skill = skill(report),
        members = members(report),
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

fn checks(report: &Report) -> String {
    let row = |check: &dodona_sim::candidate::Check| {
        let (class, word) = match check.state {
            State::Ok => ("ok", "ok"),
            State::Warning => ("warn", "look"),
            State::Bad => ("bad", "bad"),
        };
        let remedy = if check.remedy.is_empty() {
            String::new()
        } else {
            format!("<br><small>{}</small>", escaped(check.remedy))
        };
        format!("<tr><td>{}<td class={class}>{word}<td>{}{remedy}", check.name, escaped(&check.found))
    };
    let rows: String = report.checks.iter().map(row).collect();
    let a = &report.answers;
    let time = match a.mean_ms > 0.0 {
        true => {
            format!("<tr><td>time<td><td>{:.1} ms an answer, {:.0} ms the longest", a.mean_ms, a.worst_ms)
        }
        false => String::new(),
    };
    format!("<table>{rows}{time}</table>")
}

fn protocol(report: &Report) -> String {
    let p = &report.protocol;
    let number = |v: f64| if v.is_finite() { format!("{v:.6}") } else { "-".into() };
    let rows = [
        ("your mean loss", number(p.loss)),
        ("the network's, with you", number(p.network_with)),
        ("the network's, without you", number(p.network_without)),
        ("plain mean of all", number(p.mean)),
        ("median of all", number(p.median)),
        ("epochs in which you were heard", p.heard.to_string()),
    ];
    let rows: String =
        rows.iter().map(|(what, value)| format!("<tr><td>{what}<td class=n>{value}")).collect();
    format!("<table>{rows}</table>")
}

fn skill(report: &Report) -> String {
    let row = |(what, value, wanted): &(&str, String, &str)| {
        format!("<tr><td>{what}<td class=n>{}<td class=soft>{wanted}", escaped(value))
    };
    let rows: String = skill_rows(report).iter().map(row).collect();
    format!("<table><tr><th>measure<th class=n>you<th>others ask for{rows}</table>")
}

fn members(report: &Report) -> String {
    let worst = report.members.iter().map(|m| m.loss).fold(0.0, f64::max);
    let row = |member: &dodona_sim::candidate::Member| {
        let class = if member.candidate { " class=own" } else { "" };
        let kind = if member.forecaster { " <small>forecaster</small>" } else { "" };
        let width = if worst > 0.0 { 100.0 * (member.loss / worst).sqrt() } else { 0.0 };
        format!(
            "<tr{class}><td>{}{kind}<td class=n>{}<td class=n>{:.6}<td><svg viewBox=\"0 0 100 8\" style=\"width:6rem;height:.6rem\" \
             preserveAspectRatio=none aria-hidden=true><rect width=\"{width:.1}\" height=8 fill=\"var(--{})\"/></svg>\
             <td class=n>{:.1} %<td class=n>{:.3}",
            escaped(&member.name),
            member.epochs,
            member.loss,
            if member.candidate { "own" } else { "other" },
            100.0 * member.weight,
            member.earned
        )
    };
    let rows: String = report.members.iter().map(row).collect();
    format!(
        "<table><tr><th>member<th class=n>epochs<th class=n>mean loss<th><small>√ loss</small><th class=n>weight<th class=n>ALLO{rows}</table>"
    )
}

/// One line of a chart: its name, its class, its points.
type Line<'a> = (&'a str, &'a str, Vec<Option<f64>>);

fn answers(report: &Report) -> String {
    let path = &report.path[report.path.len().saturating_sub(NEWEST)..];
    let own = path.iter().map(|step| step.own).collect();
    let lines = [
        ("truth", "truth", path.iter().map(|step| Some(step.truth)).collect()),
        ("network", "net", path.iter().map(|step| Some(step.network)).collect()),
        ("you", "own", own),
    ];
    chart("the newest answers and the truth", path, &lines, false)
}

fn weights(report: &Report) -> String {
    let own = report.path.iter().map(|step| Some(100.0 * step.weight)).collect();
    chart("your weight in the network's answer, percent", &report.path, &[("you, %", "own", own)], true)
}

fn losses(report: &Report) -> String {
    let smooth = |pick: &dyn Fn(&Step) -> Option<f64>| -> Vec<Option<f64>> {
        let all: Vec<Option<f64>> = report.path.iter().map(pick).collect();
        (0..all.len())
            .map(|at| {
                let near: Vec<f64> =
                    all[at.saturating_sub(SMOOTH - 1)..=at].iter().flatten().copied().collect();
                (!near.is_empty()).then(|| near.iter().sum::<f64>() / near.len() as f64)
            })
            .collect()
    };
    let lines = [
        ("network without you", "other", smooth(&|step| step.without_loss)),
        ("network with you", "net", smooth(&|step| Some(step.network_loss))),
        ("you", "own", smooth(&|step| step.own_loss)),
    ];
    chart("mean loss of the newest points", &report.path, &lines, true)
}

fn earned(report: &Report) -> String {
    let mut sum = 0.0;
    let stride = report.path_stride as f64;
    let mut add = |step: &Step| {
        sum += step.reward * stride / dodona_proto::ALLO as f64;
        Some(sum)
    };
    let own = report.path.iter().map(&mut add).collect();
    let name = if report.path_stride > 1 { "you, ALLO (from every so many epochs)" } else { "you, ALLO" };
    chart("earned so far", &report.path, &[(name, "own", own)], true)
}

/// Lines over the epochs of a path.
fn chart(what: &str, path: &[Step], lines: &[Line<'_>], from_zero: bool) -> String {
    let known = || lines.iter().flat_map(|(.., points)| points.iter().flatten().copied());
    let start = if from_zero { 0.0 } else { f64::INFINITY };
    let (mut low, mut high) = (known().fold(start, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    if path.len() < 2 || !low.is_finite() || !high.is_finite() {
        return "<p class=soft>too few epochs for a picture</p>".into();
    }
    if high - low <= f64::EPSILON * high.abs().max(1.0) {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let x = |at: usize| LEFT + (WIDTH - LEFT - 8.0) * at as f64 / (path.len() - 1) as f64;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value - low) / (high - low));
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">", escaped(what));
    for tick in 0..=4 {
        let value = low + (high - low) * f64::from(tick) / 4.0;
        let at = y(value);
        svg.push_str(&format!(
            "<line class=grid x1={LEFT} x2={} y1={at:.1} y2={at:.1} /><text x={} y={:.1} text-anchor=end>{}</text>",
            WIDTH - 8.0,
            LEFT - 6.0,
            at + 4.0,
            short(value, high - low)
        ));
    }
    for (at, anchor) in [(0, "start"), (path.len() / 2, "middle"), (path.len() - 1, "end")] {
        svg.push_str(&format!(
            "<text x={:.1} y={} text-anchor={anchor}>epoch {}</text>",
            x(at),
            HEIGHT - 6.0,
            path[at].epoch
        ));
    }
    let mut key = String::new();
    for (name, class, points) in lines {
        // A line ends where there is nothing, and begins again behind it.
        for run in points.iter().enumerate().collect::<Vec<_>>().split(|(_, point)| point.is_none()) {
            let drawn: Vec<String> = run
                .iter()
                .filter_map(|(at, point)| Some(format!("{:.1},{:.1}", x(*at), y((**point)?))))
                .collect();
            if !drawn.is_empty() {
                svg.push_str(&format!("<polyline class={class} points=\"{}\"/>", drawn.join(" ")));
            }
        }
        key.push_str(&format!("<span><i class={class}></i>{}</span>", escaped(name)));
    }
    format!("<figure>{svg}</svg><div class=key>{key}</div></figure>")
}

/// A number for an axis, as exact as the axis is.
fn short(value: f64, range: f64) -> String {
    match range.abs() {
        _ if value.abs() >= 1e7 || (value != 0.0 && range < 1e-4) => format!("{value:.2e}"),
        range if range >= 20.0 => format!("{value:.0}"),
        range if range >= 2.0 => format!("{value:.1}"),
        range if range >= 0.2 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_texts_are_escaped_and_axes_stay_readable() {
        assert_eq!(escaped("<script>\"&'\n"), "&lt;script&gt;&quot;&amp;&#39; ");
        assert_eq!(
            [short(37_000.4, 900.0), short(1.25, 2.5), short(0.0312, 0.08), short(3e9, 1e9)],
            ["37000", "1.2", "0.0312", "3.00e9"]
        );
    }
}
