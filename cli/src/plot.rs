//! `autotrim plot`: RSS before and after the last trims over the requests.

use std::error::Error;
use std::process::ExitCode;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::arguments::Plot;
use crate::block::{Counters, Trim};
use crate::failure::Failure;
use crate::status::why_unread;
use crate::target::Target;
use crate::terminal;

const SIZE: (u32, u32) = (960, 540);
const BEFORE: RGBColor = RGBColor(0xd6, 0x5f, 0x5f);
const AFTER: RGBColor = RGBColor(0x3b, 0x75, 0xaf);
const MEBIBYTE: f64 = (1 << 20) as f64;

type Drawn = Result<(), Box<dyn Error>>;

/// Writes the picture.
pub fn plot(arguments: &Plot) -> Result<ExitCode, Failure> {
    let target = Target::open(arguments.pid)?;
    let name = format!("process {} ({})", target.pid, target.name());
    if target.files.is_some() && target.library().is_none() {
        return Err(Failure::not_done(format!("{name} does not have the library")));
    }
    let counters = target.block().and_then(|block| block.counters(target.own_pid()));
    let counters = counters.map_err(|why| Failure::not_done(format!("{name}: {}", why_unread(&why))))?;
    if points(&counters.ring).len() < 2 {
        return Err(Failure::not_done(format!("{name} has not trimmed often enough for a plot")));
    }
    // By default a name that no other picture has: nothing is written over unless it is named.
    let own_name = || format!("rss-{}.png", target.pid).into();
    let (output, size) = (&arguments.output.clone().unwrap_or_else(own_name), SIZE);
    let title = format!("{}, pid {}", target.name(), target.pid);
    // Brought along: a server or a container has no fonts.
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| Failure::not_done("the font cannot be used"))?;
    let drawn = match output.extension().and_then(|extension| extension.to_str()) {
        Some("png") => draw(&BitMapBackend::new(output, size).into_drawing_area(), &title, &counters),
        Some("svg") => draw(&SVGBackend::new(output, size).into_drawing_area(), &title, &counters),
        _ => return Err(Failure::unsuitable(format!("{}: neither .png nor .svg", output.display()))),
    };
    drawn.map_err(|error| Failure::not_done(format!("{}: {error}", output.display())))?;
    terminal::say(&output.display().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Requests, and MiB before and after, of each trim that was measured: in their order, and as many as can be drawn, whatever
/// the process says.
fn points(ring: &[Trim]) -> Vec<(f64, f64, f64)> {
    const MOST: u64 = 1 << 40;
    let mebibytes = |bytes: u64| bytes.min(MOST << 20) as f64 / MEBIBYTE;
    let mut latest = 0;
    let point = |trim: &Trim| {
        let requests = trim.requests.min(MOST);
        let (before, after) = (mebibytes(trim.before_bytes?), mebibytes(trim.after_bytes?));
        let is_next = requests >= latest;
        latest = latest.max(requests);
        is_next.then_some((requests as f64, before, after))
    };
    ring.iter().filter_map(point).collect()
}

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, title: &str, counters: &Counters) -> Drawn
where
    B::ErrorType: 'static,
{
    let points = points(&counters.ring);
    let first = points.first().map_or(0.0, |point| point.0);
    let last = points.last().map_or(1.0, |point| point.0).max(first + 1.0);
    let highest = points.iter().map(|point| point.1.max(point.2)).fold(1.0, f64::max) * 1.1;
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(first..last, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("requests")
        .y_desc("anonymous RSS, MiB")
        .x_label_formatter(&|requests| crate::units::count(*requests as u64))
        .y_label_formatter(&|size| format!("{size:.0}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    // Up to a trim and down by it.
    let course = points.iter().flat_map(|&(requests, before, after)| [(requests, before), (requests, after)]);
    chart
        .draw_series(LineSeries::new(course, BEFORE.stroke_width(1)))?
        .label("RSS")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BEFORE.stroke_width(2)));
    let floor = points.iter().map(|&(requests, _, after)| (requests, after));
    chart
        .draw_series(LineSeries::new(floor, AFTER.stroke_width(2)))?
        .label("floor: after each trim")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], AFTER.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}
