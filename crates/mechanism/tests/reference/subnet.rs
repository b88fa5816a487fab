//! The slow, readable twin of the subnets' epoch: dense matrices of exact-enough doubles, one formula per line.
//! It agrees with the fixed-point one to its resolution; bits are the golden vectors' business.

use dodona_mechanism::subnet::epoch::EpochInput;

/// What the twin computes.
pub struct Twin {
    pub consensus: Vec<f64>,
    pub incentive: Vec<f64>,
    pub dividends: Vec<f64>,
    pub trust: Vec<f64>,
}

type Dense = Vec<Vec<f64>>;

fn normalized(values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    if sum == 0.0 { values } else { values.into_iter().map(|value| value / sum).collect() }
}

fn columns_normalized(matrix: &Dense) -> Dense {
    let n = matrix.len();
    let sum = |j: usize| matrix.iter().map(|row| row[j]).sum::<f64>();
    let sums: Vec<f64> = (0..n).map(sum).collect();
    let cell = |i: usize, j: usize| if sums[j] == 0.0 { 0.0 } else { matrix[i][j] / sums[j] };
    (0..n).map(|i| (0..n).map(|j| cell(i, j)).collect()).collect()
}

fn each(n: usize, cell: impl Fn(usize, usize) -> f64) -> Dense {
    (0..n).map(|i| (0..n).map(|j| cell(i, j)).collect()).collect()
}

/// An epoch without liquid alpha.
pub fn epoch(input: &EpochInput) -> Twin {
    let (p, n) = (input.params, input.stake.len());
    let owner = |i: usize| p.owner.map(usize::from) == Some(i);
    let counts = |i: usize| input.stake[i] >= p.stake_threshold || owner(i);
    let stake = normalized((0..n).map(|i| if counts(i) { input.stake[i] as f64 } else { 0.0 }).collect());
    let heard = |i: usize| {
        input.last_update[i].saturating_add(p.activity_cutoff) >= input.block && (input.permit[i] || owner(i))
    };
    let say = normalized((0..n).map(|i| if heard(i) { stake[i] } else { 0.0 }).collect());

    let entry = |rows: &[Vec<(u16, u16)>], i: usize, j: usize| {
        rows[i].iter().find(|entry| usize::from(entry.0) == j).map_or(0.0, |entry| f64::from(entry.1))
    };
    let counted = |i: usize, j: usize| {
        let committed = input.commits.and_then(|commits| commits[i]).unwrap_or(u64::MAX);
        (input.permit[i] || owner(i))
            && (i != j || owner(i))
            && input.last_update[i] > input.registered[j]
            && committed >= input.registered[j]
    };
    let raw = each(n, |i, j| if counted(i, j) { entry(input.weights, i, j) } else { 0.0 });
    let weights: Dense = raw.into_iter().map(normalized).collect();

    let kappa = f64::from(p.kappa) / 65535.0;
    let consensus: Vec<f64> = (0..n)
        .map(|j| {
            let mut levels: Vec<f64> = (0..n).filter(|&i| say[i] > 0.0).map(|i| weights[i][j]).collect();
            levels.sort_by(f64::total_cmp);
            let support =
                |level: f64| (0..n).filter(|&i| weights[i][j] >= level).map(|i| say[i]).sum::<f64>();
            levels.into_iter().rev().find(|&level| support(level) >= kappa).unwrap_or(0.0)
        })
        .collect();
    let clipped = each(n, |i, j| weights[i][j].min(consensus[j]));
    let trust = clipped.iter().map(|row| row.iter().sum()).collect();
    let rank = |j: usize| (0..n).map(|i| say[i] * clipped[i][j]).sum();
    let incentive = normalized((0..n).map(rank).collect());

    let beta = f64::from(p.bonds_penalty) / 65535.0;
    let goal = each(n, |i, j| weights[i][j] + beta * (clipped[i][j] - weights[i][j]));
    let horizon =
        if input.last_step == 0 { input.block.saturating_sub(p.tempo) } else { input.last_step + 1 };
    let old =
        each(n, |i, j| if input.registered[j] < horizon { entry(input.bonds, i, j) / 65535.0 } else { 0.0 });
    let alpha = 1.0 - f64::from(p.bonds.moving_average) / 1e6;
    let mixed = |new: &Dense, old: &Dense| each(n, |i, j| alpha * new[i][j] + (1.0 - alpha) * old[i][j]);
    let earned = |shares: &Dense, i: usize| (0..n).map(|j| shares[i][j] * incentive[j]).sum::<f64>();
    let dividends = if p.bonds.yuma3 {
        let shares = columns_normalized(&mixed(&goal, &old));
        (0..n).map(|i| say[i] * earned(&shares, i)).collect()
    } else {
        let new = columns_normalized(&each(n, |i, j| goal[i][j] * say[i]));
        let shares = columns_normalized(&mixed(&new, &columns_normalized(&old)));
        (0..n).map(|i| earned(&shares, i)).collect()
    };
    Twin { consensus, incentive, dividends: normalized(dividends), trust }
}
