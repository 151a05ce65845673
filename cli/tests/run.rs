//! `autotrim run` becomes the program it is given, with the library in it, or says why it cannot.

mod support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use support::common::gunicorn::Worker;
use support::common::http::get;
use support::common::log::Log;
use support::common::process::{children, has_mapped};
use support::common::{LIMIT, library, python, servers, wait_within};
use support::{
    NO_USER, Running, autotrim, copy, finish, finish_as_nobody, go_program, is_root, open_copy, open_directory, run,
    run_with, script, waiting_program,
};

#[test]
fn gunicorn_runs_under_the_library_with_the_options_of_the_flags() {
    let directory = open_directory();
    let log = directory.path().join("stderr");
    let library = open_copy(&library(), directory.path());
    let mut command = run_with(&library);
    command
        .args(["--interval", "2", "--growth", "0", "--idle", "0", "--overhead", "0", "--log", "debug", "--"])
        .arg(python().with_file_name("gunicorn"))
        .args(["--bind", "127.0.0.1:0", "--worker-class", Worker::Sync.class(), "--pythonpath"])
        .arg(servers())
        .arg("app:wsgi")
        // Not an option of the library, and so not passed on to it.
        .env("AUTOTRIM_LIBRARY", &library)
        .stderr(std::fs::File::create(&log).expect("a file"));
    let mut server = command.spawn().expect("autotrim");
    let text = || std::fs::read_to_string(&log).expect("the log");
    let port = wait_within(LIMIT, "gunicorn's port", || {
        assert!(server.try_wait().expect("wait").is_none(), "ended: {}", text());
        text().split_once("http://127.0.0.1:")?.1.split_once(' ')?.0.parse().ok()
    });
    // The command is gunicorn's master now: its child is the worker.
    let worker = wait_within(LIMIT, "the worker", || children(server.id()).first().copied());
    assert!(has_mapped(server.id(), &library) && has_mapped(worker, &library));
    (0..6).for_each(|_| assert_eq!(get(port, "/small").status(), 200));
    let lines = wait_within(LIMIT, "a trim", || {
        let lines = Log::read(text().as_bytes()).lines;
        lines.iter().any(|line| line.event == "trim").then_some(lines)
    });
    support::common::process::send_signal(server.id(), libc::SIGTERM);
    assert!(server.wait().expect("wait").success());
    assert_eq!(lines[0].event, "enabled", "{lines:?}");
    assert_eq!(lines[0].number("interval"), 2);
    assert!(lines.iter().all(|line| line.event != "option_unknown"), "{lines:?}");
}

#[test]
fn the_exit_code_and_the_output_are_the_programs() {
    let directory = open_directory();
    let library = open_copy(&library(), directory.path());
    let mut command = run_with(&library);
    command.args(["--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    let finished = finish(&mut command);
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (Some(7), "out\n", "err\n"));
}

#[test]
fn a_preload_that_is_set_is_kept_and_ours_joined_to_it_once() {
    let ours = library().canonicalize().expect("the library").display().to_string();
    let preload = |present: &str| {
        let finished = finish(run().args(["sh", "-c", "echo $LD_PRELOAD"]).env("LD_PRELOAD", present));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished.stdout.trim().to_owned()
    };
    let ours = if library().is_absolute() { library().display().to_string() } else { ours };
    assert_eq!(preload(""), ours);
    assert_eq!(preload("libeatmydata.so"), format!("libeatmydata.so:{ours}"));
    assert_eq!(preload(&format!("{ours}:libeatmydata.so")), format!("{ours}:libeatmydata.so"));
}

#[test]
fn signal_settings_are_passed_on_as_they_came() {
    let shown = |mut command: Command, pipe: libc::sighandler_t| {
        command.args(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]);
        // SAFETY: signal and sigprocmask may be called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGPIPE, pipe);
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGUSR1);
                libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
                Ok(())
            })
        };
        finish(&mut command).stdout
    };
    // Services of systemd start with SIGPIPE ignored.
    let by_env = [libc::SIG_IGN, libc::SIG_DFL].map(|pipe| shown(Command::new("env"), pipe));
    let by_run = [libc::SIG_IGN, libc::SIG_DFL].map(|pipe| shown(run(), pipe));
    assert_ne!(by_env[0], by_env[1]);
    assert_eq!(by_env, by_run);
}

