//! The packages: each file alone, installed where nothing else of this project is, and used there.

mod common;
#[path = "common/release.rs"]
mod release;

use common::http::get;
use common::log::Log;
use common::process::{children, clean_environment, end_with_this_test, send_signal};
use common::{LIMIT, python, root, servers, wait_within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// All packages, made by scripts/package for this test alone.
struct Packages(TempDir);

impl Packages {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        finish(Command::new(root().join("scripts/package")).arg(directory.path()).stderr(Stdio::inherit()));
        Self(directory)
    }

    fn with_ending(&self, ending: &str) -> PathBuf {
        let files = std::fs::read_dir(self.0.path()).expect("the packages");
        let mut paths = files.map(|file| file.expect("a file").path());
        paths.find(|path| path.to_string_lossy().ends_with(ending)).unwrap_or_else(|| panic!("no {ending}"))
    }
}

/// Runs a program to its good end; its stdout.
fn finish(command: &mut Command) -> String {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|problem| panic!("{name}: {problem}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{stdout}{stderr}", output.status);
    stdout
}

/// Where a package is installed.
enum Place {
    /// A Debian system of its own, which nothing was done to but its installation.
    Debian(TempDir),
    /// A virtual environment of Python.
    Environment(TempDir),
}

impl Place {
    fn debian() -> Self {
        let fresh = release::path_from("scripts/roots").join("bookworm");
        let place = Self::Debian(tempfile::tempdir().expect("a temporary directory"));
        finish(Command::new("cp").args(["--archive", "--no-target-directory"]).arg(fresh).arg(place.path()));
        // What the test looks for are files that this would leave out.
        std::fs::remove_file(place.path().join("etc/dpkg/dpkg.cfg.d/quick")).expect("dpkg's configuration");
        place
    }

    fn environment() -> Self {
        let place = Self::Environment(tempfile::tempdir().expect("a temporary directory"));
        finish(Command::new(python()).args(["-m", "venv"]).arg(place.path()));
        place
    }

    fn path(&self) -> &Path {
        let (Self::Debian(directory) | Self::Environment(directory)) = self;
        directory.path()
    }

    /// A program of this place, found as its users find it.
    fn command(&self, program: &str) -> Command {
        let mut command;
        match self {
            Self::Debian(directory) => {
                // With a /proc that goes with the program.
                command = Command::new("unshare");
                clean_environment(&mut command).arg("--mount-proc").arg("--root").arg(directory.path());
                command.args(["--wd", "/srv"]).arg(program);
                command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
            }
            Self::Environment(directory) => {
                command = Command::new(directory.path().join("bin").join(program));
                clean_environment(&mut command).current_dir(directory.path().join("srv"));
                // As `bin/activate` does.
                let path = std::env::var("PATH").expect("PATH");
                command.env("PATH", format!("{}:{path}", directory.path().join("bin").display()));
            }
        }
        command
    }

    /// The command starts a gunicorn under the library, which counts and trims, and the command shows that; and it goes on while the
    /// package is installed anew.
    #[track_caller]
    fn assert_serves(&self, install_again: impl FnOnce()) {
        let directory = self.path().join("srv");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::copy(servers().join("hello.py"), directory.join("app.py")).expect("a copy");
        let mut command = self.command("autotrim");
        command.args(["run", "--interval=5", "--growth=0", "--idle=0", "--log=debug", "--"]);
        command.args(["gunicorn", "--bind=127.0.0.1:0", "--workers=1", "app:wsgi"]);
        let server = Server::start(&mut command, &directory.join("stderr"));
        for _ in 0..20 {
            assert_eq!(get(server.port, "/").text(), "hello");
        }
        let worker = children(server.child.id())[0].to_string();
        // The last is counted a moment after its answer; a trim comes when the worker waits and five were answered.
        wait_within(LIMIT, "20 requests and a trim in `autotrim status`", || {
            let shown = finish(self.command("autotrim").args(["status", "--json", &worker]));
            let shown: Value = serde_json::from_str(&shown).expect("JSON");
            let process = &shown["processes"][0];
            (process["requests"] == 20 && process["trims"].as_u64()? >= 1).then_some(())
        });
        let log = Log::read(server.stderr().as_bytes());
        assert_eq!(log.pids(), [worker.parse::<u32>().expect("a pid")], "{log:?}");
        let replaced = || {
            let shown = finish(self.command("autotrim").args(["status", "--json", &worker]));
            serde_json::from_str::<Value>(&shown).expect("JSON")["processes"][0]["library_replaced"].clone()
        };
        assert_eq!(replaced(), false);
        install_again();
        // The old file is gone, and the process has what it had.
        assert_eq!(replaced(), true);
        for _ in 0..20 {
            assert_eq!(get(server.port, "/").text(), "hello");
        }
        assert_eq!(children(server.child.id())[0].to_string(), worker, "it is the same worker");
    }
}

