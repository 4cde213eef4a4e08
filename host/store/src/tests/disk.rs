//! A disk in memory that fails on command and can lose power: what was not synced is then there, or not, or in part.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// What a disk writes in one piece.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Op {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Default)]
struct Disk {
    /// As the operating system shows it.
    now: Vec<u8>,
    /// As it is on the platter.
    durable: Vec<u8>,
    /// Not yet synced.
    pending: Vec<Op>,
    syncs: u64,
    /// Writes, length changes and syncs so far.
    changes: u64,
    /// From which change on everything fails, and how.
    fail_from: Option<(u64, ErrorKind)>,
}

/// See the module. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<Disk>>);

impl SimDisk {
    /// Fails every change from the `after`th from now on.
    pub(super) fn fail_after(&self, after: u64, kind: ErrorKind) {
        let mut disk = self.0.lock().unwrap();
        disk.fail_from = Some((disk.changes + after, kind));
    }

    pub(super) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    pub(super) fn changes(&self) -> u64 {
        self.0.lock().unwrap().changes
    }

    /// The disk after a loss of power: each sector not synced is kept if `keep` says so.
    pub(super) fn after_power_loss(&self, mut keep: impl FnMut() -> bool) -> SimDisk {
        let disk = self.0.lock().unwrap();
        let mut image = disk.durable.clone();
        for op in &disk.pending {
            match op {
                Op::SetLen(len) => {
                    if keep() {
                        image.resize(*len, 0);
                    }
                }
                Op::Write { offset, data } => {
                    for (i, sector) in data.chunks(SECTOR).enumerate() {
                        let start = offset + i * SECTOR;
                        if keep() && start + sector.len() <= image.len() {
                            image[start..start + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        SimDisk::holding(image)
    }

    /// The disk as it is, in another machine.
    pub(super) fn copy(&self) -> SimDisk {
        SimDisk::holding(self.0.lock().unwrap().now.clone())
    }

    fn holding(image: Vec<u8>) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Disk { now: image.clone(), durable: image, ..Disk::default() })))
    }
}

impl Disk {
    fn change(&mut self) -> Result<(), Error> {
        self.changes += 1;
        match self.fail_from {
            Some((from, kind)) if self.changes > from => Err(Error::new(kind, "the simulated disk fails")),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let disk = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = disk.now.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.change()?;
        let len = usize::try_from(len).unwrap();
        disk.now.resize(len, 0);
        disk.pending.push(Op::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.change()?;
        disk.syncs += 1;
        let Disk { durable, pending, .. } = &mut *disk;
        for op in pending.drain(..) {
            match op {
                Op::SetLen(len) => durable.resize(len, 0),
                Op::Write { offset, data } => durable[offset..offset + data.len()].copy_from_slice(&data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.change()?;
        let offset = usize::try_from(offset).unwrap();
        disk.now[offset..offset + data.len()].copy_from_slice(data);
        disk.pending.push(Op::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
