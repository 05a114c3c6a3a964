//! Growth curves: how the time of one item, or its bytes, changes with the size. Both axes are logarithmic, so that
//! "the same at every size" is a level line.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::RGBColor;

use crate::report::Row;
use crate::system::System;
use crate::workloads::Workload;

const SIZE: (u32, u32) = (960, 600);

/// What is drawn of a row.
#[derive(Clone, Copy)]
enum Measure {
    Time,
    Bytes,
}

impl Measure {
    fn of(self, row: &Row) -> Option<f64> {
        match self {
            Self::Time => row.ns_per_item,
            Self::Bytes => row.bytes,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Time => "nanoseconds",
            Self::Bytes => "bytes",
        }
    }
}

/// Draws one file for a workload, if it has been measured at several sizes.
///
/// # Errors
/// Those of the file.
pub(crate) fn draw(workload: &Workload, rows: &[Row], folder: &Path) -> Result<(), Box<dyn Error>> {
    let measure = if rows.iter().any(|row| row.ns_per_item.is_some()) { Measure::Time } else { Measure::Bytes };
    let curves: Vec<Curve> = System::ALL.iter().filter_map(|system| Curve::new(*system, rows, measure)).collect();
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (Some(sizes), Some(values)) = (around(points().map(|point| point.0)), around(points().map(|point| point.1)))
    else {
        return Ok(());
    };
    let file = folder.join(format!("{}.svg", workload.name));
    let root = SVGBackend::new(&file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{}: {}", workload.name, workload.title), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(sizes.log_scale(), values.log_scale())?;
    let label = format!("{} for one {}", measure.label(), workload.item);
    chart.configure_mesh().x_desc("n").y_desc(label).light_line_style(TRANSPARENT).draw()?;
    for curve in &curves {
        let style = ShapeStyle { color: color(curve.system).into(), filled: true, stroke_width: width(curve.system) };
        let line = LineSeries::new(curve.points.iter().copied(), style).point_size(3);
        let sample = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style);
        chart.draw_series(line)?.label(curve.system.name()).legend(sample);
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    root.present()?;
    Ok(())
}

/// One system over the sizes.
struct Curve {
    system: System,
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Takes what is known of a system; `None` if that is less than two points.
    fn new(system: System, rows: &[Row], measure: Measure) -> Option<Self> {
        let own = rows.iter().filter(|row| row.system == system.name());
        let mut points: Vec<(f64, f64)> = own.filter_map(|row| Some((row.n as f64, measure.of(row)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        (points.len() >= 2).then_some(Self { system, points })
    }
}

/// Returns a range with some room around values.
fn around(values: impl Iterator<Item = f64> + Clone) -> Option<Range<f64>> {
    let (least, most) = (values.clone().min_by(f64::total_cmp)?, values.max_by(f64::total_cmp)?);
    Some(least / 1.5..most * 1.5)
}

/// Ours stand out, limits are grey.
const fn color(system: System) -> RGBColor {
    match system {
        System::CrdtCore => RGBColor(200, 30, 30),
        System::CrdtCoreDocument => RGBColor(240, 120, 40),
        System::Crdts => RGBColor(30, 90, 180),
        System::CrdtKit => RGBColor(60, 160, 220),
        System::Dson => RGBColor(130, 80, 180),
        System::Automerge => RGBColor(190, 150, 20),
        System::Yrs => RGBColor(40, 140, 70),
        System::Loro => RGBColor(150, 190, 60),
        System::Limit => RGBColor(90, 90, 90),
        System::LimitSameSeed => RGBColor(170, 170, 170),
        System::LimitText => RGBColor(130, 130, 130),
    }
}

const fn width(system: System) -> u32 {
    if system.is_ours() { 3 } else { 1 }
}