/// A gunicorn; its master is the process that `autotrim run` was.
struct Server {
    child: Child,
    port: u16,
    stderr: PathBuf,
}

impl Server {
    fn start(command: &mut Command, stderr: &Path) -> Self {
        let output = File::create(stderr).expect("a file for the output");
        let child = end_with_this_test(command).stdin(Stdio::null()).stderr(output).spawn().expect("the server");
        let mut server = Self { child, port: 0, stderr: stderr.to_owned() };
        server.port = wait_within(LIMIT, "the server's port", || {
            let stderr = server.stderr();
            let (_, address) = stderr.split_once("Listening at: http://127.0.0.1:")?;
            address.split_once(' ')?.0.parse().ok()
        });
        server
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).expect("its stderr")).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let workers = children(self.child.id());
        workers.into_iter().for_each(|worker| send_signal(worker, libc::SIGKILL));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Manual pages and completions where `prefix` has them, for every subcommand and shell.
#[track_caller]
fn assert_documented(prefix: &Path, files: &[&str]) {
    for file in files {
        let length = std::fs::metadata(prefix.join(file)).unwrap_or_else(|problem| panic!("{file}: {problem}")).len();
        assert!(length > 0, "{file}");
    }
}

/// What .deb and .rpm have in the same places.
const DOCUMENTATION: [&str; 10] = [
    "usr/share/man/man1/autotrim.1.gz",
    "usr/share/man/man1/autotrim-run.1.gz",
    "usr/share/man/man1/autotrim-status.1.gz",
    "usr/share/man/man7/libautotrim.7.gz",
    "usr/share/doc/autotrim/README.md",
    "usr/share/doc/autotrim/CHANGELOG.md",
    "usr/share/doc/autotrim/docs/options.md",
    "usr/share/doc/autotrim/examples/systemd/gunicorn.service.d/autotrim.conf",
    "usr/share/doc/autotrim/monitoring/rules.yaml",
    "usr/share/doc/autotrim/monitoring/dashboard.json",
];

#[test]
fn the_deb_is_installed_used_and_removed() {
    let packages = Packages::make();
    let package = packages.with_ending(".deb");
    let debian = Place::debian();
    std::fs::copy(&package, debian.path().join("srv/autotrim.deb")).expect("a copy");
    let before = files(debian.path());
    finish(debian.command("dpkg").args(["--install", "autotrim.deb"]));
    assert_eq!(finish(debian.command("dpkg").args(["--verify", "autotrim"])), "");
    assert_documented(debian.path(), &DOCUMENTATION);
    assert_documented(
        debian.path(),
        &[
            "usr/share/bash-completion/completions/autotrim",
            "usr/share/fish/vendor_completions.d/autotrim.fish",
            "usr/share/zsh/vendor-completions/_autotrim",
            "usr/share/doc/autotrim/copyright",
        ],
    );
    debian.assert_serves(|| {
        finish(debian.command("dpkg").args(["--install", "autotrim.deb"]));
    });
    // The dynamic linker finds it by its name alone.
    let maps = finish(debian.command("env").args(["LD_PRELOAD=libautotrim.so", "cat", "/proc/self/maps"]));
    assert!(maps.contains("/usr/lib/x86_64-linux-gnu/libautotrim.so"), "{maps}");
    finish(debian.command("dpkg").args(["--purge", "autotrim"]));
    assert_eq!(files(debian.path()), before);
}