#[test]
fn programs_that_cannot_preload_are_refused() {
    let directory = open_directory();
    let path = |name: &str| directory.path().join(name);
    let refused = |program: &Path, words: &[&str]| {
        finish(run().arg("--").arg(program)).says(2, words);
    };
    let fixed = waiting_program(directory.path(), "gcc", &["-static"]);
    refused(&fixed, &["statically linked"]);
    let interpreted = script(&path("interpreted"), &format!("#!{}\n", fixed.display()));
    refused(&interpreted, &["interpreted: its interpreter", "statically linked"]);
    let by_env = script(&path("by-env"), "#!/usr/bin/env -S wait-gcc -x\n");
    finish(run().arg("--").arg(&by_env).env("PATH", directory.path()))
        .says(2, &["by-env: its interpreter", "statically"]);
    let mut foreign = std::fs::read("/bin/true").expect("/bin/true");
    // e_machine: aarch64, or x86-64 where that is what we are.
    foreign[18..20].copy_from_slice(&if cfg!(target_arch = "aarch64") { 62u16 } else { 183u16 }.to_ne_bytes());
    let foreign_path = copy(Path::new("/bin/true"), &path("foreign"), 0o755);
    std::fs::write(&foreign_path, foreign).expect("the foreign program");
    refused(&foreign_path, &["another architecture"]);
}

#[test]
fn programs_that_gain_privileges_are_refused() {
    if !is_root("setuid and setgid copies, and file capabilities") {
        return;
    }
    let directory = open_directory();
    let path = |name: &str| directory.path().join(name);
    let refused = |program: &Path, word: &str| {
        finish(run().arg("--").arg(program)).says(2, &[word, "ignores preloads"]);
    };
    for (name, mode, word) in [("setuid", 0o4755, "is setuid"), ("setgid", 0o2755, "is setgid")] {
        let program = copy(Path::new("/bin/true"), &path(name), 0o755);
        std::os::unix::fs::chown(&program, Some(1), Some(1)).expect("chown");
        copy_mode(&program, mode);
        refused(&program, word);
    }
    // Its owner gains nothing by it.
    let own = copy(Path::new("/bin/true"), &path("own"), 0o4755);
    assert_eq!(finish(run().arg("--").arg(&own)).code, Some(0));
    let capable = copy(Path::new("/bin/true"), &path("capable"), 0o755);
    let granted = Command::new("setcap").arg("cap_net_bind_service=ep").arg(&capable).status().expect("setcap");
    assert!(granted.success());
    finish_as_nobody(run().arg("--").arg(&capable)).says(2, &["file capabilities"]);
}

