//! The only door out of a handler: state to read and write, parameters, the block's height, gas, events.

use crate::{event::Event, gas::Meter, params::Params, state::State};

/// What a handler can see and touch.
pub struct Ctx<'a> {
    /// Values, through the modules' tables.
    pub state: &'a mut State,
    /// Parameters in force, read once per block.
    pub params: &'a Params,
    /// Height of the block being executed.
    pub height: u64,
    /// Work done so far.
    pub gas: Meter,
    events: Vec<Event>,
}

impl<'a> Ctx<'a> {
    /// A context with an empty event list.
    pub fn new(state: &'a mut State, params: &'a Params, height: u64, gas_limit: u64) -> Self {
        Self { state, params, height, gas: Meter::new(gas_limit), events: Vec::new() }
    }

    /// Tells subscribers.
    pub fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// What was told, in order.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}