/// What is installed in a system.
fn files(root: &Path) -> String {
    let mut find = Command::new("find");
    find.args(["usr", "etc", "!", "-name", "__pycache__", "!", "-name", "*.pyc", "!", "-name", "ld.so.cache*"]);
    finish(find.current_dir(root))
        .lines()
        .map(str::to_owned)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[test]
fn the_deb_has_nothing_that_lintian_complains_about() {
    let packages = Packages::make();
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on=error,warning"]);
    assert_eq!(finish(lintian.arg(packages.with_ending(".deb"))), "");
}

#[test]
fn the_rpm_has_nothing_that_rpmlint_complains_about() {
    let packages = Packages::make();
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.arg("--config").arg(root().join("packaging/rpmlint.toml"));
    let found = finish(rpmlint.arg(packages.with_ending(".rpm")));
    assert!(found.contains(" 0 errors, 0 warnings"), "{found}");
}

#[test]
fn the_rpm_is_installed_used_and_removed() {
    let packages = Packages::make();
    let debian = Place::debian();
    let rpm = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        finish(rpm.arg("--root").arg(debian.path()).args(arguments))
    };
    let package = packages.with_ending(".rpm");
    // No RPM has brought glibc into a Debian system.
    let package = package.to_str().expect("UTF-8");
    rpm(&["--install", "--nodeps", package]);
    assert_eq!(rpm(&["--verify", "--nodeps", "autotrim"]), "");
    assert!(rpm(&["--query", "--requires", "autotrim"]).contains("glibc >= 2.17"));
    assert_documented(debian.path(), &DOCUMENTATION);
    assert_documented(debian.path(), &["usr/lib64/libautotrim.so", "usr/share/licenses/autotrim/LICENSE-MIT"]);
    let told =
        rpm(&["--query", "--queryformat", "%{URL}|%{LICENSE}|%{GROUP}|%{PACKAGER}|%{CHANGELOGTEXT}", "autotrim"]);
    assert!(!told.contains("(none)") && told.contains("|MIT OR Apache-2.0|Applications/System|The "), "{told}");
    debian.assert_serves(|| {
        rpm(&["--upgrade", "--nodeps", "--replacepkgs", package]);
    });
    rpm(&["--erase", "autotrim"]);
    assert!(!debian.path().join("usr/bin/autotrim").exists());
    assert!(!debian.path().join("usr/lib64/libautotrim.so").exists());
}

#[test]
fn the_wheel_is_installed_and_used_in_a_virtual_environment() {
    let packages = Packages::make();
    let wheel = packages.with_ending(".whl");
    assert!(wheel.to_string_lossy().ends_with("-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"), "{wheel:?}");
    let environment = Place::environment();
    std::fs::create_dir(environment.path().join("srv")).expect("a directory");
    finish(environment.command("pip").args(["install", "--quiet", "--no-index"]).arg(&wheel));
    finish(environment.command("pip").args(["install", "--quiet", "gunicorn==23.0.0"]));
    environment.assert_serves(|| {
        finish(environment.command("pip").args(["install", "--quiet", "--no-index", "--force-reinstall"]).arg(&wheel));
    });
    // Python ignores some signals; the program that is started does not.
    for arguments in [&["--version"][..], &["run", "--", "grep", "SigIgn", "/proc/self/status"]] {
        let as_module = finish(environment.command("python").args(["-m", "autotrim"]).args(arguments));
        assert_eq!(as_module, finish(environment.command("autotrim").args(arguments)));
    }
}

