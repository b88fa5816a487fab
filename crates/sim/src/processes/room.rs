//! A small file system of its own under a node's home, which can be filled to the last byte and freed again. It takes the
//! rights to mount one; where we have none, the fault is left out and said to be.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Room of the file system beside what the home has, bytes.
const SPARE: u64 = 48 << 20;
/// What fills the rest.
const BALLAST: &str = "ballast";

/// A home on a file system of its own; gone with this, and the home is what it was before.
pub(super) struct Room {
    home: PathBuf,
    /// The home as it is without the file system.
    aside: PathBuf,
    mounted: bool,
}

/// Whether file systems can be mounted here.
pub(super) fn possible() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    mount(dir.path(), 1 << 20).map_err(|e| format!("no small file system can be mounted: {e}"))?;
    unmount(dir.path()).map_err(|e| e.to_string())
}

fn told(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_string())),
    }
}

fn mount(at: &Path, bytes: u64) -> io::Result<()> {
    told(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(at))
}

fn unmount(at: &Path) -> io::Result<()> {
    told(Command::new("umount").arg(at))
}

/// Copies the files of a folder, and the folders in it.
fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            bytes += copy(&entry.path(), &target)?;
        } else {
            bytes += fs::copy(entry.path(), &target)?;
        }
    }
    Ok(bytes)
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

impl Room {
    /// Moves the home of a node that is down to a file system of its own.
    pub fn around(home: &Path) -> io::Result<Self> {
        let aside = home.with_extension("aside");
        let bytes = size(home)? + SPARE;
        fs::rename(home, &aside)?;
        fs::create_dir(home)?;
        let mut room = Self { home: home.to_path_buf(), aside, mounted: false };
        mount(home, bytes)?;
        room.mounted = true;
        copy(&room.aside, home)?;
        Ok(room)
    }

    /// Takes all that is left.
    pub fn fill(&self) -> io::Result<()> {
        let mut ballast = File::create(self.home.join(BALLAST))?;
        for piece in [1 << 16, 1 << 10, 1] {
            let zeros = vec![0; piece];
            while ballast.write_all(&zeros).is_ok() {}
        }
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.home.join(BALLAST))
    }

    /// Moves the home back, as it is now.
    pub fn dissolve(mut self) -> io::Result<()> {
        fs::remove_dir_all(&self.aside)?;
        fs::create_dir(&self.aside)?;
        copy(&self.home, &self.aside)?;
        self.undo()
    }

    fn undo(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.mounted) {
            unmount(&self.home)?;
        }
        fs::remove_dir(&self.home)?;
        fs::rename(&self.aside, &self.home)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.aside.exists() {
            // Left in disorder there is nothing better to do: the folder is named in the error of the soak.
            let _ = self.undo();
        }
    }
}