fn copy_mode(program: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

#[test]
fn a_program_that_is_not_there_or_not_executable_is_told_as_env_does() {
    let directory = open_directory();
    let plain = copy(Path::new("/bin/true"), &directory.path().join("plain"), 0o644);
    finish(run().args(["--", "no-such-program"])).says(127, &["no-such-program: not found"]);
    finish(run().args(["--", "/no/such/program"])).says(127, &["not found"]);
    finish(run().arg("--").arg(plain)).says(126, &["not executable"]);
    finish(run().args(["--", "/"])).says(126, &["not executable"]);
    let orphan = script(&directory.path().join("orphan"), "#!/no/such/interpreter\n");
    finish(run().arg("--").arg(orphan)).says(127, &["orphan", "/no/such/interpreter: not found"]);
    finish(run().args(["--", ""])).says(127, &["not found"]);
}

#[test]
fn a_value_that_the_library_would_not_take_is_refused() {
    finish(run().args(["--interval", "often", "--", "true"])).says(2, &["--interval", "often", "a whole number"]);
    finish(run().args(["--growth", "-1", "--", "true"])).says(2, &["--growth"]);
    finish(&mut run()).says(2, &["CMD"]);
}

/// At once: the library itself speaks only when a program serves.
#[test]
fn options_in_the_environment_that_mean_nothing_are_told_before_the_program_starts() {
    let directory = open_directory();
    let library = open_copy(&library(), directory.path());
    let mut command = run_with(&library);
    command.args(["--", "sh", "-c", "echo started >&2"]);
    assert_eq!(finish(command.env("AUTOTRIM_IDLE", "1.5s").env("AUTOTRIM_DISABLE", "yes")).stderr, "started\n");
    command.env("AUTOTRIM_INTERVALL", "5").env("autotrim_growth", "8M").env("AUTOTRIM_COLOUR", "\x1b[31m");
    let finished = finish(command.env("AUTOTRIM_IDLE", "so\x1bon"));
    let mut lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!((finished.code, lines.pop()), (Some(0), Some("started")), "{}", finished.stderr);
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "autotrim: AUTOTRIM_COLOUR is set and is no option of the library",
            "autotrim: AUTOTRIM_IDLE=so?on is not a duration such as 500ms, 1.5s, 2m or 1h: 1s is used",
            "autotrim: AUTOTRIM_INTERVALL is set and is no option of the library: did you mean AUTOTRIM_INTERVAL?",
            "autotrim: autotrim_growth is set and is no option of the library: did you mean AUTOTRIM_GROWTH?",
        ]
    );
    // Written to once the program serves: told now.
    let mut lost = run_with(&library);
    let missing = finish(lost.args(["--metrics-dir", "/nonexistent", "--", "true"]));
    assert!(
        missing.stderr.starts_with("autotrim: AUTOTRIM_METRICS_DIR=/nonexistent: No such file or directory"),
        "{}",
        missing.stderr
    );
    // A flag takes the place of what the environment has.
    let mut corrected = run_with(&library);
    corrected.args(["--idle", "2s", "--", "true"]).env("AUTOTRIM_IDLE", "soon");
    assert_eq!(finish(&mut corrected).stderr, "");
}

/// Where cargo has built both, and nowhere that only looks like it.
#[test]
fn a_command_built_from_the_sources_finds_the_library_built_from_them() {
    let directory = open_directory();
    let root = directory.path().canonicalize().expect("the directory");
    let place = |path: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        path
    };
    let built = copy(&library(), &place("src/target/release/libautotrim.so"), 0o644);
    let preload = |command: &Path| {
        finish(
            Command::new(command)
                .args(["run", "sh", "-c", "echo $LD_PRELOAD"])
                .env_clear()
                .env("PATH", "/usr/bin:/bin"),
        )
    };
    for profile in ["release", "debug"] {
        let command = copy(
            Path::new(env!("CARGO_BIN_EXE_autotrim")),
            &place(&format!("src/cli/target/{profile}/autotrim")),
            0o755,
        );
        let finished = preload(&command);
        assert_eq!(finished.stdout.trim(), built.display().to_string(), "{}", finished.stderr);
    }
    let elsewhere = copy(Path::new(env!("CARGO_BIN_EXE_autotrim")), &place("src/my/tools/bin/autotrim"), 0o755);
    preload(&elsewhere).says(2, &["there is no libautotrim.so"]);
}

