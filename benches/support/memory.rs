//! How much memory this process has used.
#![allow(dead_code, reason = "each bench asks for what it reports")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most memory that was resident at once, in MB (10^6 bytes), where the system tells.
pub fn peak_rss_mb() -> Option<f64> {
    status("VmHWM:")
}

fn status(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib * 1.024).round() / 1e3)
}

/// The most that was resident at any look, in MB; 0 where the system does not tell.
#[derive(Clone, Copy, Default)]
pub struct Peak {
    /// Memory of the process itself.
    pub own_mb: f64,
    /// Pages of files that it had mapped, which the system takes back when it needs memory.
    pub mapped_mb: f64,
}

/// A thread that looks at the memory twenty times a second.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl Watch {
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            while !until.load(Ordering::Relaxed) {
                peak.own_mb = peak.own_mb.max(status("RssAnon:").unwrap_or(0.0));
                peak.mapped_mb = peak.mapped_mb.max(status("RssFile:").unwrap_or(0.0));
                std::thread::sleep(Duration::from_millis(50));
            }
            peak
        });
        Self { over, thread }
    }

    pub fn peak(self) -> Peak {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}
