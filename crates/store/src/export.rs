//! A whole version as chunks, and back. A chunk is a complete subtree: all entries whose key hash begins with
//! some bits. The list of chunks names the hash of every subtree, so that it is checked against a root at once, and
//! each chunk alone against the list, in any order, from anybody: a lie is found in the first chunk that has it.

use crate::engine::Staging;
use crate::proof::{bit, inner_node_hash, key_hash, value_hash};
use crate::tree::Tree;
use crate::{Hash, Read, RecordChange, Snapshot, Store, StoreError};
use borsh::{BorshDeserialize, BorshSerialize};
use std::io;
use thiserror::Error;

/// Largest chunk of more than one entry, bytes.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Largest chunk at all: one entry whose value alone is larger than [`MAX_CHUNK_BYTES`].
pub const MAX_ENTRY_BYTES: usize = 16 << 20;
/// Most chunks of a list.
pub const MAX_CHUNKS: usize = 1 << 17;

/// What a chunk has at most, unless somebody wants it otherwise.
const USUAL_BYTES: usize = 512 << 10;
/// What is held in memory while chunks are cut, unless a single place of the tree has more.
const HELD_BYTES: u64 = 32 << 20;
/// Bits of a key hash by which sizes are counted before anything is cut.
const COUNTED_BITS: usize = 16;

/// One entry: raw key and value.
type Entry = (Vec<u8>, Vec<u8>);

/// One chunk of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Piece {
    /// Depth of the subtree: how many bits its key hashes share. With the chunks before it, this says which.
    pub depth: u16,
    /// Hash of the subtree's root; [`crate::EMPTY_ROOT`] if it has no entry.
    pub hash: Hash,
    /// Length of the chunk.
    pub bytes: u32,
}

/// The chunks of a version, in the order of key hashes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Manifest {
    /// They cover the tree without gap or overlap.
    pub pieces: Vec<Piece>,
}

/// Why a version cannot be brought in.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The list of chunks is none, or one of another state.
    #[error("the list of chunks does not lead to the state root")]
    Manifest,
    /// A chunk is not the one in the list.
    #[error("chunk {index} is not the one that the state root commits to")]
    Chunk {
        /// Its place in the list.
        index: usize,
    },
    /// A chunk was never brought.
    #[error("chunk {index} is missing")]
    Missing {
        /// Its place in the list.
        index: usize,
    },
    /// A version is only brought into a store without any.
    #[error("the store is not empty: it is at version {version}")]
    NotEmpty {
        /// Where it is.
        version: u64,
    },
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Manifest {
    /// Checks that the chunks are exactly the state with this root.
    ///
    /// # Errors
    /// [`ImportError::Manifest`].
    pub fn check(&self, root: &Hash) -> Result<(), ImportError> {
        let sizes_ok = self.pieces.iter().all(|piece| piece.bytes as usize <= MAX_ENTRY_BYTES);
        let prefixes = self.prefixes().filter(|_| sizes_ok).ok_or(ImportError::Manifest)?;
        let (mut next, mut hash) = (0, |piece: usize| self.pieces[piece].hash);
        let found = fold(&prefixes, &mut next, 0, &mut hash, &mut |l, r| inner_node_hash(&l, &r));
        if found == *root { Ok(()) } else { Err(ImportError::Manifest) }
    }

    /// Sum of the chunks' lengths.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.bytes)).sum()
    }

    /// Checks a chunk against the list. The list itself is to be checked first.
    ///
    /// # Errors
    /// [`ImportError::Chunk`].
    pub fn check_chunk(&self, index: usize, bytes: &[u8]) -> Result<(), ImportError> {
        let prefixes = self.prefixes().ok_or(ImportError::Manifest)?;
        self.open(&prefixes, index, bytes).map(drop)
    }

    /// Entries and subtree of a chunk.
    fn open(
        &self,
        prefixes: &[Prefix],
        index: usize,
        bytes: &[u8],
    ) -> Result<(Vec<Entry>, Tree), ImportError> {
        let wrong = || ImportError::Chunk { index };
        let (piece, prefix) = self.pieces.get(index).zip(prefixes.get(index)).ok_or_else(wrong)?;
        if bytes.len() != piece.bytes as usize {
            return Err(wrong());
        }
        let entries: Vec<Entry> = borsh::from_slice(bytes).map_err(|_| wrong())?;
        if entries.len() > 1 && bytes.len() > MAX_CHUNK_BYTES {
            return Err(wrong());
        }
        let leaves: Vec<(Hash, Hash)> =
            entries.iter().map(|(key, value)| (key_hash(key), value_hash(value))).collect();
        let ordered = leaves.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !ordered || !leaves.iter().all(|(key_hash, _)| prefix.begins(key_hash)) {
            return Err(wrong());
        }
        let tree = Tree::build_at(&leaves, prefix.depth);
        if tree.root() == piece.hash { Ok((entries, tree)) } else { Err(wrong()) }
    }

    /// The bits that each chunk stands for; none if the depths do not cover the tree exactly once.
    fn prefixes(&self) -> Option<Vec<Prefix>> {
        if self.pieces.len() > MAX_CHUNKS {
            return None;
        }
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(self.pieces.len());
        let mut here = Some(Prefix { bits: [0; 32], depth: 0 });
        for piece in &self.pieces {
            // The first place not covered yet, and as far below it to the left as the chunk lies.
            let place = here?;
            let depth = usize::from(piece.depth);
            if depth < place.depth || depth > 256 {
                return None;
            }
            let found = Prefix { bits: place.bits, depth };
            here = found.after();
            prefixes.push(found);
        }
        here.is_none().then_some(prefixes)
    }
}

