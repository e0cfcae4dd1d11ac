//! Answers to questions in SQL, a batch at a time: the reader's pace is the query's.

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use ducto_query::QueryError;
use tokio::io::AsyncWrite;

use super::answer::fault;
use super::protocol::{Answer, LeftOut, Piece, Refusal, RefusalKind, RowFormat};
use super::server::{Answered, Writer};
use crate::live::Shared;
use crate::rows;

pub(crate) async fn query<W: AsyncWrite + Unpin>(
    sql: &str,
    format: RowFormat,
    shared: &Arc<Shared>,
    to: &mut Writer<W>,
) -> io::Result<Answered> {
    shared.refresh_tables();
    let mut answer = match shared.session.sql(sql).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(refusal(&error))),
    };
    if let Some(incomplete) = answer.incomplete() {
        tracing::warn!("a query goes on without all files: {incomplete}");
        to.write(&Answer::Note(incomplete)).await?;
    }
    let mut pieces = match format {
        RowFormat::Rows => None,
        RowFormat::Arrow => match StreamWriter::try_new(Vec::new(), &answer.schema()) {
            Ok(writer) => Some(writer),
            Err(error) => return Ok(Err(fault(&error))),
        },
    };
    loop {
        let batch = match answer.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(error) => return Ok(Err(refusal(&error))),
        };
        let given = match &mut pieces {
            Some(pieces) => give_piece(&batch, pieces, to).await?,
            None => give_rows(&batch, to).await?,
        };
        if let Err(error) = given {
            return Ok(Err(fault(&error)));
        }
    }
    if let Some(mut pieces) = pieces {
        if let Err(error) = pieces.finish() {
            return Ok(Err(fault(&error)));
        }
        to.write(&Answer::Arrow(Piece::new(0, std::mem::take(pieces.get_mut())))).await?;
    }
    Ok(Ok(LeftOut::default()))
}

async fn give_piece<W: AsyncWrite + Unpin>(
    batch: &RecordBatch,
    pieces: &mut StreamWriter<Vec<u8>>,
    to: &mut Writer<W>,
) -> io::Result<Result<(), ArrowError>> {
    if let Err(error) = pieces.write(batch) {
        return Ok(Err(error));
    }
    to.rows += batch.num_rows() as u64;
    to.write(&Answer::Arrow(Piece::new(0, std::mem::take(pieces.get_mut())))).await?;
    Ok(Ok(()))
}

async fn give_rows<W: AsyncWrite + Unpin>(
    batch: &RecordBatch,
    to: &mut Writer<W>,
) -> io::Result<Result<(), ArrowError>> {
    match rows::objects(batch) {
        Ok(objects) => {
            for object in objects {
                to.row(object).await?;
            }
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(error)),
    }
}

fn refusal(error: &QueryError) -> Refusal {
    Refusal::new(RefusalKind::Query, error.to_string())
}