#[test]
fn the_library_is_found_where_it_is_installed() {
    let directory = open_directory();
    let root = directory.path();
    std::fs::create_dir_all(root.join("bin")).expect("bin");
    std::fs::create_dir_all(root.join("lib/autotrim")).expect("lib");
    let command = copy(Path::new(env!("CARGO_BIN_EXE_autotrim")), &root.join("bin/autotrim"), 0o755);
    let preload = |variable: Option<&Path>| {
        let mut installed = Command::new(&command);
        installed
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(["run", "sh", "-c", "echo $LD_PRELOAD"])
            .stdin(Stdio::null());
        variable.map(|path| installed.env("AUTOTRIM_LIBRARY", path));
        finish(&mut installed)
    };
    preload(None).says(2, &["there is no libautotrim.so", "\n  ", "lib/autotrim/libautotrim.so", "AUTOTRIM_LIBRARY"]);
    assert_eq!(
        preload(Some(&library())).stdout.trim(),
        std::path::absolute(library()).expect("a path").display().to_string()
    );
    // From the last place to the first.
    for place in ["bin/libautotrim.so", "lib/libautotrim.so", "lib/autotrim/libautotrim.so"] {
        copy(&library(), &root.join(place), 0o644);
        let found = preload(Some(&library())).stdout;
        let found = std::fs::canonicalize(found.trim()).unwrap_or_else(|error| panic!("{found}: {error}"));
        assert_eq!(found, root.join(place).canonicalize().expect("the place"));
    }
}

#[test]
fn a_library_that_cannot_be_named_or_is_none_is_refused() {
    let directory = open_directory();
    let spaced = copy(&library(), &directory.path().join("a b.so"), 0o644);
    let with = |path: &Path| finish(autotrim().arg("run").arg("--library").arg(path).args(["--", "true"]));
    with(&spaced).says(2, &["LD_PRELOAD cannot name"]);
    with(Path::new("/etc/passwd")).says(2, &["not a shared library"]);
    with(Path::new("/no/such.so")).says(2, &["/no/such.so"]);
}

/// The dynamic linker leaves a preload out, with one line at most, that the user of the moment may not read.
#[test]
fn a_library_that_other_users_cannot_read_is_told_of_to_root() {
    if !is_root("a program that could change its user") {
        return;
    }
    let directory = open_directory();
    let private = directory.path().join("private");
    std::fs::create_dir(&private).expect("a directory");
    copy_mode(&private, 0o700);
    let start = |library: &Path| finish(autotrim().arg("run").arg("--library").arg(library).args(["--", "true"]));
    let open = open_copy(&library(), directory.path());
    let (closed, unreadable) = (open_copy(&library(), &private), directory.path().join("unreadable.so"));
    copy(&library(), &unreadable, 0o600);
    let link = directory.path().join("link.so");
    std::os::unix::fs::symlink(&closed, &link).expect("a link");
    for (library, why) in [(&closed, &private), (&unreadable, &unreadable), (&link, &private)] {
        let finished = start(library);
        finished.says(
            0,
            &["other users may not read", &library.display().to_string(), &format!("{} has mode 0", why.display())],
        );
    }
    assert_eq!(start(&open).says(0, &[]).stderr, "");
    // Whoever is not root stays who it is.
    std::os::unix::fs::chown(&private, Some(NO_USER), Some(NO_USER)).expect("chown");
    let mut other = autotrim();
    other.args(["run", "--library"]).arg(&closed).args(["--", "true"]);
    assert_eq!(finish_as_nobody(&other).says(0, &[]).stderr, "");
}

/// Nothing would come of it, as far as can be known: the same is said before it is started.
#[test]
fn programs_in_which_the_library_would_do_nothing_are_refused() {
    let directory = open_directory();
    let refused = |program: &Path, words: &[&str]| {
        finish(run().arg("--").arg(program)).says(2, words);
        let mut doctor = autotrim();
        let finished = finish(doctor.args(["doctor", "--library"]).arg(library()).arg("--").arg(program));
        assert_eq!(finished.code, Some(1), "{}", finished.stdout);
        assert!(words.iter().all(|word| finished.stdout.contains(word)), "{}", finished.stdout);
        assert!(!finished.stdout.contains("can be preloaded"), "{}", finished.stdout);
    };
    let go = go_program(directory.path(), "package main\n\nimport \"C\"\n\nfunc main() {}\n");
    refused(&go, &["written in Go", "AUTOTRIM_PERIOD"]);
    // What C libraries in it free is to be had without requests.
    let library = open_copy(&library(), directory.path());
    let finished = finish(run_with(&library).args(["--period", "1m", "--"]).arg(&go));
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{}", finished.stdout);
    for (sanitizer, flags) in [("Address", &["-static-libasan"][..]), ("Thread", &[]), ("Leak", &[])] {
        let program = sanitized(directory.path(), sanitizer, &sanitizer.to_lowercase(), flags);
        refused(&program, &[&format!("{sanitizer}Sanitizer"), "keeps"]);
    }
    let cleared = script(&directory.path().join("cleared"), "#!/usr/bin/env -S -i sh\n");
    refused(&cleared, &["cleared: env takes LD_PRELOAD away"]);
    for arguments in [["-u", "LD_PRELOAD"], ["-", "A=1"], ["LD_PRELOAD=", "A=1"]] {
        finish(run().args(["--", "env"]).args(arguments).arg("true")).says(2, &["env takes LD_PRELOAD away"]);
    }
}

