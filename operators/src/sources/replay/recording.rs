//! Recorded files as entries: what one time brought, in the order of time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::{Directory, Micros, Samples, ValueKind};

use super::assemble::Assembler;
use super::cell::Raw;
use super::error::RecordingError;
use super::options::Options;
use super::order::{Ordered, Sample};
use super::rows::{Needs, Rejected, Take, open};

/// Recorded files, read together in the order of time: one item per distinct time, with a batch per kind of value.
///
/// Files are streamed. One that is not in the order of time, such as a historian's, is sorted first, through a
/// temporary file where it is long. What cannot be read as a sample is left out and counted in
/// [`Recording::rejected`]; an error ends the recording.
pub struct Recording {
    directory: Arc<Directory>,
    files: Vec<File>,
    batches: [Assembler; 4],
    failed: bool,
}

struct File {
    samples: Ordered,
    head: Option<Sample>,
}

impl Recording {
    /// Opens the files and looks over their times. `directory` has the tags that are wanted; samples of others are
    /// rejected.
    ///
    /// # Errors
    /// A file that is not there or has no such columns, or in which no sample can be read although there are rows.
    pub fn open(files: &[PathBuf], options: &Options, directory: &Arc<Directory>) -> Result<Self, RecordingError> {
        let options = Arc::new(options.clone());
        let files = files
            .iter()
            .map(|path| {
                let mut samples = Ordered::open(path, &options, directory)?;
                let head = samples.next()?;
                if head.is_none() && samples.rejected.total > 0 {
                    return Err(RecordingError::Rejected { path: path.clone(), rejected: samples.rejected });
                }
                Ok(File { head, samples })
            })
            .collect::<Result<_, _>>()?;
        let batches = ValueKind::ALL.map(Assembler::new);
        Ok(Self { directory: directory.clone(), files, batches, failed: false })
    }

    /// The names of tags in the files as the site would call them: for a replay without a site.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn tag_names(files: &[PathBuf], options: &Options) -> Result<BTreeSet<String>, RecordingError> {
        struct Names<'a>(BTreeSet<String>, &'a Options);
        impl Names<'_> {
            fn add(&mut self, name: &str) {
                let name = self.1.renamed(name.trim());
                if !name.is_empty() && !self.0.contains(name) {
                    self.0.insert(name.to_owned());
                }
            }
        }
        impl Take for Names<'_> {
            fn time(&mut self, _: u64, _: Raw<'_>) -> bool {
                true
            }
            fn sample(&mut self, _: u64, name: Raw<'_>, _: Raw<'_>, _: Raw<'_>, _: bool) {
                match name {
                    Raw::Text(name) => self.add(name),
                    Raw::Integer(name) => self.add(&name.to_string()),
                    _ => {}
                }
            }
            fn broken(&mut self, _: u64, _: Option<&str>, _: String) {}
        }
        let mut names = Names(BTreeSet::new(), options);
        for path in files {
            let mut rows = open(path, options, Needs::Names)?;
            match rows.names() {
                Some(columns) => columns.iter().for_each(|name| names.add(name)),
                None => while rows.read(&mut names)? {},
            }
        }
        Ok(names.0)
    }

    /// Rows in all files, for a progress bar.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.samples.survey.rows).sum()
    }

    /// Whether there is nothing more to come.
    pub fn is_empty(&self) -> bool {
        self.files.iter().all(|file| file.head.is_none())
    }

    /// The first and the last time; `None` where no row has a time.
    pub fn span(&self) -> Option<(Micros, Micros)> {
        let first = self.files.iter().map(|file| file.samples.survey.first).min()?;
        let last = self.files.iter().map(|file| file.samples.survey.last).max()?;
        (first <= last).then_some((first, last))
    }

    /// What was left out so far.
    pub fn rejected(&self) -> Rejected {
        let mut all = Rejected::default();
        for Rejected { total, causes, first } in self.files.iter().map(|file| &file.samples.rejected) {
            all.total += total;
            for (cause, count) in causes {
                *all.causes.entry(*cause).or_default() += count;
            }
            let room = Rejected::SHOWN - all.first.len();
            all.first.extend(first.iter().take(room).cloned());
        }
        all
    }

    /// What was left out so far, file by file.
    pub fn rejected_by_file(&self) -> impl Iterator<Item = (&Path, &Rejected)> {
        self.files.iter().map(|file| (file.samples.path(), &file.samples.rejected))
    }

    /// How many samples were left out so far.
    pub fn rejected_total(&self) -> u64 {
        self.files.iter().map(|file| file.samples.rejected.total).sum()
    }

    fn entry(&mut self) -> Result<Option<(Micros, Vec<Samples>)>, RecordingError> {
        let heads = self.files.iter().filter_map(|file| file.head.as_ref());
        let Some(time) = heads.map(|sample| sample.time).min() else { return Ok(None) };
        for file in &mut self.files {
            while let Some(sample) = file.head.take_if(|sample| sample.time == time) {
                let kind = self.directory.tag(sample.tag).map_or(ValueKind::Float64, |tag| tag.kind);
                if let Some(batch) = self.batches.iter_mut().find(|batch| batch.kind == kind) {
                    batch.push(sample);
                }
                file.head = file.samples.next()?;
            }
        }
        let batches = self.batches.iter_mut().filter_map(|batch| batch.finish(time)).collect();
        Ok(Some((time, batches)))
    }
}

impl Iterator for Recording {
    type Item = Result<(Micros, Vec<Samples>), RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.entry();
        self.failed = entry.is_err();
        entry.transpose()
    }
}