/// The first `depth` bits of key hashes; the others are 0.
#[derive(Clone, Copy)]
struct Prefix {
    bits: Hash,
    depth: usize,
}

impl Prefix {
    fn begins(&self, hash: &Hash) -> bool {
        (0..self.depth).all(|at| bit(hash, at) == bit(&self.bits, at))
    }

    /// The largest place that begins right after this one; none after the last.
    fn after(mut self) -> Option<Prefix> {
        while self.depth > 0 {
            let at = self.depth - 1;
            let mask = 1 << (7 - at % 8);
            let was_right = self.bits[at / 8] & mask != 0;
            if !was_right {
                self.bits[at / 8] |= mask;
                return Some(self);
            }
            self.bits[at / 8] &= !mask;
            self.depth = at;
        }
        None
    }
}

/// Joins what stands for the chunks to what stands for the root. The prefixes cover the tree, so that the walk ends.
fn fold<T>(
    prefixes: &[Prefix],
    next: &mut usize,
    depth: usize,
    piece: &mut impl FnMut(usize) -> T,
    join: &mut impl FnMut(T, T) -> T,
) -> T {
    if prefixes[*next].depth == depth {
        *next += 1;
        return piece(*next - 1);
    }
    let left = fold(prefixes, next, depth + 1, piece, join);
    let right = fold(prefixes, next, depth + 1, piece, join);
    join(left, right)
}

/// A version about to be cut into chunks. It stays readable however far the store moves on.
pub struct Export {
    snapshot: Snapshot,
    tree: Tree,
    chunk_bytes: usize,
}

impl Export {
    /// The version.
    pub fn version(&self) -> u64 {
        self.snapshot.version().unwrap_or(0)
    }

    /// Its root.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The values themselves.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Cuts smaller chunks than usual: of at most so many bytes (1 to [`MAX_CHUNK_BYTES`]), except for single entries.
    pub fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes.clamp(1, MAX_CHUNK_BYTES);
        self
    }

    /// Gives the chunks to `sink`, in order, and returns their list. Reads all values once for every 32 MiB of them,
    /// and holds about so much in memory.
    ///
    /// # Errors
    /// Those of the store, and [`StoreError::Io`] of the sink.
    pub fn write(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<Manifest, StoreError> {
        let mut sizes = vec![0u64; 1 << COUNTED_BITS];
        self.snapshot.scan(&[], &mut |key, value| {
            let hash = key_hash(key);
            sizes[usize::from(u16::from_be_bytes([hash[0], hash[1]]))] += entry_bytes(key, value) as u64;
            true
        })?;
        let mut manifest = Manifest { pieces: Vec::new() };
        self.walk(&self.tree, 0, &sizes, 0, &mut |depth, tree, entries| {
            let bytes = borsh::to_vec(entries)?;
            if bytes.len() > MAX_ENTRY_BYTES || manifest.pieces.len() == MAX_CHUNKS {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
            }
            let (depth, length) = (depth as u16, bytes.len() as u32);
            manifest.pieces.push(Piece { depth, hash: tree.root(), bytes: length });
            Ok(sink(&bytes)?)
        })?;
        Ok(manifest)
    }

    /// Descends until what is below a place can be held in memory. `sizes` are those of the place, which begins at
    /// the counted bits `first`.
    fn walk(
        &self,
        tree: &Tree,
        depth: usize,
        sizes: &[u64],
        first: usize,
        emit: &mut Emit<'_>,
    ) -> Result<(), StoreError> {
        if let Some((left, right)) = tree.children()
            && sizes.len() > 1
            && sizes.iter().sum::<u64>() > HELD_BYTES
        {
            let (low, high) = sizes.split_at(sizes.len() / 2);
            self.walk(left, depth + 1, low, first, emit)?;
            return self.walk(right, depth + 1, high, first + low.len(), emit);
        }
        let mut held: Vec<(Hash, Entry)> = Vec::new();
        self.snapshot.scan(&[], &mut |key, value| {
            let hash = key_hash(key);
            let place = usize::from(u16::from_be_bytes([hash[0], hash[1]]));
            if (first..first + sizes.len()).contains(&place) {
                held.push((hash, (key.to_vec(), value.to_vec())));
            }
            true
        })?;
        held.sort_unstable_by_key(|(hash, _)| *hash);
        let (hashes, entries): (Vec<Hash>, Vec<Entry>) = held.into_iter().unzip();
        self.cut(tree, depth, &hashes, &entries, emit)
    }

    /// Cuts what is held into chunks.
    fn cut(
        &self,
        tree: &Tree,
        depth: usize,
        hashes: &[Hash],
        entries: &[Entry],
        emit: &mut Emit<'_>,
    ) -> Result<(), StoreError> {
        let bytes: usize = 4 + entries.iter().map(|(key, value)| entry_bytes(key, value)).sum::<usize>();
        match tree.children() {
            Some((left, right)) if bytes > self.chunk_bytes => {
                let middle = hashes.partition_point(|hash| !bit(hash, depth));
                self.cut(left, depth + 1, &hashes[..middle], &entries[..middle], emit)?;
                self.cut(right, depth + 1, &hashes[middle..], &entries[middle..], emit)
            }
            _ => emit(depth, tree, entries),
        }
    }
}

