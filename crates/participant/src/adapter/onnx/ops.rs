//! Operators of ONNX that the library lacks, or reads without looking: scalers and ensembles of trees, as scikit-learn and
//! LightGBM export them. What a file says of nodes, columns and classes is checked before anything is computed.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext},
    pb::NodeProto,
    tract_hir::internal::*,
};

/// An operator and the outer values it needs.
type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Adds them to what the library knows.
pub(super) fn register(known: &mut OnnxOpRegister) {
    known.insert("Scaler", scaler);
    known.insert("TreeEnsembleRegressor", regressor);
    known.insert("TreeEnsembleClassifier", classifier);
}

/// (x - offset) * scale, column by column: what scikit-learn's scalers are exported as. The library lacks it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Scaler {
    /// 1 × columns, or 1 × 1 for all of them.
    offset: Arc<Tensor>,
    scale: Arc<Tensor>,
}

fn scaler(_: &ParsingContext, node: &NodeProto) -> Built {
    let row = |name: &str| -> TractResult<Arc<Tensor>> {
        let values: Vec<f32> = node.get_attr_vec(name)?;
        Ok(Tensor::from_shape(&[1, values.len()], &values)?.into_arc_tensor())
    };
    Ok((expand(Scaler { offset: row("offset")?, scale: row("scale")? }), Vec::new()))
}

impl Expansion for Scaler {
    fn name(&self) -> StaticName {
        "Scaler".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.equals(&inputs[0].rank, 2)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        use tract_core::ops::{cast::cast, math};
        let single = model.wire_node(format!("{prefix}.single"), cast(f32::datum_type()), inputs)?[0];
        let offset = model.add_const(format!("{prefix}.offset"), self.offset.clone())?;
        let moved = model.wire_node(format!("{prefix}.moved"), math::sub(), &[single, offset])?[0];
        let scale = model.add_const(format!("{prefix}.scale"), self.scale.clone())?;
        model.wire_node(format!("{prefix}.scaled"), math::mul(), &[moved, scale])
    }
}

