//! An event file for TensorBoard: records of protocol buffers (`tensorboard/compat/proto/event.proto`, `summary.proto`), each
//! framed by its length and two checksums (`tensorflow/core/lib/io/record_writer.h`).

use std::path::Path;

use prost::Message;

use super::files::{self, Records};
use super::records::{Metric, OutputProbe};
use crate::failure::Failure;

/// TensorBoard finds files by `tfevents` in their names.
const NAME: &str = "events.out.tfevents.chainrule";

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    /// Only in the first event.
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

/// One of `simple_value` and `histogram`. A number is optional, because one that is 0 must be written too.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "5")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(double, tag = "1")]
    min: f64,
    #[prost(double, tag = "2")]
    max: f64,
    #[prost(double, tag = "3")]
    num: f64,
    #[prost(double, tag = "4")]
    sum: f64,
    #[prost(double, tag = "5")]
    sum_squares: f64,
    #[prost(double, repeated, tag = "6")]
    bucket_limit: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    bucket: Vec<f64>,
}

/// Writes all records as one event file.
pub fn write(folder: &Path, records: &Records) -> Result<(), Failure> {
    files::create_folder(folder)?;
    let mut bytes = Vec::new();
    for event in events(records) {
        frame(&event.encode_to_vec(), &mut bytes);
    }
    files::write(&folder.join(NAME), &bytes)
}

/// Appends a record: its length, the checksum of the length, the data, and the checksum of the data, in little-endian order.
fn frame(data: &[u8], to: &mut Vec<u8>) {
    let length = (data.len() as u64).to_le_bytes();
    to.extend(length);
    to.extend(masked_crc(&length).to_le_bytes());
    to.extend(data);
    to.extend(masked_crc(data).to_le_bytes());
}

/// A CRC-32C, rotated and shifted, so that the checksum of data that contains checksums is sound.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn scalar(tag: impl Into<String>, value: f64) -> Value {
    Value { tag: tag.into(), simple_value: Some(value as f32), histogram: None }
}

fn histogram(output: &OutputProbe) -> Value {
    let (low, high) = (f64::from(output.low), f64::from(output.high));
    let n: f64 = output.counts.iter().map(|&n| f64::from(n)).sum();
    let (mean, std) = (f64::from(output.mean), f64::from(output.std));
    let width = (high - low) / output.counts.len() as f64;
    let histogram = Histogram {
        min: low,
        max: high,
        num: n,
        sum: n * mean,
        sum_squares: n * (std * std + mean * mean),
        bucket_limit: (1..=output.counts.len()).map(|k| low + width * k as f64).collect(),
        bucket: output.counts.iter().map(|&n| f64::from(n)).collect(),
    };
    Value { tag: format!("outputs/{}", output.name), simple_value: None, histogram: Some(histogram) }
}

/// The events in the order of their steps.
fn events(records: &Records) -> Vec<Event> {
    let started = records.config.machine.started as f64;
    let first = Event { wall_time: started, step: 0, file_version: Some("brain.Event:2".into()), summary: None };
    let event = |step: u64, seconds: f64, values: Vec<Value>| Event {
        wall_time: started + seconds,
        step: step as i64,
        file_version: None,
        summary: Some(Summary { values }),
    };
    let metrics = records.metrics.iter().map(|metric| match metric {
        Metric::Step(row) => {
            let values = vec![
                scalar("loss/training", row.loss),
                scalar("accuracy/training", row.accuracy),
                scalar("learning rate", row.lr),
            ];
            event(row.step, row.seconds, values)
        }
        Metric::Epoch(row) => {
            let sets = [("validation", row.validation.as_ref()), ("test", Some(&row.test))];
            let scores = sets.into_iter().filter_map(|(set, score)| Some((set, score?)));
            let scalars = scores.flat_map(|(set, score)| {
                [("loss", score.loss), ("accuracy", score.accuracy)].map(|(of, x)| scalar(format!("{of}/{set}"), x))
            });
            event(row.step, row.seconds, scalars.collect())
        }
    });
    let seconds = |step: u64| {
        let rows = records.metrics.iter();
        let at = rows.filter_map(|row| if let Metric::Step(row) = row { Some((row.step, row.seconds)) } else { None });
        at.take_while(|(at, _)| *at <= step).last().map_or(0.0, |(_, seconds)| seconds)
    };
    let probes = records.probes.iter().map(|probe| {
        let mut values = Vec::new();
        for at in &probe.layers {
            values.push(scalar(format!("gradient norm/{}", at.layer), at.gradient.into()));
            if let Some(update) = at.update.filter(|_| at.weight > 0.0) {
                values.push(scalar(format!("update to weight/{}", at.layer), f64::from(update) / f64::from(at.weight)));
            }
        }
        for output in &probe.outputs {
            values.extend(output.dead.map(|dead| scalar(format!("dead units/{}", output.name), dead.into())));
            values.push(histogram(output));
        }
        event(probe.step, seconds(probe.step), values)
    });
    let mut events: Vec<Event> = metrics.chain(probes).collect();
    events.sort_by_key(|event| event.step);
    events.insert(0, first);
    events
}
