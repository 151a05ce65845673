//! The container image and the examples, built and run as far as that goes without a registry of images.
//!
//! What stands in for `python:3.12-slim` is made of the Debian system of scripts/roots; what stands in for the stage that
//! compiles, of what that stage runs: `scripts/package --image`.

mod common;
#[path = "common/release.rs"]
mod release;

use common::http::get;
use common::process::{clean_environment, end_with_this_test, send_signal};
use common::{LIMIT, python, root, servers, wait_within};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// buildah, with images and containers of its own, without a daemon, and without namespaces that a container may lack.
struct Builder(TempDir);

impl Builder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        clean_environment(&mut command).env("BUILDAH_ISOLATION", "chroot").env("STORAGE_DRIVER", "vfs");
        command.arg("--root").arg(self.0.path().join("storage")).arg("--runroot").arg(self.0.path().join("run"));
        command.args(arguments);
        command
    }

    /// Runs it to its good end; its stdout.
    fn run(&self, arguments: &[&str]) -> String {
        let output =
            self.command(arguments).stdin(Stdio::null()).output().expect("buildah: scripts/packages installs it");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "buildah {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// localhost/autotrim, of the Containerfile's last stage.
    fn make_autotrim(&self) {
        self.build_autotrim(&["--tag", "localhost/autotrim"]);
    }

    fn build_autotrim(&self, arguments: &[&str]) {
        let files = self.0.path().join("files");
        let packed = Command::new(root().join("scripts/package")).arg("--image").arg(&files).output().expect("bash");
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let compiled = format!("build={}", files.display());
        let (file, sources) = (path_text(&root().join("container/Containerfile")), path_text(root()));
        let build = ["build", "--quiet", "--build-context", &compiled, "--file", &file];
        self.run(&[&build, arguments, &[&sources]].concat());
    }

    /// localhost/python: Debian with pip, which finds gunicorn in a directory of the image.
    fn make_python(&self) {
        let container = self.run(&["from", "scratch"]);
        self.run(&[
            "add",
            "--quiet",
            &container,
            &path_text(&release::path_from("scripts/roots").join("bookworm")),
            "/",
        ]);
        let wheels = self.0.path().join("wheels");
        let mut download = Command::new(python());
        download.args(["-m", "pip", "download", "--quiet", "gunicorn==23.0.0", "--dest"]).arg(&wheels);
        assert!(download.status().expect("pip").success());
        self.run(&["add", "--quiet", &container, &path_text(&wheels), "/wheels"]);
        for setting in ["PIP_BREAK_SYSTEM_PACKAGES=1", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"] {
            self.run(&["config", "--env", setting, &container]);
        }
        self.run(&["commit", "--quiet", "--rm", &container, "localhost/python"]);
    }

    /// An example's image, on another base than the public one.
    fn make_example(&self, name: &str, base: &str) -> Value {
        let file = path_text(&root().join("examples").join(format!("{name}.Containerfile")));
        let tag = format!("localhost/{name}");
        let context = self.0.path().join("context");
        std::fs::create_dir_all(&context).expect("a directory");
        std::fs::copy(servers().join("hello.py"), context.join("app.py")).expect("a copy");
        self.run(&["build", "--quiet", "--build-arg", base, "--file", &file, "--tag", &tag, &path_text(&context)]);
        let image: Value = serde_json::from_str(&self.run(&["inspect", "--type", "image", &tag])).expect("JSON");
        image["OCIv1"]["config"].clone()
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// A gunicorn in a container, and the buildah that started it.
struct Running {
    buildah: Child,
    stderr: PathBuf,
}

impl Running {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).expect("its stderr")
    }

    /// The port, and the id of the master.
    fn listens(&self) -> Option<(u16, u32)> {
        let said = self.said();
        let (port, master) = said.split_once("Listening at: http://127.0.0.1:")?.1.split_once(" (")?;
        Some((port.parse().ok()?, master.split_once(')')?.0.parse().ok()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is not buildah's child any more, and buildah ends with it.
        if let Some((_, master)) = self.listens() {
            send_signal(master, libc::SIGTERM);
        } else {
            let _ = self.buildah.kill();
        }
        let _ = self.buildah.wait();
    }
}

#[test]
fn the_image_holds_its_files_and_labels_and_nothing_else() {
    let builder = Builder::new();
    builder.make_autotrim();
    let container = builder.run(&["from", "localhost/autotrim"]);
    let mounted = builder.run(&["mount", &container]);
    let mut files: Vec<_> = std::fs::read_dir(Path::new(&mounted).join("autotrim"))
        .expect("/autotrim")
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    files.sort();
    let expected =
        ["LICENSE-APACHE", "LICENSE-MIT", "autotrim", "glibc-licence", "libautotrim.so", "third-party-licences.gz"];
    assert_eq!(files, expected);
    assert_eq!(std::fs::read_dir(&mounted).expect("/").count(), 1);
    let image: Value =
        serde_json::from_str(&builder.run(&["inspect", "--type", "image", "localhost/autotrim"])).expect("JSON");
    let labels = &image["OCIv1"]["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(labels["org.opencontainers.image.licenses"], "MIT OR Apache-2.0");
}

#[test]
fn the_example_with_gunicorn_serves_counts_and_trims() {
    let builder = Builder::new();
    builder.make_autotrim();
    builder.make_python();
    let configuration = builder.make_example("gunicorn", "PYTHON=localhost/python");
    assert_eq!(configuration["User"], "65534:65534");
    let container = builder.run(&["from", "localhost/gunicorn"]);
    // What the image runs, but for this machine only.
    let arguments = configuration["Cmd"].as_array().expect("CMD").iter().map(|word| word.as_str().expect("text"));
    let arguments: Vec<_> =
        arguments.map(|word| if word.starts_with("--bind=") { "--bind=127.0.0.1:0" } else { word }).collect();
    let stderr = builder.0.path().join("stderr");
    let mut command = builder.command(&["run", "--env", "AUTOTRIM_INTERVAL=5", &container, "--"]);
    command.args(arguments).stdin(Stdio::null()).stderr(File::create(&stderr).expect("a file"));
    let running = Running { buildah: end_with_this_test(&mut command).spawn().expect("buildah"), stderr };
    let (port, _) = wait_within(LIMIT, "the server's port", || running.listens());
    for _ in 0..40 {
        assert_eq!(get(port, "/").status(), 200, "{}", running.said());
    }
    // By their ids: a container without a namespace of processes sees others, too.
    let workers: Vec<String> = wait_within(LIMIT, "two workers", || {
        let said = running.said();
        let workers = said.lines().filter_map(|line| Some(line.split_once("Booting worker with pid: ")?.1.to_owned()));
        Some(workers.collect::<Vec<_>>()).filter(|workers| workers.len() == 2)
    });
    let status = ["run", &container, "--", "/autotrim/autotrim", "status", "--json", &workers[0], &workers[1]];
    wait_within(LIMIT, "40 requests and trims in `autotrim status`", || {
        let shown: Value = serde_json::from_str(&builder.run(&status)).expect("JSON");
        let processes = shown["processes"].as_array()?;
        let sum = |name: &str| processes.iter().filter_map(|process| process[name].as_u64()).sum::<u64>();
        (sum("requests") == 40 && sum("trims") >= 1).then_some(())
    });
}

#[test]
fn the_example_with_pulp_sets_what_it_says() {
    let builder = Builder::new();
    builder.make_autotrim();
    let configuration = builder.make_example("pulp", "PULP=localhost/autotrim");
    let set = configuration["Env"].to_string();
    assert!(set.contains("LD_PRELOAD=/autotrim/libautotrim.so") && set.contains("AUTOTRIM_PERIOD=1m"), "{set}");
}

#[test]
fn the_init_image_copies_the_files_to_a_volume() {
    let builder = Builder::new();
    builder.make_python();
    builder.build_autotrim(&["--target", "init", "--build-arg", "BUSYBOX=localhost/python", "--tag", "localhost/init"]);
    let container = builder.run(&["from", "localhost/init"]);
    let volume = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(volume.path(), std::fs::Permissions::from_mode(0o777)).expect("its mode");
    let mount = format!("{}:/target", volume.path().display());
    let image: Value =
        serde_json::from_str(&builder.run(&["inspect", "--type", "image", "localhost/init"])).expect("JSON");
    let entry = image["OCIv1"]["config"]["Entrypoint"].as_array().expect("ENTRYPOINT").clone();
    let entry: Vec<_> = entry.iter().map(|word| word.as_str().expect("text")).collect();
    builder.run(&[&["run", "--volume", &mount, &container, "--"], entry.as_slice()].concat());
    assert!(volume.path().join("libautotrim.so").is_file() && volume.path().join("autotrim").is_file());
}

/// What names the library, and nothing else, is what an image has more than before.
#[test]
fn the_examples_are_three_lines_longer_than_without() {
    for example in ["gunicorn", "pulp"] {
        let text =
            std::fs::read_to_string(root().join(format!("examples/{example}.Containerfile"))).expect("an example");
        let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains("autotrim"));
        let instructions: Vec<_> = lines.map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(instructions, ["FROM", "COPY", "ENV"], "{example}");
    }
}