/// Trees whose leaves vote; every number that is not a count is kept by its bits, so that trees can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Trees {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    /// Target or class, and the weight's bits.
    votes: Vec<(usize, u32)>,
    /// What every target begins with, as bits; empty is zero.
    base: Vec<u32>,
    targets: usize,
    /// Columns that are looked at.
    columns: usize,
    /// Mean of the trees instead of their sum.
    average: bool,
    /// The choice comes before the scores.
    labelled: bool,
    /// Two classes, of which only the second is voted for.
    binary: bool,
    post: Post,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Post {
    Nothing,
    Softmax,
    Logistic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Branch {
        column: usize,
        test: Test,
        value: u32,
        yes: usize,
        no: usize,
        missing_is_yes: bool,
    },
    /// Votes from one to before the other.
    Leaf(usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Test {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Other,
}

impl Test {
    fn holds(self, left: f32, right: f32) -> bool {
        match self {
            Self::AtMost => left <= right,
            Self::Below => left < right,
            Self::AtLeast => left >= right,
            Self::Above => left > right,
            Self::Equal => left == right,
            Self::Other => left != right,
        }
    }
}

impl Trees {
    /// `kind` begins the names of what leaves say: `target` or `class`.
    fn read(node: &NodeProto, kind: &str, targets: usize) -> TractResult<Self> {
        let list = |name: &str| node.get_attr_vec::<usize>(name);
        let (ids, trees, columns) =
            (list("nodes_nodeids")?, list("nodes_treeids")?, list("nodes_featureids")?);
        let (yes, no) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
        let values: Vec<f32> = node.get_attr_vec("nodes_values")?;
        let modes: Vec<&str> = node.get_attr_vec("nodes_modes")?;
        let missing: Vec<bool> =
            node.get_attr_opt_vec("nodes_missing_value_tracks_true")?.unwrap_or_default();
        let count = ids.len();
        let lengths = [trees.len(), columns.len(), yes.len(), no.len(), values.len(), modes.len()];
        ensure!(count > 0 && lengths.iter().all(|length| *length == count), "its trees are incomplete");
        let place: BTreeMap<(usize, usize), usize> =
            trees.iter().zip(&ids).enumerate().map(|(at, (tree, id))| ((*tree, *id), at)).collect();
        ensure!(place.len() == count, "two nodes of a tree have one number");

        let part = |name: &str| list(&format!("{kind}_{name}"));
        let (of_tree, of_node, target) = (part("treeids")?, part("nodeids")?, part("ids")?);
        let weights: Vec<f32> = node.get_attr_vec(&format!("{kind}_weights"))?;
        let all = weights.len();
        ensure!([of_tree.len(), of_node.len(), target.len()] == [all; 3], "its leaves are incomplete");
        let mut said: BTreeMap<(usize, usize), Vec<(usize, u32)>> = BTreeMap::new();
        for at in 0..all {
            ensure!(target[at] < targets, "a leaf votes for {} of {targets}", target[at]);
            said.entry((of_tree[at], of_node[at])).or_default().push((target[at], weights[at].to_bits()));
        }

        let (mut nodes, mut votes) = (Vec::with_capacity(count), Vec::with_capacity(all));
        // Whoever is nobody's child is a root.
        let mut is_child = vec![false; count];
        for at in 0..count {
            let test = match modes[at] {
                "LEAF" => {
                    let from = votes.len();
                    votes.extend(said.remove(&(trees[at], ids[at])).unwrap_or_default());
                    nodes.push(Node::Leaf(from, votes.len()));
                    continue;
                }
                "BRANCH_LEQ" => Test::AtMost,
                "BRANCH_LT" => Test::Below,
                "BRANCH_GTE" => Test::AtLeast,
                "BRANCH_GT" => Test::Above,
                "BRANCH_EQ" => Test::Equal,
                "BRANCH_NEQ" => Test::Other,
                other => bail!("a node of the kind {other:?} is not known"),
            };
            let mut child = |id: usize| -> TractResult<usize> {
                let child = place.get(&(trees[at], id)).copied();
                let child = child.with_context(|| format!("tree {} has no node {id}", trees[at]))?;
                // One parent each: no walk can come back to where it was.
                ensure!(!is_child[child], "two branches lead to node {id} of tree {}", trees[at]);
                is_child[child] = true;
                Ok(child)
            };
            let (yes, no) = (child(yes[at])?, child(no[at])?);
            let (column, value) = (columns[at], values[at].to_bits());
            let missing_is_yes = missing.get(at).copied().unwrap_or(false);
            nodes.push(Node::Branch { column, test, value, yes, no, missing_is_yes });
        }
        ensure!(said.is_empty(), "a vote belongs to no leaf");
        let roots: Vec<usize> = (0..count).filter(|at| !is_child[*at]).collect();
        let distinct: BTreeSet<usize> = trees.iter().copied().collect();
        ensure!(roots.len() == distinct.len(), "a tree has several beginnings, or none");
        let branches = nodes.iter().zip(&columns).filter(|(node, _)| matches!(node, Node::Branch { .. }));
        let columns = branches.map(|(_, column)| column + 1).max().unwrap_or(0);
        let base: Vec<f32> = node.get_attr_opt_vec("base_values")?.unwrap_or_default();
        let post = match node.get_attr_opt::<&str>("post_transform")?.unwrap_or("NONE") {
            "NONE" => Post::Nothing,
            "SOFTMAX" => Post::Softmax,
            "LOGISTIC" => Post::Logistic,
            other => bail!("scores changed by {other:?} are not known"),
        };
        let base = base.into_iter().map(f32::to_bits).collect();
        let (average, labelled, binary) = (false, false, false);
        Ok(Self { nodes, roots, votes, base, targets, columns, average, labelled, binary, post })
    }

    /// Scores of one row.
    fn scores(&self, row: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; self.targets];
        for root in &self.roots {
            let mut at = *root;
            while let Node::Branch { column, test, value, yes, no, missing_is_yes } = self.nodes[at] {
                let holds = if row[column].is_nan() {
                    missing_is_yes
                } else {
                    test.holds(row[column], f32::from_bits(value))
                };
                at = if holds { yes } else { no };
            }
            if let Node::Leaf(from, to) = self.nodes[at] {
                for (target, weight) in &self.votes[from..to] {
                    sums[*target] += f64::from(f32::from_bits(*weight));
                }
            }
        }
        let share = if self.average { 1.0 / self.roots.len() as f64 } else { 1.0 };
        for (target, sum) in sums.iter_mut().enumerate() {
            let base = self.base.get(target).map_or(0.0, |bits| f64::from(f32::from_bits(*bits)));
            *sum = *sum * share + base;
        }
        self.finished(sums)
    }

    fn finished(&self, mut sums: Vec<f64>) -> Vec<f64> {
        let logistic = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        if self.binary {
            // A single base value belongs to the class that is voted for.
            let second = if self.base.len() == 1 { sums[1] + sums[0] } else { sums[1] };
            let second = if self.post == Post::Nothing { second } else { logistic(second) };
            return vec![1.0 - second, second];
        }
        match self.post {
            Post::Nothing => {}
            Post::Logistic => sums.iter_mut().for_each(|sum| *sum = logistic(*sum)),
            Post::Softmax => {
                let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                sums.iter_mut().for_each(|sum| *sum = libm::exp(*sum - most));
                let all: f64 = sums.iter().sum();
                sums.iter_mut().for_each(|sum| *sum /= all);
            }
        }
        sums
    }
}

fn regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let targets = node.get_attr::<usize>("n_targets")?;
    ensure!((1..=1_000).contains(&targets), "it has {targets} targets");
    let mut trees = Trees::read(node, "target", targets)?;
    trees.average = match node.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => false,
        "AVERAGE" => true,
        other => bail!("trees joined by {other:?} are not known"),
    };
    Ok((expand(trees), Vec::new()))
}

