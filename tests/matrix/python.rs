//! What the Python servers of the matrix share.

use super::common::{python, servers};
use super::place::Place;
use std::process::Command;

/// A program of the virtual environment, with the applications on its path.
pub fn program(place: &Place, name: &str) -> Command {
    // The script and not `python -m`: the kernel names the process after it.
    let mut command = Command::new(python().with_file_name(name));
    command.env("PYTHONPATH", servers()).env("SITE", &place.site).env("PYTHONUNBUFFERED", "1");
    command
}

/// `gunicorn 23.0.0, Python 3.11.7`: the versions that the interpreter itself knows of these packages.
pub fn versions(packages: &[&str]) -> String {
    let ask = "import importlib.metadata as m, platform, sys
print(*[f'{name} {m.version(name)}' for name in sys.argv[1:]], f'Python {platform.python_version()}', sep=', ')";
    let output = Command::new(python()).arg("-c").arg(ask).args(packages).output().expect("python");
    String::from_utf8(output.stdout).expect("versions")
}
