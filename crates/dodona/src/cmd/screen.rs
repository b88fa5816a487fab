//! The demo's terminal view: truth and network inference with its interval, members with weights and earnings, and
//! one sentence about who is better. Draws what it is given and knows nothing of the chain.

use std::{collections::VecDeque, time::Duration};

use anyhow::Result;
use dodona_proto::{
    ALLO,
    chain::QueryStatusResponse,
    topics::{LeaderboardRow, QueryEpochResponse},
};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    symbols::Marker,
    text::{Line, Span},
    widgets::{Axis, Block, Cell, Chart, Dataset, GraphType, Paragraph, Row, Table, Wrap},
};

/// What is on the screen.
pub struct View<'a> {
    pub series: &'a str,
    pub unit: &'a str,
    pub rule: &'a str,
    pub status: &'a QueryStatusResponse,
    /// Scored epochs, oldest first.
    pub epochs: &'a VecDeque<QueryEpochResponse>,
    /// The newest inference, whose truth is not known yet.
    pub newest: &'a QueryEpochResponse,
    pub members: &'a [LeaderboardRow],
    /// Scored epochs of the topic of classes, oldest first.
    pub classes: &'a VecDeque<QueryEpochResponse>,
    /// Its newest inference.
    pub newest_class: &'a QueryEpochResponse,
    /// Its members.
    pub class_members: &'a [LeaderboardRow],
    pub line: &'a str,
}

/// The terminal, taken over until this is dropped.
pub struct Screen {
    terminal: DefaultTerminal,
}

/// Epochs in the chart.
const CHART: usize = 96;

impl Screen {
    /// Takes the terminal over.
    pub fn open() -> Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    /// Whether somebody pressed q, Esc or Ctrl-C.
    pub fn left(&mut self) -> Result<bool> {
        while event::poll(Duration::ZERO)? {
            let Event::Key(key) = event::read()? else { continue };
            let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let leaves = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || ctrl_c;
            if key.kind == KeyEventKind::Press && leaves {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Draws a view.
    pub fn draw(&mut self, view: &View) -> Result<()> {
        self.terminal.draw(|frame| draw(frame, view))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal cannot be given back there is nobody left to tell.
        let _ = ratatui::try_restore();
    }
}

fn draw(frame: &mut Frame, view: &View) {
    let rows = [Constraint::Length(1), Constraint::Min(8), Constraint::Length(4)];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(58), Constraint::Percentage(42)]).areas(body);
    let [left, lower_left] =
        Layout::vertical([Constraint::Percentage(58), Constraint::Percentage(42)]).areas(left);
    let [right, lower_right] = Layout::vertical([Constraint::Min(8), Constraint::Length(12)]).areas(right);
    let status = view.status;
    let title = format!(
        " {} · rule {} · block {} · {} transactions · supply {} ALLO · root {} · q leaves",
        view.series,
        view.rule,
        status.height,
        status.txs,
        status.supply.parse::<u128>().unwrap_or(0) / ALLO,
        hex::encode(&status.app_hash[..status.app_hash.len().min(4)]),
    );
    frame.render_widget(Paragraph::new(title).style(Style::new().bold()), head);
    chart(frame, left, view);
    members(frame, right, view.members, "member");
    class_chart(frame, lower_left, view);
    members(frame, lower_right, view.class_members, "which way");
    let line = Paragraph::new(view.line).wrap(Wrap { trim: true }).block(Block::bordered());
    frame.render_widget(line, foot);
}

fn chart(frame: &mut Frame, area: Rect, view: &View) {
    let skip = view.epochs.len().saturating_sub(CHART);
    let mut truth = Vec::new();
    let mut network = Vec::new();
    let mut band = Vec::new();
    for e in view.epochs.iter().skip(skip).chain([view.newest]) {
        let x = e.epoch as f64;
        truth.extend(e.truth.map(|t| (x, t)));
        network.push((x, e.combined));
        if let Some(i) = &e.interval {
            band.extend([(x, i.p2), (x, i.p98)]);
        }
    }
    let values = || truth.iter().chain(&network).chain(&band).map(|p| p.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if !(low.is_finite() && high.is_finite()) {
        return;
    }
    let margin = ((high - low) * 0.05).max(1e-9);
    let (low, high) = (low - margin, high + margin);
    let first = network.first().map_or(0.0, |p| p.0);
    let last = network.last().map_or(1.0, |p| p.0).max(first + 1.0);
    let dots = |name: &'static str, color, points| {
        Dataset::default().name(name).marker(Marker::Dot).style(Style::new().fg(color)).data(points)
    };
    let line = |name: &'static str, color, points| {
        Dataset::default()
            .name(name)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
            .data(points)
    };
    let sets = vec![
        dots("95 % interval", Color::DarkGray, &band),
        line("truth", Color::White, &truth),
        line("network", Color::LightGreen, &network),
    ];
    let number = |v: f64| Span::raw(format!("{v:.4e}"));
    let label =
        |v: f64| if v.abs() < 1e7 && v.abs() >= 0.01 { Span::raw(format!("{v:.2}")) } else { number(v) };
    let chart = Chart::new(sets)
        .block(Block::bordered().title(next_answer(view)))
        .x_axis(
            Axis::default()
                .bounds([first, last])
                .labels([Span::raw(format!("epoch {first}")), Span::raw(format!("{last}"))]),
        )
        .y_axis(Axis::default().bounds([low, high]).labels([
            label(low),
            label((low + high) / 2.0),
            label(high),
        ]));
    frame.render_widget(chart, area);
}

