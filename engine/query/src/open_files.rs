//! Files opened when a query is planned: what is merged or removed meanwhile stays readable until the query ends.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::HashMap;

/// An open file; attached to the file of a plan.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    file: Arc<File>,
    path: Arc<Path>,
    size: u64,
}

impl OpenFile {
    pub(crate) fn open(path: PathBuf, size: u64) -> std::io::Result<Self> {
        let file = match File::open(&path) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                allow_more_files();
                File::open(&path)?
            }
            other => other?,
        };
        Ok(Self { file: Arc::new(file), path: path.into(), size })
    }

    /// Whether it has its size, and begins and ends as Parquet does: cheaper than its checksum, and enough for a file
    /// that was cut short or filled with zeros.
    pub(crate) fn is_whole(&self) -> bool {
        const MARK: [u8; 4] = *b"PAR1";
        let at = |offset: u64| {
            let mut bytes = [0; 4];
            self.file.read_exact_at(&mut bytes, offset).is_ok_and(|()| bytes == MARK)
        };
        let size = self.file.metadata().map(|metadata| metadata.len());
        size.is_ok_and(|size| size == self.size) && self.size >= 12 && at(0) && at(self.size - 4)
    }

    fn read(&self, range: &Range<u64>) -> ParquetResult<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let what = |error| ParquetError::General(format!("`{}`: {error}", self.path.display()));
        self.file.read_exact_at(&mut bytes, range.start).map_err(what)?;
        Ok(bytes.into())
    }
}

/// Raises how many files this process may open to what the system allows it.
fn allow_more_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, the next file that cannot be opened says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Path and size.
type Key = (Arc<Path>, u64);

/// Footers of files, which never change under their name: the least recently read go when they are too many.
#[derive(Debug, Default)]
pub(crate) struct Footers {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    footers: HashMap<Key, (Arc<ParquetMetaData>, u64)>,
    bytes: usize,
    reads: u64,
}

impl Footers {
    pub(crate) fn new(limit: usize) -> Self {
        Self { inner: Mutex::default(), limit }
    }

    fn get(&self, key: &Key) -> Option<Arc<ParquetMetaData>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.reads += 1;
        let now = inner.reads;
        let (footer, read) = inner.footers.get_mut(key)?;
        *read = now;
        Some(footer.clone())
    }

    fn put(&self, key: Key, footer: &Arc<ParquetMetaData>) {
        let bytes = footer.memory_size();
        if bytes > self.limit / 4 {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.bytes + bytes > self.limit {
            let oldest = inner.footers.iter().min_by_key(|(_, (_, read))| *read).map(|(key, _)| key.clone());
            let Some((footer, _)) = oldest.and_then(|key| inner.footers.remove(&key)) else { break };
            inner.bytes -= footer.memory_size();
        }
        let now = inner.reads;
        if let Some((old, _)) = inner.footers.insert(key, (footer.clone(), now)) {
            inner.bytes -= old.memory_size();
        }
        inner.bytes += bytes;
    }
}

/// Gives a plan its open files.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    pub(crate) footers: Arc<Footers>,
}

impl ParquetFileReaderFactory for OpenFiles {
    fn create_reader(
        &self,
        _partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let open = file.extensions.get::<OpenFile>().cloned();
        let open = open.ok_or_else(|| DataFusionError::Internal("a file of a plan was not opened".to_owned()))?;
        Ok(Box::new(Reader { open, footers: self.footers.clone() }))
    }
}

struct Reader {
    open: OpenFile,
    footers: Arc<Footers>,
}

/// Reads beside the asynchronous threads, which serve others meanwhile.
async fn beside<T: Send + 'static>(read: impl FnOnce() -> ParquetResult<T> + Send + 'static) -> ParquetResult<T> {
    let joined = tokio::task::spawn_blocking(read).await;
    joined.map_err(|error| ParquetError::General(format!("reading was stopped: {error}")))?
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let open = self.open.clone();
        beside(move || open.read(&range)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let open = self.open.clone();
        beside(move || ranges.iter().map(|range| open.read(range)).collect()).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let key = (self.open.path.clone(), self.open.size);
            if let Some(footer) = self.footers.get(&key) {
                return Ok(footer);
            }
            let open = self.open.clone();
            let footer = beside(move || {
                let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
                reader.try_parse_sized(&*open.file, open.size)?;
                reader.finish()
            });
            let footer = Arc::new(footer.await?);
            self.footers.put(key, &footer);
            Ok(footer)
        }
        .boxed()
    }
}
