//! The packages for 64-bit ARM: each file alone, in a Debian system of that architecture whose programs the emulator runs.

mod common;
#[path = "common/installed.rs"]
mod installed;
#[path = "common/release.rs"]
mod release;

use installed::{DOCUMENTATION, Packages, Place, assert_documented, files, finish};
use std::process::Command;

/// The command runs, and knows that a gunicorn there could be preloaded.
#[track_caller]
fn assert_runs(system: &Place) {
    let version = finish(system.command("autotrim").arg("--version"));
    assert_eq!(version.trim(), format!("autotrim {}", env!("CARGO_PKG_VERSION")));
    let told = finish(system.command("autotrim").args(["doctor", "--", "gunicorn", "app:wsgi"]));
    assert!(told.contains("(aarch64, 64-bit) is dynamic") && told.contains("can be preloaded into it"), "{told}");
}

#[test]
fn the_deb_is_installed_used_and_removed() {
    let packages = Packages::make("aarch64");
    let package = packages.with_ending("_arm64.deb");
    let system = Place::foreign();
    std::fs::copy(&package, system.path().join("srv/autotrim.deb")).expect("a copy");
    let install = || {
        finish(system.command("dpkg").args(["--install", "autotrim.deb"]));
    };
    install();
    assert_eq!(finish(system.command("dpkg").args(["--verify", "autotrim"])), "");
    assert_documented(system.path(), &DOCUMENTATION);
    assert_runs(&system);
    system.assert_serves(install);
    // The dynamic linker finds it by its name alone.
    let maps = finish(system.command("env").args(["LD_PRELOAD=libautotrim.so", "cat", "/proc/self/maps"]));
    assert!(maps.contains("/usr/lib/aarch64-linux-gnu/libautotrim.so"), "{maps}");
    finish(system.command("dpkg").args(["--purge", "autotrim"]));
    // No package there owns a directory, so that empty ones go, too.
    assert!(!files(system.path()).contains("autotrim"));
}

#[test]
fn the_rpm_is_installed_used_and_removed() {
    let packages = Packages::make("aarch64");
    let system = Place::foreign();
    let rpm = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        finish(rpm.arg("--root").arg(system.path()).args(arguments))
    };
    let package = packages.with_ending(".aarch64.rpm");
    // No RPM has brought glibc into a Debian system, and this rpm is the one of this machine.
    rpm(&["--install", "--nodeps", "--ignorearch", package.to_str().expect("UTF-8")]);
    assert_eq!(rpm(&["--verify", "--nodeps", "autotrim"]), "");
    assert_eq!(rpm(&["--query", "--queryformat", "%{ARCH}", "autotrim"]), "aarch64");
    assert_documented(system.path(), &["usr/lib64/libautotrim.so", "usr/share/licenses/autotrim/LICENSE-MIT"]);
    assert_runs(&system);
    rpm(&["--erase", "autotrim"]);
    assert!(!system.path().join("usr/bin/autotrim").exists());
}

#[test]
fn the_wheel_is_installed_and_used() {
    let packages = Packages::make("aarch64");
    let name =
        format!("autotrim-{}-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", env!("CARGO_PKG_VERSION"));
    let wheel = packages.with_ending(&name);
    let system = Place::foreign();
    std::fs::copy(&wheel, system.path().join("srv").join(&name)).expect("a copy");
    let mut pip = system.command("pip");
    pip.args([
        "install",
        "--quiet",
        "--no-index",
        "--no-compile",
        "--break-system-packages",
        "--root-user-action=ignore",
    ]);
    finish(pip.arg(&name));
    assert_runs(&system);
    let maps = finish(system.command("autotrim").args(["run", "--", "cat", "/proc/self/maps"]));
    assert!(maps.contains("/lib/autotrim/libautotrim.so"), "{maps}");
}
