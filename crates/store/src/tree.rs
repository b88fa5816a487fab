//! The tree in memory: a sparse Merkle tree whose root and proofs equal the Jellyfish Merkle tree's.
//! It is persistent: a change makes new nodes along its paths and shares the rest, so several candidate
//! trees and the trees of old versions live side by side for the price of their differences.

use crate::Hash;
use crate::proof::{EMPTY_ROOT, LeafHashes, Proof, bit, inner_node_hash, leaf_node_hash};
use std::sync::Arc;

/// A leaf: key hash and hash of the new value, or `None` to remove it.
pub(crate) type LeafChange = (Hash, Option<Hash>);

/// One version of the tree; cloning is cheap. About 210 bytes per key, and per version about 90 bytes for
/// every node on the changed paths.
#[derive(Clone, Default)]
pub(crate) enum Tree {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

pub(crate) struct Leaf {
    hash: Hash,
    of: LeafHashes,
}

pub(crate) struct Inner {
    hash: Hash,
    left: Tree,
    right: Tree,
}

impl Tree {
    /// A tree of these leaves (key hash, value hash), sorted by key hash and unique.
    #[cfg(feature = "disk")]
    pub(crate) fn build(leaves: &[(Hash, Hash)]) -> Tree {
        build(leaves, 0)
    }

    /// A subtree at `depth` of these leaves, which share so many bits.
    pub(crate) fn build_at(leaves: &[(Hash, Hash)], depth: usize) -> Tree {
        build(leaves, depth)
    }

    /// What is below, left and right; none below a leaf or an empty place.
    pub(crate) fn children(&self) -> Option<(&Tree, &Tree)> {
        match self {
            Tree::Inner(inner) => Some((&inner.left, &inner.right)),
            Tree::Empty | Tree::Leaf(_) => None,
        }
    }

    /// The tree above two subtrees.
    pub(crate) fn join(left: Tree, right: Tree) -> Tree {
        join(left, right)
    }

    /// Root hash.
    pub(crate) fn root(&self) -> Hash {
        match self {
            Tree::Empty => EMPTY_ROOT,
            Tree::Leaf(leaf) => leaf.hash,
            Tree::Inner(inner) => inner.hash,
        }
    }

    /// The tree after these changes, sorted by key hash and unique; `self` stays as it is.
    pub(crate) fn apply(&self, changes: &[LeafChange]) -> Tree {
        apply(self, changes, 0)
    }

    /// The proof of the value (or absence) of a key hash.
    pub(crate) fn prove(&self, key_hash: &Hash) -> Proof {
        let mut siblings = Vec::with_capacity(32);
        let mut here = self;
        while let Tree::Inner(inner) = here {
            let (next, beside) = match bit(key_hash, siblings.len()) {
                false => (&inner.left, &inner.right),
                true => (&inner.right, &inner.left),
            };
            siblings.push(beside.root());
            here = next;
        }
        siblings.reverse();
        let other = match here {
            Tree::Leaf(leaf) if leaf.of.key_hash != *key_hash => Some(leaf.of),
            _ => None,
        };
        Proof { siblings, other }
    }
}

fn leaf(key_hash: Hash, value_hash: Hash) -> Tree {
    let hash = leaf_node_hash(&key_hash, &value_hash);
    Tree::Leaf(Arc::new(Leaf { hash, of: LeafHashes { key_hash, value_hash } }))
}

/// A lone leaf rises to the place where its path is first its own; everything else is an inner node.
fn join(left: Tree, right: Tree) -> Tree {
    match (&left, &right) {
        (Tree::Empty, Tree::Empty | Tree::Leaf(_)) => right,
        (Tree::Leaf(_), Tree::Empty) => left,
        _ => {
            let hash = inner_node_hash(&left.root(), &right.root());
            Tree::Inner(Arc::new(Inner { hash, left, right }))
        }
    }
}

fn build(leaves: &[(Hash, Hash)], depth: usize) -> Tree {
    match leaves {
        [] => Tree::Empty,
        [(key_hash, value_hash)] => leaf(*key_hash, *value_hash),
        _ => {
            let middle = leaves.partition_point(|(key_hash, _)| !bit(key_hash, depth));
            let (left, right) = leaves.split_at(middle);
            join(build(left, depth + 1), build(right, depth + 1))
        }
    }
}

fn apply(tree: &Tree, changes: &[LeafChange], depth: usize) -> Tree {
    match (tree, changes) {
        (_, []) => tree.clone(),
        (Tree::Empty, _) => build(&kept(changes), depth),
        // By far the most frequent change: a new value under a key that stays.
        (Tree::Leaf(old), [(key_hash, Some(value_hash))]) if old.of.key_hash == *key_hash => {
            if old.of.value_hash == *value_hash { tree.clone() } else { leaf(*key_hash, *value_hash) }
        }
        (Tree::Leaf(old), _) => {
            let LeafHashes { key_hash, value_hash } = old.of;
            let mut leaves = kept(changes);
            match changes.binary_search_by(|(changed, _)| changed.cmp(&key_hash)) {
                Ok(_) => {}
                Err(_) if leaves.is_empty() => return tree.clone(),
                Err(_) => {
                    let at = leaves.partition_point(|(other, _)| *other < key_hash);
                    leaves.insert(at, (key_hash, value_hash));
                }
            }
            build(&leaves, depth)
        }
        (Tree::Inner(inner), _) => {
            let middle = changes.partition_point(|(key_hash, _)| !bit(key_hash, depth));
            let (left, right) = changes.split_at(middle);
            let (left, right) = (apply(&inner.left, left, depth + 1), apply(&inner.right, right, depth + 1));
            if left.is(&inner.left) && right.is(&inner.right) {
                return tree.clone();
            }
            join(left, right)
        }
    }
}

impl Tree {
    /// Whether both are the same node in memory.
    fn is(&self, other: &Tree) -> bool {
        match (self, other) {
            (Tree::Empty, Tree::Empty) => true,
            (Tree::Leaf(one), Tree::Leaf(two)) => Arc::ptr_eq(one, two),
            (Tree::Inner(one), Tree::Inner(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

fn kept(changes: &[LeafChange]) -> Vec<(Hash, Hash)> {
    changes.iter().filter_map(|(key_hash, value_hash)| Some((*key_hash, (*value_hash)?))).collect()
}
