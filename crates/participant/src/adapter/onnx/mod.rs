//! A model in an ONNX file, computed in this process: linear models, trees, small networks, as scikit-learn, LightGBM
//! and PyTorch export them.
//!
//! One input of numbers with a fixed length n: the newest n observations, oldest first. One output of numbers: a single
//! one, or one for each label of the topic in its order. Other outputs, such as a classifier's choice, are not read.

mod ops;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use tract_onnx::{prelude::*, tract_hir::internal::*};

use super::{Adapter, AdapterError, Answer, Context, finite};

/// Largest file that is read, bytes.
const MAX_FILE: u64 = 256 << 20;
/// Most observations a model can ask for.
const MAX_INPUT: usize = 100_000;
/// A graph ready to be computed.
type Plan = Arc<TypedRunnableModel>;

/// A model read from a file.
pub struct Onnx {
    name: String,
    plan: Plan,
    kind: DatumType,
    shape: Vec<usize>,
    /// Observations it wants.
    count: usize,
}

impl Onnx {
    /// Reads a file and prepares it.
    ///
    /// # Errors
    /// [`AdapterError::Start`] for a file that cannot be read, [`AdapterError::Model`] for one that is no model, that
    /// uses what is not known here, or whose input has no fixed length.
    pub fn new(path: &Path) -> Result<Self, AdapterError> {
        let name = path.display().to_string();
        let start = |cause| AdapterError::Start { program: name.clone(), cause };
        let length = fs::metadata(path).map_err(start)?.len();
        if length > MAX_FILE {
            return Err(AdapterError::Model(format!(
                "{name} has {length} bytes, at most {MAX_FILE} are read"
            )));
        }
        let bytes = fs::read(path).map_err(start)?;
        let (plan, kind, shape) = guarded(|| prepare(&bytes))?;
        let count = shape.iter().product();
        Ok(Self { name, plan, kind, shape, count })
    }

    fn run(&self, values: &[f64]) -> TractResult<Vec<Vec<f64>>> {
        let input = if self.kind == f64::datum_type() {
            Tensor::from_shape(&self.shape, values)?
        } else {
            let single: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            Tensor::from_shape(&self.shape, &single)?
        };
        let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
        let numbers = |output: &TValue| -> TractResult<Vec<f64>> {
            Ok(output.cast_to::<f64>()?.to_plain_array_view::<f64>()?.iter().copied().collect())
        };
        outputs.iter().filter(|output| output.datum_type().is_float()).map(numbers).collect()
    }
}

impl Adapter for Onnx {
    fn name(&self) -> &str {
        &self.name
    }

    fn predict(&mut self, context: &Context<'_>) -> Result<Answer, AdapterError> {
        let known = context.history.len();
        let Some(from) = known.checked_sub(self.count) else {
            let count = self.count;
            return Ok(Answer::Silent(format!("{known} observations are known, the model wants {count}")));
        };
        let values: Vec<f64> = context.history[from..].iter().map(|point| point.value).collect();
        let outputs = guarded(|| self.run(&values))?;
        let wanted = context.labels.len().max(1);
        let lengths: Vec<usize> = outputs.iter().map(Vec::len).collect();
        let Some(answer) = outputs.into_iter().find(|output| output.len() == wanted) else {
            return Err(AdapterError::Model(format!(
                "wanted is an output of {wanted} numbers, it has outputs of {lengths:?}; a classifier has to be exported \
                 with its probabilities as one table (zipmap off)"
            )));
        };
        if context.labels.is_empty() {
            return Ok(Answer::Value(finite("the answer", answer[0])?));
        }
        let labels = context.labels.iter().zip(answer);
        let labels = labels.map(|(label, value)| Ok((label.clone(), finite(label, value)?)));
        Ok(Answer::Labels(labels.collect::<Result<_, AdapterError>>()?))
    }
}

/// Plan, kind of numbers, and shape of the input with a batch of one.
fn prepare(bytes: &[u8]) -> TractResult<(Plan, DatumType, Vec<usize>)> {
    let mut onnx = tract_onnx::onnx();
    ops::register(&mut onnx.op_register);
    let mut model = onnx.model_for_read(&mut &*bytes)?;
    if model.input_outlets()?.len() != 1 {
        wrong("it wants several inputs; one is known here: the newest observations")?;
    }
    let fact = model.input_fact(0)?;
    let kind = fact.datum_type.concretize().unwrap_or(f32::datum_type());
    if kind != f32::datum_type() && kind != f64::datum_type() {
        wrong("its input are no numbers of single or double precision")?;
    }
    let dims: Vec<Option<usize>> =
        fact.shape.dims().map(|dim| dim.concretize().and_then(|d| d.to_usize().ok())).collect();
    // Of several dimensions the first is the batch, which may be open.
    let open = usize::from(dims.len() > 1);
    let fixed: Option<Vec<usize>> = dims.iter().skip(open).copied().collect();
    let Some(fixed) = fixed.filter(|fixed| !fixed.is_empty() && !fact.shape.is_open()) else {
        return wrong(
            "its input has no fixed length: export it with the number of observations, such as [None, 24]",
        );
    };
    let shape: Vec<usize> = std::iter::repeat_n(1, open).chain(fixed).collect();
    let count = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim)).unwrap_or(0);
    if count == 0 || count > MAX_INPUT {
        wrong("its input is empty or too long")?;
    }
    model.set_input_fact(0, InferenceFact::dt_shape(kind, shape.clone()))?;
    Ok((model.into_optimized()?.into_runnable()?, kind, shape))
}

fn wrong<T>(what: &str) -> TractResult<T> {
    Err(TractError::msg(what.to_string()))
}

/// What strangers' files make of the library, panics included, as an error.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, AdapterError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| AdapterError::Model(format!("ONNX: {error:#}"))),
        Err(_) => {
            Err(AdapterError::Model("ONNX: the file does something that is not understood here".into()))
        }
    }
}
