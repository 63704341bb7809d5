//! An observer of your own: training as TensorBoard shows it, without any crate for it.
//!
//! `cargo run --release --example own_observer -- FOLDER` trains a small model and writes an event
//! file into the folder; `tensorboard --logdir FOLDER` draws its curves.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use seqrec::Result;
use seqrec::data::synthetic::Synthetic;
use seqrec::prelude::*;
use seqrec::train::{EpochReport, StepReport, TrainingObserver};

/// Writes the loss of each step, and the validation metrics of each epoch.
struct TensorBoard {
    file: File,
    /// The number of steps so far.
    step: u64,
}

impl TensorBoard {
    /// An event file in this folder. Files of earlier runs stay, as TensorBoard expects.
    fn new(folder: impl AsRef<Path>) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let name = format!("events.out.tfevents.{}.seqrec", now() as u64);
        let file = File::create(folder.as_ref().join(name))?;
        let mut board = Self { file, step: 0 };
        // The first event says which version of the format follows.
        board.write(bytes(3, b"brain.Event:2"))?;
        Ok(board)
    }

    /// A point of the curve with this name.
    fn scalar(&mut self, name: &str, value: f64) -> std::io::Result<()> {
        let mut point = bytes(1, name.as_bytes());
        point.push(2 << 3 | 5);
        point.extend((value as f32).to_le_bytes());
        let mut event = vec![2 << 3];
        event.extend(varint(self.step));
        event.extend(bytes(5, &bytes(1, &point)));
        self.write(event)
    }

    /// A record: its length and its contents, each with a checksum.
    fn write(&mut self, event: Vec<u8>) -> std::io::Result<()> {
        let mut data = vec![1 << 3 | 1];
        data.extend(now().to_le_bytes());
        data.extend(event);
        let length = (data.len() as u64).to_le_bytes();
        self.file.write_all(&length)?;
        self.file.write_all(&checksum(&length).to_le_bytes())?;
        self.file.write_all(&data)?;
        self.file.write_all(&checksum(&data).to_le_bytes())
    }
}

impl TrainingObserver for TensorBoard {
    fn on_step(&mut self, step: &StepReport) -> Result<ControlFlow<()>> {
        self.step += 1;
        self.scalar("loss", step.loss)?;
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _improved: bool) -> Result<ControlFlow<()>> {
        self.step = epoch.step as u64;
        for (metric, value) in epoch.validation.iter().flatten() {
            self.scalar(&format!("validation/{metric}"), value)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

/// A field of bytes, as Protocol Buffers write it.
fn bytes(field: u8, contents: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | 2];
    all.extend(varint(contents.len() as u64));
    all.extend(contents);
    all
}

/// An integer of seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while number >= 0x80 {
        all.push(number as u8 | 0x80);
        number >>= 7;
    }
    all.push(number as u8);
    all
}

/// CRC-32C, rotated and shifted as TensorFlow's records have it.
fn checksum(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let log = Synthetic::new().with_users(300).with_items(120).generate();
    let split = Split::new(
        &Dataset::new(log, Filters::default())?,
        Protocol::LeaveOneOut,
    )?;
    let settings = TrainerConfig::new()
        .with_epochs(5)
        .with_metric(Metric::ndcg(10)?);
    let folder = std::env::args()
        .nth(1)
        .ok_or("name the folder of the event file")?;
    let trainer = Trainer::new(settings).observer(TensorBoard::new(folder)?);
    let trained = Gru4RecConfig::new()
        .with_dim(16)
        .fit_with(&split, trainer)?;
    println!("{}", trained.evaluate(&split.test)?);
    Ok(())
}
