//! A serial line as a stream of bytes on tokio.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::termios::{ControlModes, OptionalActions, ioctl_tiocexcl, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

use crate::endpoint::{Line, Parity};

/// An open serial line. Nobody else opens it meanwhile.
///
/// Tokio has no type for it, but its halves of pipes are files that are waited for, which is all that a line needs.
#[derive(Debug)]
pub struct Serial {
    reader: pipe::Receiver,
    writer: pipe::Sender,
}

impl Serial {
    /// Opens the device file `path` (or one side of a pseudo-terminal) and sets the line up.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] where another program holds it; what the kernel says otherwise.
    pub fn open(path: &str, line: Line) -> io::Result<Self> {
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits() as i32;
        let device = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        // Two locks, because programs differ in which of the two they look at, and root is above the second.
        flock(&device, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => io::ErrorKind::ResourceBusy.into(),
            other => io::Error::from(other),
        })?;
        ioctl_tiocexcl(&device)?;
        set_up(&device, line)?;
        let reader = pipe::Receiver::from_file_unchecked(device.try_clone()?)?;
        Ok(Self { reader, writer: pipe::Sender::from_file_unchecked(device)? })
    }
}

fn set_up(device: &File, line: Line) -> io::Result<()> {
    let mut settings = tcgetattr(device)?;
    settings.make_raw();
    settings.set_speed(line.baud)?;
    let modes = &mut settings.control_modes;
    modes.remove(ControlModes::CRTSCTS);
    modes.insert(ControlModes::CLOCAL | ControlModes::CREAD);
    modes.set(ControlModes::CSTOPB, line.stop_bits == 2);
    modes.set(ControlModes::PARENB, line.parity != Parity::None);
    modes.set(ControlModes::PARODD, line.parity == Parity::Odd);
    // What came before the line was set up is noise.
    tcsetattr(device, OptionalActions::Flush, &settings)?;
    Ok(())
}

impl AsyncRead for Serial {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Serial {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
