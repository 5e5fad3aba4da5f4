//! Plots over time, as SVG: each flow's goodput, and the congestion windows.

use super::{Outcome, Sample};
use crate::quantity::Time;
use lkl_session::exit::{Exit, Failure};
use plotters::prelude::*;

const SIZE: (u32, u32) = (960, 480);

/// With more flows, their names would cover the plot.
const NAMED: usize = 16;

/// A line: a flow's name, and where it goes.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

fn lines<'a>(outcome: &'a Outcome, value: impl Fn(&Sample) -> Option<f64>) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'_>> = outcome
        .flows
        .iter()
        .map(|flow| (flow.name.as_str(), Vec::new()))
        .collect();
    for sample in &outcome.samples {
        if let (Some((_, line)), Some(value)) = (lines.get_mut(sample.flow), value(sample)) {
            line.push((sample.time.seconds(), value));
        }
    }
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

fn draw(title: &str, unit: &str, duration: Time, lines: &[Line<'_>]) -> Result<String, Failure> {
    let mut text = String::new();
    let drawn = drawn(&mut text, title, unit, duration, lines);
    drawn.map_err(|why| Failure::new(Exit::Other, format_args!("a plot cannot be drawn: {why}")))?;
    Ok(text)
}

fn drawn(
    text: &mut String,
    title: &str,
    unit: &str,
    duration: Time,
    lines: &[Line<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    let values = lines.iter().flat_map(|(_, line)| line).map(|(_, value)| *value);
    let most = values.fold(0.0, f64::max).max(1e-3) * 1.05;
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..duration.seconds(), 0.0..most)
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .x_desc("s")
        .y_desc(unit)
        .light_line_style(WHITE)
        .draw()
        .map_err(|error| error.to_string())?;
    let count = lines.len();
    for (number, (name, line)) in lines.iter().enumerate() {
        let colour = match count {
            0..=NAMED => Palette99::pick(number).to_rgba(),
            count => HSLColor(number as f64 / count as f64, 0.8, 0.45).to_rgba(),
        };
        let series = chart
            .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))
            .map_err(|error| error.to_string())?;
        if count <= NAMED {
            series
                .label(*name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
    }
    if (1..=NAMED).contains(&count) {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()
            .map_err(|error| error.to_string())?;
    }
    area.present().map_err(|error| error.to_string())?;
    Ok(())
}

/// All plots, and what their files are called.
pub(super) fn all(outcome: &Outcome, duration: Time) -> Result<[(&'static str, String); 2], Failure> {
    let goodput = lines(outcome, |sample| {
        let measured = outcome.flows[sample.flow].bytes > 0;
        measured.then_some(sample.goodput / 1e6)
    });
    let windows = lines(outcome, |sample| Some(f64::from(sample.tcp.as_ref()?.window)));
    Ok([
        ("goodput.svg", draw("Goodput", "Mbit/s", duration, &goodput)?),
        (
            "cwnd.svg",
            draw("Congestion windows", "segments", duration, &windows)?,
        ),
    ])
}