#[test]
fn no_process_of_the_command_remains() {
    let directory = open_directory();
    let program = waiting_program(directory.path(), "gcc", &[]);
    let running = Running::start(run().arg("--").arg(&program)).has_become(&program);
    assert!(has_mapped(running.pid(), &library()));
}

/// Of the tests' own: other threads fork meanwhile, and a child has all that is open here until it executes something else. A
/// copy that this process had open for writing could then not be executed (ETXTBSY).
#[test]
fn a_copy_can_be_executed_at_once_while_other_threads_fork() {
    const COPIES: usize = 10;
    let directory = open_directory();
    let done = std::sync::atomic::AtomicBool::new(false);
    let fork = || {
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let mut other = Command::new("true");
            // SAFETY: usleep is a bare system call, and so allowed between fork and exec.
            unsafe {
                other.pre_exec(|| {
                    libc::usleep(20_000);
                    Ok(())
                })
            };
            let mut child = other.spawn().expect("true");
            child.wait().expect("wait");
        }
    };
    let failed = std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(fork)));
        let execute = |number: &usize| {
            let program = Path::new(env!("CARGO_BIN_EXE_autotrim"));
            let program = copy(program, &directory.path().join(number.to_string()), 0o755);
            Command::new(program).arg("--version").output().is_err()
        };
        let failed = (0..COPIES).filter(execute).count();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        failed
    });
    assert_eq!(failed, 0, "of {COPIES} copies could not be executed");
}

/// A C program with a sanitizer whose runtime is a library of its own, as gcc links it, or part of it.
fn sanitized(directory: &Path, name: &str, sanitizer: &str, flags: &[&str]) -> std::path::PathBuf {
    let (source, program) = (directory.join("ends.c"), directory.join(name));
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"ran\"); return 0; }\n").expect("the source");
    let mut compiler = Command::new("gcc");
    compiler.arg(format!("-fsanitize={sanitizer}")).args(flags).arg("-o").args([&program, &source]);
    assert!(compiler.status().expect("gcc").success(), "{flags:?}");
    program
}

/// It would end with code 1: AddressSanitizer insists on being first.
#[test]
fn a_program_that_would_end_at_once_is_refused() {
    let directory = open_directory();
    let program = sanitized(directory.path(), "own-runtime", "address", &[]);
    // Leaks of the program are none of this test's; LeakSanitizer wants ptrace.
    let start = |environment: &[(&str, &str)]| {
        let options = environment.iter().find(|(name, _)| *name == "ASAN_OPTIONS").map_or("", |(_, value)| value);
        let mut command = run();
        command.arg("--").arg(&program).envs(environment.iter().copied());
        finish(command.env("ASAN_OPTIONS", format!("detect_leaks=0:{options}")))
    };
    start(&[]).says(2, &["AddressSanitizer", "libasan.so", "LD_PRELOAD=", "verify_asan_link_order=0"]);
    let plain = finish(Command::new(&program).env("LD_PRELOAD", library()).env("ASAN_OPTIONS", "detect_leaks=0"));
    assert_eq!(
        (plain.code, plain.stdout.as_str()),
        (Some(1), ""),
        "else there is no reason to refuse: {}",
        plain.stderr
    );
    let runtime = finish(Command::new("gcc").arg("-print-file-name=libasan.so")).stdout.trim().to_owned();
    for environment in [[("LD_PRELOAD", runtime.as_str())], [("ASAN_OPTIONS", "verify_asan_link_order=0")]] {
        let finished = start(&environment);
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (Some(0), "ran\n"),
            "{environment:?} {}",
            finished.stderr
        );
    }
    let mut doctor = support::autotrim();
    let finished = finish(doctor.arg("doctor").arg("--library").arg(library()).arg("--").arg(&program));
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(finished.stdout.contains("AddressSanitizer"), "{}", finished.stdout);
}

