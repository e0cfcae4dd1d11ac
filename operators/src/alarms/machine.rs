//! One alarm's base states (ISA-18.2), its delays and its timer.

use ducto_record::Micros;
use serde::{Deserialize, Serialize};

/// A base state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Normal.
    #[default]
    A,
    /// Active, unacknowledged.
    B,
    /// Active, acknowledged.
    C,
    /// Returned, unacknowledged.
    D,
    /// Latched, unacknowledged: the condition is gone.
    E,
    /// Latched, acknowledged: the condition is gone.
    F,
}

impl State {
    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
            Self::F => "F",
        }
    }

    const fn is_active(self) -> bool {
        matches!(self, Self::B | Self::C)
    }

    /// For answers to people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::A => "normal",
            Self::B => "active and unacknowledged",
            Self::C => "active and acknowledged",
            Self::D => "returned and unacknowledged",
            Self::E => "latched and unacknowledged",
            Self::F => "latched and acknowledged",
        }
    }
}

/// What an alarm's settings make of its states.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Behaviour {
    pub(super) on_delay: Micros,
    pub(super) off_delay: Micros,
    pub(super) latching: bool,
    pub(super) auto_acknowledge: bool,
    /// How long after a delay is over a row may still come that ends it.
    pub(super) wait: Micros,
}

/// What a row says of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// It raises the alarm.
    True,
    /// Neither: inside the deadband.
    Between,
    /// It clears the alarm.
    False,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Raised,
    Returned,
    Acknowledged,
    Reset,
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NothingToAcknowledge,
    AcknowledgedAlready,
    TrueAgain,
    AcknowledgeFirst,
    StillTrue,
    NoLatch,
}

impl Refused {
    /// For programs, which have their own words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NothingToAcknowledge => "nothing_to_acknowledge",
            Self::AcknowledgedAlready => "acknowledged_already",
            Self::TrueAgain => "true_again",
            Self::AcknowledgeFirst => "acknowledge_first",
            Self::StillTrue => "still_true",
            Self::NoLatch => "no_latch",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NothingToAcknowledge => "there is nothing to acknowledge",
            Self::AcknowledgedAlready => "it is acknowledged already",
            Self::TrueAgain => "its condition is true again",
            Self::AcknowledgeFirst => "acknowledge it first",
            Self::StillTrue => "its condition is still true",
            Self::NoLatch => "there is no latch to reset",
        }
    }
}

impl Event {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Returned => "returned",
            Self::Acknowledged => "acknowledged",
            Self::Reset => "reset",
        }
    }
}

/// A delay that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    /// Time of the first row that met the condition.
    since: Micros,
    /// Engine time at which the timer ends it; `None` when the timer came and the newest row was not usable.
    deadline: Option<Micros>,
}

/// The state of one alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) state: State,
    /// Number of the present or last occurrence; 0 before the first.
    pub(super) occurrence: i64,
    pending: Option<Pending>,
}

impl Machine {
    /// A row that says something of the condition. `now` is engine time.
    pub(super) fn row(&mut self, behaviour: &Behaviour, truth: Truth, time: Micros, now: Micros) -> Option<Event> {
        let active = self.state.is_active();
        let (wanted, delay) =
            if active { (Truth::False, behaviour.off_delay) } else { (Truth::True, behaviour.on_delay) };
        if truth != wanted {
            self.pending = None;
            return None;
        }
        let pending = self.pending.unwrap_or(Pending { since: time, deadline: None });
        let elapsed = time.saturating_sub(pending.since);
        if elapsed >= delay {
            return Some(self.end(behaviour));
        }
        // By engine time, since a device's clock may be off: what is left of the delay, from now.
        let left = delay.saturating_sub(elapsed).min(delay).saturating_add(behaviour.wait);
        let deadline = pending.deadline.unwrap_or(now.saturating_add(left));
        self.pending = Some(Pending { deadline: Some(deadline), ..pending });
        None
    }

    /// The timer's deadline has come. `usable` says whether the newest row is. Gives the time at which the delay was
    /// over.
    pub(super) fn timer(&mut self, behaviour: &Behaviour, deadline: Micros, usable: bool) -> Option<(Micros, Event)> {
        let pending = self.pending?;
        if pending.deadline? > deadline {
            return None;
        }
        if !usable {
            self.pending = Some(Pending { deadline: None, ..pending });
            return None;
        }
        let delay = if self.state.is_active() { behaviour.off_delay } else { behaviour.on_delay };
        Some((pending.since.saturating_add(delay), self.end(behaviour)))
    }

    /// The delay is over.
    fn end(&mut self, behaviour: &Behaviour) -> Event {
        self.pending = None;
        let (state, event) = match self.state {
            State::B if behaviour.latching => (State::E, Event::Returned),
            State::B => (State::D, Event::Returned),
            State::C if behaviour.latching => (State::F, Event::Returned),
            State::C => (State::A, Event::Returned),
            State::A | State::D | State::E | State::F => {
                if matches!(self.state, State::A | State::D) {
                    self.occurrence += 1;
                }
                (if behaviour.auto_acknowledge { State::C } else { State::B }, Event::Raised)
            }
        };
        self.state = state;
        event
    }

    /// A person has seen it. An error says why there is nothing to do.
    pub(super) fn acknowledge(&mut self) -> Result<Event, Refused> {
        self.state = match self.state {
            State::B => State::C,
            State::D => State::A,
            State::E => State::F,
            State::A => return Err(Refused::NothingToAcknowledge),
            State::C | State::F => return Err(Refused::AcknowledgedAlready),
        };
        Ok(Event::Acknowledged)
    }

    /// A person releases the latch. An error says why there is nothing to do.
    pub(super) fn reset(&mut self) -> Result<Event, Refused> {
        match self.state {
            State::F if self.pending.is_some() => Err(Refused::TrueAgain),
            State::F => {
                self.state = State::A;
                Ok(Event::Reset)
            }
            State::E => Err(Refused::AcknowledgeFirst),
            State::B | State::C => Err(Refused::StillTrue),
            State::A | State::D => Err(Refused::NoLatch),
        }
    }

    /// When the delay that runs began, by the time of its first row.
    pub(super) fn since(&self) -> Option<Micros> {
        Some(self.pending?.since)
    }

    pub(super) fn deadline(&self) -> Option<Micros> {
        self.pending?.deadline
    }

    /// Normal, and no delay runs.
    pub(super) fn is_calm(&self) -> bool {
        self.state == State::A && self.pending.is_none()
    }
}
