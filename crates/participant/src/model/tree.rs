//! A small regression tree of fixed depth, grown on values sorted into bins, and the boosting of many of them.
//! No randomness anywhere: the same rows give the same forest.

/// Levels of questions; a tree has 2^DEPTH leaves.
const DEPTH: usize = 3;
const LEAVES: usize = 1 << DEPTH;
/// Bins per feature.
const BINS: usize = 24;
/// Trees in a forest.
const TREES: usize = 60;
/// Share of each tree's answer that is used, so that later trees can correct it.
const STEP: f64 = 0.1;
/// Weight with which every leaf is pulled to 0, in rows.
const PULL: f64 = 4.0;
/// Fewest rows on either side of a question.
const FEWEST: f64 = 5.0;

/// Asks `feature > threshold?` at each level; the node of level l with answers b₁…b_l is 2^l − 1 + b₁…b_l.
#[derive(Debug, Clone, Copy)]
struct Tree<const F: usize> {
    questions: [(usize, f64); LEAVES - 1],
    answers: [f64; LEAVES],
}

/// Trees that add up.
#[derive(Debug, Clone)]
pub(super) struct Forest<const F: usize> {
    trees: Vec<Tree<F>>,
}

impl<const F: usize> Forest<F> {
    /// Boosts trees for squared loss; `rows` and `targets` are equally long and finite.
    pub(super) fn grow(rows: &[[f64; F]], targets: &[f64]) -> Self {
        let edges: Vec<Vec<f64>> = (0..F).map(|feature| edges(rows, feature)).collect();
        let binned: Vec<[u8; F]> = rows
            .iter()
            .map(|row| std::array::from_fn(|f| edges[f].partition_point(|edge| *edge < row[f]) as u8))
            .collect();
        let mut residuals = targets.to_vec();
        let mut nodes = vec![0; rows.len()];
        let trees = (0..TREES).map(|_| Tree::grow(&binned, &edges, &mut residuals, &mut nodes)).collect();
        Self { trees }
    }

    /// The sum of all trees' answers.
    pub(super) fn predict(&self, row: &[f64; F]) -> f64 {
        self.trees.iter().map(|tree| tree.predict(row)).sum()
    }
}

impl<const F: usize> Tree<F> {
    /// Grows one tree on the residuals and takes its answers off them. `nodes` is scratch, one cell per row.
    fn grow(binned: &[[u8; F]], edges: &[Vec<f64>], residuals: &mut [f64], nodes: &mut [usize]) -> Self {
        // A question with an infinite threshold sends every row to the left.
        let mut questions = [(0, f64::INFINITY); LEAVES - 1];
        nodes.fill(0);
        for level in 0..DEPTH {
            let width = 1 << level;
            let mut sums = [[[(0.0, 0.0); BINS]; F]; LEAVES / 2];
            for ((row, residual), node) in binned.iter().zip(&*residuals).zip(&*nodes) {
                for (feature, bin) in row.iter().enumerate() {
                    let cell: &mut (f64, f64) = &mut sums[*node][feature][usize::from(*bin)];
                    cell.0 += residual;
                    cell.1 += 1.0;
                }
            }
            let splits: [Option<(usize, usize)>; LEAVES / 2] =
                std::array::from_fn(|node| best_split(&sums[node], edges));
            for node in 0..width {
                if let Some((feature, bin)) = splits[node] {
                    questions[width - 1 + node] = (feature, edges[feature][bin]);
                }
            }
            for (row, node) in binned.iter().zip(&mut *nodes) {
                let right = splits[*node].is_some_and(|(feature, bin)| usize::from(row[feature]) > bin);
                *node = 2 * *node + usize::from(right);
            }
        }

        let mut leaves = [(0.0, 0.0); LEAVES];
        for (residual, node) in residuals.iter().zip(&*nodes) {
            leaves[*node].0 += residual;
            leaves[*node].1 += 1.0;
        }
        let answers = leaves.map(|(sum, count)| STEP * sum / (count + PULL));
        for (residual, node) in residuals.iter_mut().zip(&*nodes) {
            *residual -= answers[*node];
        }
        Self { questions, answers }
    }

    fn predict(&self, row: &[f64; F]) -> f64 {
        let mut node = 0;
        for level in 0..DEPTH {
            let (feature, threshold) = self.questions[(1 << level) - 1 + node];
            node = 2 * node + usize::from(row[feature] > threshold);
        }
        self.answers[node]
    }
}

/// The question that explains most of the squares, as feature and last bin on the left; `None` if none helps.
fn best_split<const F: usize>(sums: &[[(f64, f64); BINS]; F], edges: &[Vec<f64>]) -> Option<(usize, usize)> {
    let total = sums[0].iter().fold((0.0, 0.0), |all, cell| (all.0 + cell.0, all.1 + cell.1));
    let worth = |sum: f64, count: f64| sum * sum / (count + PULL);
    let mut best = None;
    let mut most = worth(total.0, total.1) * (1.0 + 1e-9);
    for (feature, bins) in sums.iter().enumerate() {
        let mut left = (0.0, 0.0);
        for (bin, cell) in bins.iter().enumerate().take(edges[feature].len()) {
            left = (left.0 + cell.0, left.1 + cell.1);
            let right = (total.0 - left.0, total.1 - left.1);
            let gain = worth(left.0, left.1) + worth(right.0, right.1);
            if left.1 >= FEWEST && right.1 >= FEWEST && gain > most {
                most = gain;
                best = Some((feature, bin));
            }
        }
    }
    best
}

/// At most BINS − 1 values that cut a feature into equally full bins; strictly increasing, the largest left out.
fn edges<const F: usize>(rows: &[[f64; F]], feature: usize) -> Vec<f64> {
    let mut values: Vec<f64> = rows.iter().map(|row| row[feature]).collect();
    values.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..BINS).map(|cut| values[cut * values.len() / BINS]).collect();
    edges.dedup();
    edges.retain(|edge| values.last().is_some_and(|largest| edge < largest));
    edges
}