type Emit<'a> = dyn FnMut(usize, &Tree, &[Entry]) -> Result<(), StoreError> + 'a;

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// Length of an entry in a chunk.
fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    8 + key.len() + value.len()
}

/// A version being brought into an empty store. Nothing of it can be seen before [`Import::finish`], and nothing
/// stays if it is dropped before. Nothing else can be written meanwhile: a commit waits.
pub struct Import {
    store: Store,
    manifest: Manifest,
    prefixes: Vec<Prefix>,
    trees: Vec<Option<Tree>>,
    staging: Box<dyn Staging>,
}

impl Import {
    pub(crate) fn new(
        store: Store,
        manifest: Manifest,
        root: &Hash,
        staging: Box<dyn Staging>,
    ) -> Result<Self, ImportError> {
        manifest.check(root)?;
        let prefixes = manifest.prefixes().ok_or(ImportError::Manifest)?;
        let trees = vec![None; prefixes.len()];
        Ok(Self { store, manifest, prefixes, trees, staging })
    }

    /// The list of chunks.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes a chunk in, in any order. Twice does no harm.
    ///
    /// # Errors
    /// [`ImportError::Chunk`]: nothing was taken, another chunk may be tried in its place.
    pub fn put(&mut self, index: usize, bytes: &[u8]) -> Result<(), ImportError> {
        let (entries, tree) = self.manifest.open(&self.prefixes, index, bytes)?;
        if self.trees[index].is_none() {
            self.staging.put(entries)?;
            self.trees[index] = Some(tree);
        }
        Ok(())
    }

    /// Makes the version the store's first, with the records that belong to it, in one durable step.
    ///
    /// # Errors
    /// [`ImportError::Missing`], and those of the disk.
    pub fn finish(self, version: u64, records: Vec<RecordChange>) -> Result<(), ImportError> {
        let Self { store, prefixes, trees, staging, .. } = self;
        let mut all = Vec::with_capacity(trees.len());
        for (index, tree) in trees.into_iter().enumerate() {
            all.push(tree.ok_or(ImportError::Missing { index })?);
        }
        let mut piece = |index: usize| std::mem::take(&mut all[index]);
        let tree = fold(&prefixes, &mut 0, 0, &mut piece, &mut Tree::join);
        Ok(store.install(version, tree, staging, records)?)
    }
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let there = self.trees.iter().filter(|tree| tree.is_some()).count();
        f.debug_struct("Import")
            .field("chunks", &self.trees.len())
            .field("there", &there)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A kept version, to be cut into chunks; [`StoreError::UnknownVersion`] for any other.
    pub fn export(&self, version: u64) -> Result<Export, StoreError> {
        let (tree, snapshot) = (self.tree_at(version)?, self.snapshot_at(version)?);
        Ok(Export { snapshot, tree, chunk_bytes: USUAL_BYTES })
    }

    /// Begins to bring a version with this root into the store, which must be empty.
    ///
    /// # Errors
    /// [`ImportError::NotEmpty`], [`ImportError::Manifest`] and those of the disk.
    pub fn import(&self, manifest: Manifest, root: &Hash) -> Result<Import, ImportError> {
        if let Some(version) = self.version() {
            return Err(ImportError::NotEmpty { version });
        }
        Import::new(self.clone(), manifest, root, self.staging()?)
    }
}
