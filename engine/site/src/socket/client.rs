//! The asker's end of the socket.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{StreamDecoder, StreamReader};

use super::protocol::{Answer, Ask, End, Piece, Request, VERSION};
use super::{Address, NAME};
use crate::error::ClientError;

/// Longest line of an answer, and most bytes that may follow one: what is more comes from no site.
const LONGEST_ANSWER: u64 = 64 << 20;
const LONGEST_PIECE: usize = 1 << 30;

/// A connection to a site that runs.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the site that runs on a data folder; `None` where none does.
    ///
    /// # Errors
    /// When one seems to run and cannot be reached.
    pub fn connect(data: &Path) -> Result<Option<Self>, ClientError> {
        let connected = Address::of(data, NAME).and_then(|address| UnixStream::connect(&address.path));
        match connected {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream) })),
            // Refused: the socket of a process that has died.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(source) => Err(ClientError::Connect { path: data.join(NAME), source }),
        }
    }

    /// Over a connection that is there, for tests.
    #[cfg(test)]
    pub(crate) fn over(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// What closes the connection from another thread, which ends an answer that goes on.
    ///
    /// # Errors
    /// When the process has too many files open.
    pub fn hang_up(&self) -> Result<HangUp, ClientError> {
        let stream = self.stream.get_ref().try_clone();
        stream.map(HangUp).map_err(|source| ClientError::Connect { path: NAME.into(), source })
    }

    /// Asks, and gives the answers as they come.
    ///
    /// # Errors
    /// [`ClientError::Stopped`] when the site has gone.
    pub fn ask(&mut self, ask: Ask) -> Result<Answers<'_>, ClientError> {
        let mut line = serde_json::to_vec(&Request { version: VERSION, ask })
            .map_err(|error| ClientError::Foreign(error.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(|_| ClientError::Stopped)?;
        Ok(Answers { client: self, end: None, failed: false })
    }
}

/// Closes a connection when it is dropped.
#[derive(Debug)]
pub struct HangUp(UnixStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The answers to one request, up to its end. An error is the last one.
#[derive(Debug)]
pub struct Answers<'a> {
    client: &'a mut Client,
    end: Option<End>,
    failed: bool,
}

impl Answers<'_> {
    /// What the last line said, once everything was read without an error.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    fn read(&mut self) -> Result<Option<Answer>, ClientError> {
        let mut line = Vec::new();
        let mut bounded = self.client.stream.by_ref().take(LONGEST_ANSWER);
        bounded.read_until(b'\n', &mut line).map_err(|_| ClientError::Stopped)?;
        if line.last() != Some(&b'\n') {
            return Err(match line.len() as u64 {
                LONGEST_ANSWER => ClientError::Foreign(format!("a line of more than {LONGEST_ANSWER} bytes")),
                _ => ClientError::Stopped,
            });
        }
        match serde_json::from_slice(&line).map_err(|error| ClientError::Foreign(error.to_string()))? {
            Answer::Arrow(mut piece) if piece.bytes <= LONGEST_PIECE => {
                let bytes = self.client.stream.by_ref().take(piece.bytes as u64);
                read_whole(bytes, piece.bytes, &mut piece.data)?;
                Ok(Some(Answer::Arrow(piece)))
            }
            Answer::Arrow(piece) => Err(ClientError::Foreign(format!("a piece of {} bytes", piece.bytes))),
            Answer::End(end) => {
                self.end = Some(end);
                Ok(None)
            }
            Answer::Error(refusal) => Err(ClientError::Refused(refusal)),
            answer => Ok(Some(answer)),
        }
    }
}

/// Reads so many bytes as they come: what a line announces is not believed before it is there.
fn read_whole(mut from: impl Read, bytes: usize, into: &mut Vec<u8>) -> Result<(), ClientError> {
    from.read_to_end(into).map_err(|_| ClientError::Stopped)?;
    if into.len() == bytes { Ok(()) } else { Err(ClientError::Stopped) }
}

