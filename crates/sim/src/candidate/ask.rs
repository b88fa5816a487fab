//! Puts every question to a model in order, with what was known at that time and nothing later.

use std::time::{Duration, Instant};

use dodona_participant::{
    adapter::{Adapter, AdapterError, Answer, Context},
    model,
    role::sayable,
};

use super::{Answers, Ground, Row, ms};

/// A model that failed so often in a row is not asked on.
const PATIENCE: u64 = 5;

/// What a model said.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// One per question.
    pub values: Vec<Option<f64>>,
    /// How it went.
    pub answers: Answers,
}

/// Why a model was not asked to the end.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It fails.
    #[error("the model failed {PATIENCE} times in a row, last at question {question} of {of}: {cause}")]
    Fails {
        /// Which question.
        question: usize,
        /// Of how many.
        of: usize,
        /// The last failure.
        cause: AdapterError,
    },
}

/// What a row looks like to a model.
pub(super) fn context<'a>(
    ground: &'a Ground,
    row: &Row,
    history: &'a [dodona_participant::series::Point],
) -> Context<'a> {
    Context {
        topic: ground.topic,
        epoch: row.epoch,
        nonce: row.nonce,
        target: &ground.target,
        unit: &ground.unit,
        labels: &[],
        ahead: row.ahead,
        history,
    }
}

/// Asks all questions. `progress` hears of each: (done, of).
///
/// # Errors
/// [`AskError`], when it fails too often in a row.
pub fn ask(
    adapter: &mut dyn Adapter,
    ground: &Ground,
    mut progress: impl FnMut(u64, u64),
) -> Result<Asked, AskError> {
    let mut values = Vec::with_capacity(ground.rows.len());
    let mut answers = Answers::default();
    let (mut total, mut worst, mut in_a_row) = (Duration::ZERO, Duration::ZERO, 0);
    for (at, row) in ground.rows.iter().enumerate() {
        let begun = Instant::now();
        let answer = adapter.predict(&context(ground, row, &ground.points[..row.known]));
        let took = begun.elapsed();
        total += took;
        worst = worst.max(took);
        answers.asked += 1;
        in_a_row = if answer.is_err() { in_a_row + 1 } else { 0 };
        let value = match answer {
            Ok(Answer::Value(value)) => sayable(value),
            Ok(Answer::Silent(_)) => {
                answers.silent += 1;
                None
            }
            Ok(Answer::Labels(_)) => {
                answers.failed += 1;
                answers
                    .first_failure
                    .get_or_insert_with(|| "it answered with labels, one number is asked for".into());
                None
            }
            Err(cause) if in_a_row >= PATIENCE => {
                return Err(AskError::Fails { question: at + 1, of: ground.rows.len(), cause });
            }
            Err(cause) => {
                answers.failed += 1;
                answers.first_failure.get_or_insert_with(|| cause.to_string());
                None
            }
        };
        answers.answered += u64::from(value.is_some());
        values.push(value);
        progress(at as u64 + 1, ground.rows.len() as u64);
    }
    answers.mean_ms = ms(total) / ground.rows.len().max(1) as f64;
    answers.worst_ms = ms(worst);
    Ok(Asked { name: adapter.name().to_string(), values, answers })
}

/// What the built-in models say to the same questions.
#[must_use]
pub fn rivals(ground: &Ground, seasons: (usize, usize)) -> Vec<(String, Vec<Option<f64>>)> {
    let mut models = model::built_in(seasons.0, seasons.1);
    let mut said: Vec<(String, Vec<Option<f64>>)> = models
        .iter()
        .map(|model| (model.name().to_string(), Vec::with_capacity(ground.rows.len())))
        .collect();
    let mut observed = 0;
    for row in &ground.rows {
        for point in &ground.points[observed..row.known] {
            models.iter_mut().for_each(|model| model.observe(*point));
        }
        observed = row.known;
        for (model, (_, values)) in models.iter_mut().zip(&mut said) {
            values.push(model.predict(row.ahead).and_then(sayable));
        }
    }
    said
}

impl Asked {
    /// Answers that were made elsewhere.
    #[must_use]
    pub fn known(name: &str, values: Vec<Option<f64>>) -> Self {
        let (asked, answered) = (values.len() as u64, values.iter().flatten().count() as u64);
        let answers = Answers { asked, answered, silent: asked - answered, ..Answers::default() };
        Self { name: name.to_string(), values, answers }
    }
}