/// What the network says now, whose truth nobody knows yet.
fn next_answer(view: &View) -> String {
    let e = view.newest;
    let interval = e.interval.unwrap_or_default();
    let digits = if e.combined.abs() >= 1_000.0 { 0 } else { 3 };
    format!(
        " epoch {}: the network says {:.digits$} {} (95 %: {:.digits$} to {:.digits$}) ",
        e.epoch, e.combined, view.unit, interval.p2, interval.p98
    )
}

/// Chances of the classes over the last epochs, and which of them came true, at its chance of one.
fn class_chart(frame: &mut Frame, area: Rect, view: &View) {
    let skip = view.classes.len().saturating_sub(CHART / 2);
    let shown = || view.classes.iter().skip(skip);
    let colors = [("down", Color::LightRed), ("flat", Color::Gray), ("up", Color::LightBlue)];
    let series = |label: &str, truth: bool| -> Vec<(f64, f64)> {
        let epochs = shown().chain([view.newest_class]);
        let point = |e: &QueryEpochResponse| {
            let column = e.columns.iter().find(|c| c.label == label)?;
            match truth {
                true => (column.truth == Some(1.0)).then_some((e.epoch as f64, 1.04)),
                false => Some((e.epoch as f64, column.combined)),
            }
        };
        epochs.filter_map(point).collect()
    };
    let lines: Vec<_> = colors
        .iter()
        .map(|(label, color)| (label, *color, series(label, false), series(label, true)))
        .collect();
    let mut sets = Vec::new();
    for (label, color, chances, truths) in &lines {
        let style = Style::new().fg(*color);
        let line = Dataset::default().name(**label).marker(Marker::Braille).graph_type(GraphType::Line);
        sets.push(line.style(style).data(chances));
        sets.push(Dataset::default().marker(Marker::Block).style(style).data(truths));
    }
    let first = shown().next().map_or(0.0, |e| e.epoch as f64);
    let last = (view.newest_class.epoch as f64).max(first + 1.0);
    let said: Vec<String> = view
        .newest_class
        .columns
        .iter()
        .map(|c| format!("{} {:.0} %", c.label, 100.0 * c.combined))
        .collect();
    let title = format!(
        " epoch {}: which way? {} (above: what came true) ",
        view.newest_class.epoch,
        said.join(", ")
    );
    let chart = Chart::new(sets)
        .block(Block::bordered().title(title))
        .x_axis(
            Axis::default()
                .bounds([first, last])
                .labels([Span::raw(format!("epoch {first}")), Span::raw(format!("{last}"))]),
        )
        .y_axis(Axis::default().bounds([0.0, 1.08]).labels(["0 %", "50 %", "100 %"]));
    frame.render_widget(chart, area);
}

fn members(frame: &mut Frame, area: Rect, members: &[LeaderboardRow], title: &'static str) {
    let mut rows: Vec<&LeaderboardRow> = members.iter().collect();
    let earned = |m: &LeaderboardRow| m.earned.parse::<u128>().unwrap_or(0);
    rows.sort_by(|a, b| {
        let reputer = |m: &LeaderboardRow| m.role == "reputer";
        reputer(a).cmp(&reputer(b)).then(b.weight.total_cmp(&a.weight))
    });
    let rows = rows.into_iter().map(|m| {
        let color = match m.role.as_str() {
            "inferer" => Color::Reset,
            "forecaster" => Color::Cyan,
            _ => Color::Yellow,
        };
        let bar = "█".repeat((m.weight * 20.0).round() as usize);
        let weight = if m.role == "reputer" {
            "reputer".to_string()
        } else {
            format!("{:5.1}% {bar}", 100.0 * m.weight)
        };
        Row::new([
            Cell::from(m.name.clone()).style(Style::new().fg(color)),
            Cell::from(weight).style(Style::new().fg(Color::LightGreen)),
            Cell::from(Line::from(format!("{:.2}", earned(m) as f64 / ALLO as f64)).right_aligned()),
        ])
    });
    let widths = [Constraint::Length(27), Constraint::Min(12), Constraint::Length(10)];
    let head = Row::new([title, "weight", "ALLO"]).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(head).block(Block::bordered()), area);
}