/// From scratch, in another directory: neither paths nor times are in them.
#[test]
fn two_builds_give_the_same_bytes() {
    let packages = Packages::make();
    let copy = tempfile::tempdir().expect("a temporary directory");
    let sources = "git ls-files -z --cached --others --exclude-standard | xargs --null cp --parents --no-dereference --target-directory";
    finish(Command::new("bash").args(["-c", &format!("{sources} \"$0\"")]).arg(copy.path()).current_dir(root()));
    let elsewhere = copy.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    symlink(root().join(".venv"), copy.path().join(".venv")).expect("a link");
    let commit = finish(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()));
    let output = copy.path().join("packages");
    let mut again = Command::new(copy.path().join("scripts/package"));
    again.arg(&output).env("CARGO_TARGET_DIR", elsewhere).env("SOURCE_DATE_EPOCH", commit.trim());
    finish(again.stderr(Stdio::inherit()));
    let mut compared = 0;
    for file in std::fs::read_dir(packages.0.path()).expect("the packages") {
        let file = file.expect("a file");
        let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|problem| panic!("{path:?}: {problem}"));
        assert!(read(file.path()) == read(output.join(file.file_name())), "{:?} differ", file.file_name());
        compared += 1;
    }
    assert!(compared >= 3, "{compared} packages");
}

/// Names of the components in a bill of materials.
fn components(bill: &str) -> BTreeSet<String> {
    let bill: Value = serde_json::from_str(bill).expect("JSON");
    assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let components = bill["components"].as_array().expect("components").iter();
    components.map(|component| component["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_bills_of_materials_name_what_is_compiled_in() {
    let make = || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        finish(Command::new(root().join("scripts/materials")).arg(directory.path()).stderr(Stdio::inherit()));
        ["library", "command"].map(|part| {
            let name = format!("autotrim-{part}-{}.cyclonedx.json", env!("CARGO_PKG_VERSION"));
            std::fs::read_to_string(directory.path().join(name)).expect("a bill of materials")
        })
    };
    let bills = make();
    let library = ["ctor", "libc", "linktime-proc-macro", "once_cell"];
    assert_eq!(components(&bills[0]), library.map(String::from).into());
    let command = components(&bills[1]);
    assert!(command.contains("clap") && command.contains("procfs"), "{command:?}");
    assert!(!command.contains("proptest") && !command.contains("tempfile"), "{command:?}");
    for bill in &bills {
        assert!(!bill.contains("/tmp") && !bill.contains(&root().display().to_string()));
    }
    assert!(bills == make(), "two of one commit differ");
}

/// What scripts/release says of a copy of this commit, in which nothing was done but what `prepare` did.
fn refusal(prepare: &str) -> String {
    let copy = tempfile::tempdir().expect("a temporary directory");
    let clone = "git clone --quiet --no-hardlinks \"$0\" . && git config user.name test && git config user.email test@localhost";
    let script = format!("{clone} && {prepare} && scripts/release --no-tests 7.8.9");
    let mut command = Command::new("bash");
    let output = command.args(["-ec", &script]).arg(root()).current_dir(copy.path()).output().expect("bash");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_release_needs_a_clean_tree_equal_versions_and_a_changelog() {
    let commit = "git commit --quiet --all --message test";
    let versions = r#"sed -i 's/^version = .*/version = "7.8.9"/' Cargo.toml cli/Cargo.toml"#;
    let locks = "cargo update --quiet --workspace && cargo update --quiet --workspace --manifest-path cli/Cargo.toml";
    assert!(refusal("touch new").contains("there are uncommitted changes"));
    assert!(refusal("true").contains("Cargo.toml has another version than 7.8.9"));
    assert!(refusal(&format!("{versions} && {commit}")).contains("the lock file of Cargo.toml is not up to date"));
    let refused = refusal(&format!("{versions} && {locks} && {commit}"));
    assert!(refused.contains("CHANGELOG.md has no section [7.8.9]"), "{refused}");
}
