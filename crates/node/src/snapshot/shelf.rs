//! Where a node keeps its snapshots: one folder, a file per height, the newest few. Also the source from which others
//! are served.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use dodona_chain::App;

use super::{
    Head, Offer, Reader, SnapshotError, SnapshotSource, create, failed,
    file::{RANGE_BYTES, read_range},
};

/// How the name of a snapshot ends.
const EXTENSION: &str = "snap";

/// A folder of snapshots.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// The folder, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// That of a home.
    pub fn of_home(home: &Path) -> Self {
        Self::new(home.join("snapshots"))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the snapshot of a height lies, if it is there.
    pub fn path(&self, height: u64) -> PathBuf {
        self.dir.join(format!("{height:012}.{EXTENSION}"))
    }

    /// Heights with a snapshot, ascending.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]; a folder that does not exist is empty.
    pub fn heights(&self) -> Result<Vec<u64>, SnapshotError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(failed("cannot read", &self.dir)(cause)),
        };
        let mut heights = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("cannot read", &self.dir))?.path();
            let number = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if let Some(height) = number
                && self.path(height) == path
            {
                heights.push(height);
            }
        }
        heights.sort_unstable();
        Ok(heights)
    }

    /// The head of a snapshot and its length, as they are in the file.
    ///
    /// # Errors
    /// Those of [`Reader::head`].
    pub fn head(&self, height: u64) -> Result<(Head, u64), SnapshotError> {
        let mut reader = Reader::open(&self.path(height))?;
        let bytes = reader.bytes();
        Ok((reader.head()?, bytes))
    }

    /// Makes the snapshot of a height and lets go of all but the newest `keep`; 0 keeps all.
    ///
    /// # Errors
    /// Those of [`create`].
    pub fn add(&self, app: &App, height: u64, keep: usize) -> Result<Head, SnapshotError> {
        self.make_folder()?;
        let head = create(app, height, &self.path(height))?;
        self.keep(keep)?;
        Ok(head)
    }

    pub(super) fn make_folder(&self) -> Result<(), SnapshotError> {
        fs::create_dir_all(&self.dir).map_err(failed("cannot make", &self.dir))
    }

    /// Lets go of all but the newest so many; 0 keeps all.
    pub(super) fn keep(&self, keep: usize) -> Result<(), SnapshotError> {
        let heights = self.heights()?;
        let surplus = if keep == 0 { 0 } else { heights.len().saturating_sub(keep) };
        for height in &heights[..surplus] {
            let path = self.path(*height);
            fs::remove_file(&path).map_err(failed("cannot remove", &path))?;
        }
        Ok(())
    }
}

impl SnapshotSource for Shelf {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn list(&self) -> Result<Vec<Offer>, SnapshotError> {
        let mut offers = Vec::new();
        for height in self.heights()? {
            // A file that cannot be served is not offered; the others still are.
            if let Ok((_, bytes)) = self.head(height) {
                offers.push(Offer { height, bytes });
            }
        }
        Ok(offers)
    }

    fn read(&self, height: u64, offset: u64, length: usize) -> Result<Vec<u8>, SnapshotError> {
        let path = self.path(height);
        let mut file = fs::File::open(&path).map_err(failed("cannot open", &path))?;
        let bytes = file.metadata().map_err(failed("cannot read", &path))?.len();
        if length > RANGE_BYTES || offset.checked_add(length as u64).is_none_or(|end| end > bytes) {
            return Err(SnapshotError::Form("there is no such part of it"));
        }
        read_range(&mut file, offset, length).map_err(failed("cannot read", &path))
    }
}
