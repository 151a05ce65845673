//! The packages: each file alone, installed where nothing else of this project is, and used there.

mod common;
#[path = "common/fixture.rs"]
mod fixture;
#[path = "common/installed.rs"]
mod installed;
#[path = "common/release.rs"]
mod release;

use common::log::Log;
use common::process::clean_environment;
use common::{python, root};
use fixture::Fixture;
use installed::{DOCUMENTATION, Packages, Place, assert_documented, files, finish};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn the_deb_is_installed_used_and_removed() {
    let packages = Packages::make("x86_64");
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

#[test]
fn the_deb_has_nothing_that_lintian_complains_about() {
    let packages = Packages::make("x86_64");
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on=error,warning"]);
    assert_eq!(finish(lintian.arg(packages.with_ending(".deb"))), "");
}

#[test]
fn the_rpm_has_nothing_that_rpmlint_complains_about() {
    let packages = Packages::make("x86_64");
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.arg("--config").arg(root().join("packaging/rpmlint.toml"));
    let found = finish(rpmlint.arg(packages.with_ending(".rpm")));
    assert!(found.contains(" 0 errors, 0 warnings"), "{found}");
}

#[test]
fn the_rpm_is_installed_used_and_removed() {
    let packages = Packages::make("x86_64");
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
    let packages = Packages::make("x86_64");
    let wheel = packages.with_ending("-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl");
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

/// In a system that has musl, and neither glibc nor anything else.
#[test]
fn the_wheel_for_musl_has_a_command_that_needs_no_libc() {
    let packages = Packages::make("x86_64");
    let system = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| system.path().join(name);
    // What pip chooses where it is Alpine's.
    let mut download = Command::new(python());
    download.args(["-m", "pip", "download", "--quiet", "--no-index", "--only-binary=:all:"]);
    download.args(["--platform=musllinux_1_2_x86_64", "--dest"]).arg(path("wheels"));
    finish(download.arg("--find-links").arg(packages.path()).arg("autotrim"));
    let wheel = fs::read_dir(path("wheels")).expect("the wheel").next().expect("a wheel").expect("a file").path();
    assert!(wheel.to_string_lossy().ends_with("-py3-none-musllinux_1_2_x86_64.whl"), "{wheel:?}");
    finish(Command::new(python()).args(["-m", "wheel", "unpack", "--dest"]).arg(path("unpacked")).arg(&wheel));
    let version = env!("CARGO_PKG_VERSION");
    let unpacked = path(&format!("unpacked/autotrim-{version}"));
    assert!(unpacked.join(format!("autotrim-{version}.dist-info/licenses/glibc-licence")).is_file());
    let data = unpacked.join(format!("autotrim-{version}.data"));
    fs::rename(data.join("scripts"), path("bin")).expect("the command's place");
    fs::rename(data.join("data/lib"), path("lib")).expect("the library's place");

    let program = Fixture::of_musl("counted_calls");
    fs::copy(program.path(), path("bin/program")).expect("a copy");
    fs::copy("/lib/ld-musl-x86_64.so.1", path("lib/ld-musl-x86_64.so.1")).expect("musl: scripts/packages installs it");
    fs::create_dir(path("proc")).expect("a directory");
    let in_system = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        clean_environment(&mut command).arg("--mount-proc").arg("--root").arg(system.path());
        let output = command.arg("/bin/autotrim").args(arguments).stdin(Stdio::null()).output().expect("unshare");
        assert!(output.status.success(), "{output:?}");
        output
    };
    let told = in_system(&["doctor", "--", "/bin/program"]).stdout;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("/lib/autotrim/libautotrim.so can be preloaded into it"), "{told}");
    let ran = in_system(&["run", "--interval=1", "--log=debug", "--", "/bin/program"]);
    let log = Log::read(&ran.stderr[..]);
    assert_eq!(log.lines[0].text("allocator"), "musl", "{log:?}");
    assert!(!log.trims("requests").lines.is_empty(), "{log:?}");
}

/// From scratch, in another directory: neither paths nor times are in them.
#[test]
fn two_builds_give_the_same_bytes() {
    let mut reproduce = Command::new(root().join("scripts/reproduce"));
    let sums = finish(reproduce.args(["--architecture", "x86_64"]).stderr(Stdio::inherit()));
    assert_eq!(sums.lines().count(), 4, "{sums}");
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