/// As execvp(3) has it, which env(1) uses.
#[test]
fn what_is_started_is_what_execvp_would_start() {
    let directory = open_directory();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir_all(path("first/directory"))
        .and_then(|()| std::fs::create_dir(path("second")))
        .expect("directories");
    let shown = "echo ran $0 $@ $FOO $(pwd)\n";
    let scripts = [
        ("first/by-env", "#!/usr/bin/env -S -u FOO -C / sh\n"),
        ("first/by-words", "#!/usr/bin/env -S sh '-c' 'echo \"$0 $FOO\"' \\_ ${FOO}\n"),
        ("first/by-shell", ""),
        // Its interpreter is missing: the next of that name is taken.
        ("first/broken", "#!/no/such/interpreter\n"),
        ("second/broken", "#!/bin/sh\n"),
        ("second/directory", ""),
        ("second/closed", ""),
        ("first/argument", "#!/bin/sh -eu\n"),
        ("first/relative", "#!bin/sh\n"),
    ];
    for (name, beginning) in scripts {
        script(&path(name), &format!("{beginning}{shown}"));
    }
    copy(Path::new("/bin/true"), &path("first/closed"), 0o644);
    let list = format!("{}:{}:/usr/bin:/bin", path("first").display(), path("second").display());
    let both = |name: &str, arguments: &[&str]| {
        let start = |mut command: Command| {
            command.arg("--").arg(name).args(arguments).env("PATH", &list).env("FOO", "foo").current_dir("/usr");
            finish(&mut command)
        };
        let (by_env, by_run) = (start(Command::new("env")), start(run()));
        assert_eq!(
            (by_run.code, &by_run.stdout),
            (by_env.code, &by_env.stdout),
            "{name}: {}{}",
            by_run.stderr,
            by_env.stderr
        );
        by_run
    };
    for (name, words) in [
        ("by-env", "by-env a b /\n"),
        ("by-shell", "by-shell a b foo /usr\n"),
        ("broken", "second/broken a b foo /usr\n"),
        ("directory", "second/directory a b foo /usr\n"),
        ("closed", "second/closed a b foo /usr\n"),
        ("argument", "argument a b foo /usr\n"),
        ("by-words", "foo foo\n"),
    ] {
        let finished = both(name, &["a", "b"]);
        assert!(finished.stdout.ends_with(words), "{name}: {} {}", finished.stdout, finished.stderr);
    }
    both("env", &["-u", "FOO", "-C", "/", "A=1", "sh", "-c", "echo $A$FOO $(pwd)"]);
    assert_eq!(both("relative", &[]).code, Some(0), "an interpreter is found from the present directory");
    // A shell has the library in it, too.
    let mapped = script(&path("mapped"), "grep -c libautotrim /proc/$$/maps\n");
    assert_ne!(finish(run().arg("--").arg(mapped)).stdout, "0\n");
    let fixed = waiting_program(directory.path(), "gcc", &["-static"]);
    let statically = |arguments: &[&str]| {
        finish(run().args(["--", "env"]).args(arguments).arg(&fixed)).says(2, &["statically linked"]);
    };
    statically(&[]);
    statically(&["-u", "FOO", "-C", "/", "A=1"]);
    statically(&["-S", "-C / A=1"]);
}
