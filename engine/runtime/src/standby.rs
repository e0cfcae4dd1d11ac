//! A standby of a pipeline: brings again what a sink has not taken, and takes the place of the live instance once it has
//! come as far.
//!
//! It begins with an older snapshot and reads the log from there, beside the live instance: of what it does nobody sees
//! anything but the sinks that are behind, by whose room it is paced. Near the end of the log a fence is set at its last
//! epoch: the live instance ends there, the standby waits there, and when both have come to it the standby is live.

use ducto_record::Epoch;

use crate::pipelines::{Line, Pipelines, Running};
use crate::snapshots::Snapshots;

pub(crate) struct Standby {
    pub(crate) line: Line,
    pub(crate) fence: Option<Fence>,
}

pub(crate) struct Fence {
    /// Up to here the live instance counts, from here on the standby.
    at: Epoch,
    /// The live one has ended there.
    ended: bool,
}

impl Pipelines {
    /// Starts a standby from where the sinks that are behind need it; one that runs already is given up for it.
    pub(crate) fn stand_by(&self, running: &mut Running) {
        self.give_up_standby(running);
        let Some(base) = running.again_from.clone().filter(|_| !running.ended) else { return };
        let reader = self.log.register_standby(base.epoch);
        let snapshots = Snapshots::new(running.live.snapshots.expected(), base);
        let line = self.line(&running.pipeline.id, reader, snapshots, &running.lost, false);
        if let Err(error) = self.launch(running, &line) {
            self.log.unregister(reader);
            tracing::error!(
                pipeline = &*running.pipeline.id, %error,
                "what sinks could not take cannot be brought again now; a restart of the site brings it"
            );
            return;
        }
        running.standby = Some(Standby { line, fence: None });
    }

    /// Nothing more comes of a standby; where the live instance ends at its fence already, it goes on behind it.
    pub(crate) fn give_up_standby(&self, running: &mut Running) {
        let Some(Standby { line, fence }) = running.standby.take() else { return };
        line.instance.fence();
        self.log.unregister(line.reader);
        running.goes_on = fence.is_some();
        if let Some(Fence { at, ended: true }) = fence {
            running.live.snapshots.end(at);
            self.restart(running);
        }
    }

    /// Brings a standby that is near the end of the log, or at its fence, one step further.
    pub(crate) fn take_over(&self, running: &mut Running) {
        let Some(standby) = &mut running.standby else { return };
        match &standby.fence {
            // The live instance ends for another reason: its successor can be fenced off, when the standby tells again.
            None if running.goes_on || running.restarting => standby.line.instance.tell_again(),
            None => {
                let (live, standing) = (running.live.instance.clone(), standby.line.instance.clone());
                // No entry enters meanwhile: neither has read further than to here.
                let at = self.log.at_end(|last| {
                    live.end_at(last);
                    standing.hold_at(last);
                    last
                });
                standby.fence = Some(Fence { at, ended: false });
            }
            Some(Fence { at, ended: true }) if standby.line.instance.all_done() >= *at => {
                let at = *at;
                let Some(Standby { line, .. }) = running.standby.take() else { return };
                self.log.take_over(line.reader, running.live.reader, at);
                for sink in running.sinks.values() {
                    match sink.is_behind() {
                        true => sink.caught_up(),
                        false => sink.attach(&line.instance, at),
                    }
                }
                line.instance.go_live();
                running.live = line;
                running.again_from = None;
            }
            Some(_) => {}
        }
    }

    /// Ends a pipeline at an epoch. A standby is given up, except one that takes over already.
    pub(crate) fn end_at(&self, running: &mut Running, until: Epoch) {
        match &running.standby {
            Some(Standby { fence: Some(_), .. }) => return,
            Some(_) => self.give_up_standby(running),
            None if running.goes_on => return,
            None => {}
        }
        running.live.instance.end_at(until);
    }
}

impl Running {
    /// The live instance has ended at the fence of its standby.
    pub(crate) fn ended_at_fence(&mut self) {
        if let Some(fence) = self.standby.as_mut().and_then(|standby| standby.fence.as_mut()) {
            fence.ended = true;
        }
    }
}
