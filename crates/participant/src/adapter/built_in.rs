//! The built-in models behind the same question as everybody else's.

use super::{Adapter, AdapterError, Answer, Context};
use crate::{
    model::{Model, built_in},
    series::Point,
};

/// One of the built-in models, fed with the history of each question.
pub struct BuiltIn {
    model: Box<dyn Model>,
    seasons: (usize, usize),
    observed: usize,
    last: Option<Point>,
}

impl BuiltIn {
    /// The model of that name, with seasons in steps.
    ///
    /// # Errors
    /// [`AdapterError::Unknown`] names the models there are.
    pub fn new(name: &str, seasons: (usize, usize)) -> Result<Self, AdapterError> {
        let models = built_in(seasons.0, seasons.1);
        let known = || models.iter().map(|model| model.name()).collect::<Vec<_>>().join(", ");
        match models.iter().position(|model| model.name() == name) {
            None => Err(AdapterError::Unknown { name: name.to_string(), known: known() }),
            Some(at) => {
                let model = models.into_iter().nth(at).ok_or_else(|| AdapterError::Model(name.into()))?;
                Ok(Self { model, seasons, observed: 0, last: None })
            }
        }
    }
}

impl Adapter for BuiltIn {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn predict(&mut self, context: &Context<'_>) -> Result<Answer, AdapterError> {
        let history = context.history;
        let continues = self.observed == 0
            || history.get(self.observed - 1).is_some_and(|point| Some(*point) == self.last);
        if !continues {
            *self = Self::new(self.model.name(), self.seasons)?; // another history: begin anew
        }
        for point in &history[self.observed..] {
            self.model.observe(*point);
        }
        (self.observed, self.last) = (history.len(), history.last().copied());
        if !context.labels.is_empty() {
            return Ok(Answer::Silent("built-in models answer with one number".into()));
        }
        Ok(match self.model.predict(context.ahead) {
            Some(value) => Answer::Value(value),
            None => Answer::Silent("it has not seen enough yet".into()),
        })
    }
}