impl Iterator for Answers<'_> {
    type Item = Result<Answer, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.end.is_some() {
            return None;
        }
        let answer = self.read();
        self.failed = answer.is_err();
        answer.transpose()
    }
}

/// The batches of a query's answer, as they come. Where it is dropped before its end, the connection is of no more use:
/// the rest of the answer is still on its way.
#[derive(Debug)]
pub struct Batches<'a> {
    stream: StreamReader<BufReader<ArrowBytes<'a>>>,
}

impl<'a> Batches<'a> {
    /// # Errors
    /// What refuses the query, or that the site has gone.
    pub fn of(answers: Answers<'a>) -> Result<Self, ClientError> {
        let mut bytes = ArrowBytes { answers, notes: Vec::new(), piece: Vec::new(), at: 0 };
        // What refuses the query is told as it is, and not as a stream that cannot be read.
        bytes.fill()?;
        Ok(Self { stream: StreamReader::try_new_buffered(bytes, None).map_err(client_error)? })
    }

    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// What the site said of the answer before its first row.
    pub fn notes(&self) -> &[String] {
        &self.stream.get_ref().get_ref().notes
    }

    /// The next rows; `None` at the end, when the connection takes the next request.
    ///
    /// # Errors
    /// What ended the query, or that the site has gone.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, ClientError> {
        if let Some(batch) = self.stream.next().transpose().map_err(client_error)? {
            return Ok(Some(batch));
        }
        // The stream ends before the answer does.
        self.stream.get_mut().get_mut().answers.by_ref().try_for_each(|answer| answer.map(drop))?;
        Ok(None)
    }
}

/// The streams of a tap: pieces in, batches out.
#[derive(Debug, Default)]
pub struct Streams {
    decoders: BTreeMap<u8, StreamDecoder>,
}

impl Streams {
    /// The batches that a piece completes.
    ///
    /// # Errors
    /// When its bytes are no Arrow IPC stream.
    pub fn take(&mut self, piece: Piece) -> Result<Vec<RecordBatch>, ClientError> {
        let decoder = self.decoders.entry(piece.stream).or_default();
        let mut bytes = Buffer::from_vec(piece.data);
        let decode = || {
            let mut batches = Vec::new();
            while !bytes.is_empty() {
                batches.extend(decoder.decode(&mut bytes)?);
            }
            Ok(batches)
        };
        // The decoder believes more of what it reads than an end of a socket should.
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(batches) => batches.map_err(client_error),
            Err(_) => Err(ClientError::Foreign("bytes that are no Arrow stream".to_owned())),
        }
    }
}

/// The error of a site that lies in an error of Arrow.
fn client_error(error: ArrowError) -> ClientError {
    match error {
        ArrowError::IoError(text, source) => source.downcast::<ClientError>().unwrap_or(ClientError::Foreign(text)),
        other => ClientError::Foreign(other.to_string()),
    }
}

/// The bytes of an Arrow IPC stream, out of answers.
#[derive(Debug)]
struct ArrowBytes<'a> {
    answers: Answers<'a>,
    notes: Vec<String>,
    piece: Vec<u8>,
    at: usize,
}

impl ArrowBytes<'_> {
    /// Makes sure that bytes are there, unless all are read.
    fn fill(&mut self) -> Result<(), ClientError> {
        while self.at == self.piece.len() {
            match self.answers.next() {
                None => return Ok(()),
                Some(Ok(Answer::Arrow(piece))) => {
                    self.piece = piece.data;
                    self.at = 0;
                }
                Some(Ok(Answer::Note(note))) => self.notes.push(note),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for ArrowBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill().map_err(io::Error::other)?;
        let piece = &self.piece[self.at..];
        let taken = piece.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&piece[..taken]);
        self.at += taken;
        Ok(taken)
    }
}