fn classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let numbers = node.get_attr_opt_slice::<i64>("classlabels_int64s")?.map(<[i64]>::len);
    let texts = node.get_attr_opt_vec::<&str>("classlabels_strings")?.map(|list| list.len());
    let classes = numbers.or(texts).context("it names no classes")?;
    ensure!((2..=1_000).contains(&classes), "it has {classes} classes");
    let mut trees = Trees::read(node, "class", classes)?;
    trees.labelled = true;
    // One score stands for two classes: some exporters let it be the first one's, by number.
    let only = |class: usize| trees.votes.iter().all(|(target, _)| *target == class);
    trees.binary = classes == 2 && (only(0) || only(1));
    if trees.binary {
        trees.votes.iter_mut().for_each(|(target, _)| *target = 1);
    }
    Ok((expand(trees), Vec::new()))
}

impl Expansion for Trees {
    fn name(&self) -> StaticName {
        "Trees".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1 + usize::from(self.labelled))?;
        let scores = &outputs[outputs.len() - 1];
        if self.labelled {
            solver.equals(&outputs[0].datum_type, i64::datum_type())?;
            solver.equals(&outputs[0].rank, 1)?;
            solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        solver.equals(&scores.datum_type, f32::datum_type())?;
        solver.equals(&scores.rank, 2)?;
        solver.equals(&scores.shape[0], &inputs[0].shape[0])?;
        solver.equals(&scores.shape[1], self.targets.to_dim())
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(1 + usize::from(self.labelled))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        ensure!(fact.rank() == 2, "trees look at a table");
        let width = fact.shape[1].to_usize()?;
        ensure!(self.columns <= width, "its trees look at column {} of {width}", self.columns);
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Trees {
    fn name(&self) -> StaticName {
        "Trees".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Trees {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let table = inputs[0].cast_to::<f32>()?;
        let table = table.to_plain_array_view::<f32>()?;
        let width = inputs[0].shape()[1];
        ensure!(self.columns <= width, "its trees look at column {} of {width}", self.columns);
        let flat: Vec<f32> = table.iter().copied().collect();
        let (mut choices, mut scores) = (Vec::new(), Vec::new());
        for row in flat.chunks_exact(width.max(1)) {
            let of_row = self.scores(row);
            let best = of_row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            choices.push(best.map_or(0, |(class, _)| class as i64));
            scores.extend(of_row.into_iter().map(|score| score as f32));
        }
        let rows = choices.len();
        let scores = Tensor::from_shape(&[rows, self.targets], &scores)?.into_tvalue();
        if !self.labelled {
            return Ok(tvec!(scores));
        }
        Ok(tvec!(Tensor::from_shape(&[rows], &choices)?.into_tvalue(), scores))
    }
}

impl TypedOp for Trees {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs[0].shape[0].clone();
        let scores = f32::fact([rows.clone(), self.targets.to_dim()]);
        Ok(if self.labelled { tvec!(i64::fact([rows]), scores) } else { tvec!(scores) })
    }

    as_op!();
}
