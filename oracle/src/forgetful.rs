//! A storage that says it has synced the journal and has not: what a build without that fsync is.

use std::io;
use std::path::Path;

use ducto_storage::disk::{Opening, SimulatedStorage, Storage, StoredFile};

/// Everything but the syncs of the journal's files.
#[derive(Debug)]
pub struct Forgetful(pub SimulatedStorage);

#[derive(Debug)]
struct ForgetfulFile(Box<dyn StoredFile>);

impl Storage for Forgetful {
    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn StoredFile>> {
        let file = self.0.open(path, opening)?;
        let of_journal = path.parent().is_some_and(|folder| folder.ends_with("journal"));
        Ok(if of_journal { Box::new(ForgetfulFile(file)) } else { file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.0.exchange(one, other)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.sync_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.create_folder(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.0.remove_folder(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }
}

impl StoredFile for ForgetfulFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, bytes)
    }
}
