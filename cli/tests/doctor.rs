//! `autotrim doctor` says why the library does nothing somewhere, and where the memory is.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use procfs::process::Process;
use support::common::gunicorn::{Gunicorn, Worker};
use support::common::http::{Connection, get};
use support::common::process::{children, clean_environment};
use support::common::script::Script;
use support::common::{LIMIT, library, python, root, servers, wait_within};
use support::findings::{doctor, found, has};
use support::group::Group;
use support::{
    Finished, NO_USER, Running, as_another_user, autotrim, autotrim_with, copy, finish, finish_as_nobody, is_root,
    open_copy, open_directory, script, waiting_program,
};

fn doctor_of_program(program: impl AsRef<Path>) -> Finished {
    finish(autotrim().args(["doctor", "--json", "--library"]).arg(library()).arg("--").arg(program.as_ref()))
}

#[test]
fn a_healthy_server_has_nothing_to_put_right() {
    let server = Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_IDLE", "2s").start();
    assert_eq!(get(server.port, "/small").status(), 200);
    let mut open = Connection::open(server.port);
    open.send(b"GET /small?seconds=0 HTTP/1.1\r\nHost: x\r\n");
    let finished = wait_within(LIMIT, "two requests and one connection", || {
        let finished = doctor(server.worker());
        found(&finished, "connections").iter().any(|(_, text)| text.ends_with("is followed (1)")).then_some(finished)
    });
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    has(&finished, "program", "good", "is dynamic");
    has(&finished, "libc", "good", "glibc-2.");
    has(&finished, "malloc", "good", "glibc-2.");
    has(&finished, "library", "good", "is loaded");
    has(&finished, "options", "info", "AUTOTRIM_IDLE=2s");
    has(&finished, "requests", "good", "1 answered, 1 in flight");
    has(&finished, "connections", "good", &format!("port {}", server.port));
    has(&finished, "memory", "info", "heap ");
    has(&finished, "cgroup", "info", "page cache");
    let text = autotrim_with(["doctor", &server.worker().to_string()]).stdout;
    assert!(text.starts_with(&format!("process {} (gunicorn)\n   ok  program ", server.worker())), "{text}");
}

/// Whose garbage there is, and what becomes of it.
#[test]
fn what_becomes_of_garbage_is_told() {
    for (gc, application, words) in [
        ("auto", None, "of CPython, not collected yet: that comes in quiet"),
        ("off", None, "of CPython, left to the program"),
        ("node", None, "of CPython, left to the program"),
        ("python", None, "of CPython, not collected yet: AUTOTRIM_GC asks for it"),
        ("auto", Some("moments:wsgi"), "s ago: it brought "),
    ] {
        let mut server = Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_GC", gc);
        if let Some(application) = application {
            server = server.application(application);
        }
        let server = server.start();
        assert_eq!(get(server.port, "/small").status(), 200);
        wait_within(LIMIT, words, || {
            let found = found(&doctor(server.worker()), "garbage");
            found.iter().any(|(level, text)| level == "info" && text.contains(words)).then_some(())
        });
    }
}

/// Java's takes a name.
#[test]
fn what_becomes_of_javas_garbage_is_told() {
    for (gc, words) in [
        ("auto", "of Java, left to the program: AUTOTRIM_GC=java has it collected"),
        ("java", "of Java, not collected yet: that comes in quiet"),
    ] {
        let server = Script::run(Path::new("java"), "Garbage.java", &["0"], &[("AUTOTRIM_GC", gc)]);
        assert_eq!(server.get("/").text(), "fine");
        has(&doctor(server.pid()), "garbage", "info", words);
    }
}

/// Its processes have little, and a limit would be reached all the same.
#[test]
fn a_cgroup_full_of_page_cache_is_told_from_a_process_that_grows() {
    let Some(group) = Group::new() else {
        return eprintln!("skipped: no cgroup for memory can be made here");
    };
    let directory = open_directory();
    let file = directory.path().join("file");
    let _other = group.start("exec sleep 600");
    let running = group.start(&format!("dd if=/dev/zero of={} bs=1M count=64 && exec sleep 600", file.display()));
    let finished = wait_within(LIMIT, "a file of 64 MB", || {
        let finished = doctor(running.pid());
        let found = found(&finished, "cgroup");
        // It begins in the test's own, which may be full of it as well.
        let is_in_group = found.iter().any(|(_, text)| text.contains(&format!("{} (v", group.path().display())));
        let is_told = found.iter().any(|(_, text)| text.starts_with("most of it is page cache"));
        (is_in_group && is_told).then_some(finished)
    });
    has(&finished, "cgroup", "info", &format!("{} (v", group.path().display()));
    has(&finished, "cgroup", "info", "of anonymous RSS, this one ");
    has(&finished, "cgroup", "info", " the largest other is ");
}

#[test]
fn a_server_without_the_library_is_told_how_to_get_it() {
    let server = Gunicorn::plain(Worker::Sync).start();
    let finished = doctor(server.worker());
    assert_eq!(finished.code, Some(1));
    has(&finished, "library", "problem", "LD_PRELOAD was not set");
    has(&finished, "library", "problem", "autotrim run");
}

#[test]
fn a_preload_whose_file_is_missing_is_named() {
    let server = Gunicorn::plain(Worker::Sync).env("LD_PRELOAD", "/no/such/libautotrim.so").start();
    has(&doctor(server.worker()), "library", "problem", "/no/such/libautotrim.so cannot be read");
}

#[test]
fn a_preload_that_the_processs_user_may_not_read_is_named() {
    if !is_root("a process of another user") {
        return;
    }
    let directory = open_directory();
    let private = directory.path().join("private");
    std::fs::create_dir(&private).expect("a directory");
    std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("its mode");
    let closed = open_copy(&library(), &private);
    let program = waiting_program(directory.path(), "cc", &[]);
    let words = format!("{} has mode 0700", private.display());
    let running = Running::start(as_another_user(&program).env("LD_PRELOAD", &closed)).has_become(&program);
    let finished = doctor(running.pid());
    assert_eq!(finished.code, Some(1));
    has(&finished, "library", "problem", &words);
    has(&finished, "library", "problem", &format!("(id {NO_USER}) may not read {}", closed.display()));
    // Before it is started; its owner it is not closed to.
    let unstarted = finish(autotrim().args(["doctor", "--json", "--library"]).arg(&closed).arg("--").arg(&program));
    assert_eq!(unstarted.code, Some(0));
    has(&unstarted, "library", "warning", &words);
    std::os::unix::fs::chown(&private, Some(NO_USER), None).expect("chown");
    let running = Running::start(as_another_user(&program).env("LD_PRELOAD", &closed)).has_become(&program);
    has(&doctor(running.pid()), "library", "good", "is loaded");
}

#[test]
fn options_that_do_not_parse_or_turn_everything_off_are_named() {
    let wrong = Gunicorn::preloaded(Worker::Sync)
        .env("AUTOTRIM_INTERVAL", "often")
        .env("AUTOTRIM_METRICS_DIR", "metrics")
        .env("AUTOTRIM_INTERVALL", "1")
        .env("AUTOTRIM_GROW", "1M")
        .env("AUTOTRIM_COLOUR", "red")
        .start();
    let finished = doctor(wrong.worker());
    has(&finished, "options", "problem", "AUTOTRIM_INTERVAL=often is not a whole number or off: 1024 is used");
    has(
        &finished,
        "options",
        "problem",
        "AUTOTRIM_METRICS_DIR=metrics is not an absolute path or off: nothing is used",
    );
    has(
        &finished,
        "options",
        "warning",
        "AUTOTRIM_INTERVALL is set and is no option of the library: did you mean AUTOTRIM_INTERVAL?",
    );
    has(
        &finished,
        "options",
        "warning",
        "AUTOTRIM_GROW is set and is no option of the library: did you mean AUTOTRIM_GROWTH?",
    );
    assert!(
        found(&finished, "options")
            .iter()
            .any(|(_, text)| text.ends_with("AUTOTRIM_COLOUR is set and is no option of the library"))
    );
    let off = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_PROGRAMS", "!guni*").start();
    has(&doctor(off.worker()), "options", "problem", "leaves this process alone");
}

/// As `autotrim run` would start it.
#[test]
fn a_program_would_get_this_environment() {
    let mut command = autotrim();
    command.args(["doctor", "--json", "--library"]).arg(library()).args(["--", "sh"]);
    let well = finish(&mut command);
    assert_eq!((well.code, found(&well, "options")), (Some(0), vec![]));
    let finished = finish(command.env("AUTOTRIM_IDEL", "1s").env("AUTOTRIM_IDLE", "soon"));
    assert_eq!(finished.code, Some(1));
    has(&finished, "options", "problem", "AUTOTRIM_IDLE=soon is not a duration");
    has(&finished, "options", "warning", "did you mean AUTOTRIM_IDLE?");
}

/// A request that takes long is in flight, and nobody asks for quiet: no moment for a trim.
#[test]
fn growth_that_finds_no_moment_is_told() {
    let gunicorn = Gunicorn::preloaded(Worker::Gthread).arguments(&["--threads", "4"]);
    let gunicorn = gunicorn.env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_IDLE", "0").env("AUTOTRIM_DEFER", "10m");
    let server = gunicorn.env("AUTOTRIM_LOG", "debug").start();
    get(server.port, "/fragment");
    server.wait_for_line("a first trim, after which there is a floor", |line| line.is_trim("growth"));
    let is_told = || {
        let noted = found(&doctor(server.worker()), "growth");
        noted.iter().any(|(level, text)| level == "warning" && text.contains("no trim for 10 s"))
    };
    // On a busy machine the request that is open may have been so for so long that nothing waits for it any more.
    let told = (0..5).any(|_| {
        let mut told = false;
        let answer = server.while_one_is_open(|| {
            get(server.port, "/fragment");
            let began = Instant::now();
            while !told && began.elapsed() < Duration::from_secs(20) {
                told = is_told();
            }
        });
        assert_eq!(answer.text(), "hello");
        told
    });
    assert!(told, "no word about growth: {}", server.stderr());
    wait_within(LIMIT, "the trim", || found(&doctor(server.worker()), "growth").is_empty().then_some(()));
}

#[test]
fn metrics_that_cannot_be_written_are_named() {
    let directory = open_directory();
    for (path, level) in [(directory.path().join("missing"), Some("problem")), (directory.path().to_owned(), None)] {
        let server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_METRICS_DIR", &path).start();
        assert_eq!(get(server.port, "/small").status(), 200);
        let finished = wait_within(LIMIT, "the request, and its file if there is one", || {
            let finished = doctor(server.worker());
            let (counted, missing) = (found(&finished, "requests"), found(&finished, "metrics"));
            let is_there = missing.first().map(|(level, _)| level.as_str()) == level;
            (is_there && counted.iter().any(|(level, _)| level == "good")).then_some(finished)
        });
        assert_eq!(finished.code, Some(i32::from(level.is_some())), "{}", finished.stdout);
    }
}

#[test]
fn programs_that_cannot_have_the_library_are_told_why_while_they_run() {
    let directory = open_directory();
    let fixed = waiting_program(directory.path(), "gcc", &["-static"]);
    let running = Running::start(&mut Command::new(&fixed)).has_become(&fixed);
    let finished = doctor(running.pid());
    assert_eq!(finished.code, Some(1));
    has(&finished, "library", "problem", "statically linked");
    let musl = waiting_program(directory.path(), "musl-gcc", &[]);
    let running = Running::start(&mut Command::new(&musl)).has_become(&musl);
    let finished = doctor(running.pid());
    has(&finished, "program", "good", "ld-musl");
    has(&finished, "libc", "good", "musl");
    has(&finished, "malloc", "info", "musl's own");
    has(&doctor_of_program(&musl), "malloc", "info", "musl's own");
    if is_root("a setuid copy") {
        let program = waiting_program(directory.path(), "cc", &[]);
        std::os::unix::fs::chown(&program, Some(1), None).expect("chown");
        let program = copy(&program, &directory.path().join("setuid"), 0o755);
        std::os::unix::fs::chown(&program, Some(1), None).expect("chown");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).expect("its mode");
        let mut command = Command::new(&program);
        let running = Running::start(command.env("LD_PRELOAD", library())).has_become(&program);
        has(&doctor(running.pid()), "library", "problem", "secure mode");
    }
}

/// It has no memory of its own, like a thread of the kernel.
#[test]
fn a_process_that_has_ended_is_no_server() {
    let mut child = Command::new("true").spawn().expect("true");
    let pid = child.id();
    let is_over = || Process::new(pid as i32).and_then(|process| process.stat()).is_ok_and(|stat| stat.state == 'Z');
    wait_within(LIMIT, "its end", || is_over().then_some(()));
    let finished = doctor(pid);
    assert_eq!(finished.code, Some(1));
    has(&finished, "program", "problem", "a process that has ended");
    autotrim_with(["status", &pid.to_string()]).says(1, &["does not have the library"]);
    autotrim_with(["trim", &pid.to_string()]).says(1, &["does not have the library"]);
    child.wait().expect("wait");
    autotrim_with(["doctor", &pid.to_string()]).says(1, &["there is no process"]);
}

#[test]
fn another_malloc_is_named() {
    for (preload, name) in [
        ("libjemalloc.so.2", "jemalloc"),
        ("libmimalloc.so.2", "mimalloc"),
        ("libtcmalloc_minimal.so.4", "gperftools-tcmalloc"),
    ] {
        let both = format!("{preload}:{}", library().display());
        let server = Gunicorn::plain(Worker::Sync).env("LD_PRELOAD", both).start();
        has(&doctor(server.worker()), "malloc", "good", name);
    }
}

/// A process that serves nothing: it is told what would help, and what helped is shown.
#[test]
fn a_process_that_serves_nothing_is_told_what_to_set() {
    let start = |period: &str| {
        let mut command = Command::new(python());
        clean_environment(&mut command).arg(servers().join("worker.py")).arg("wait");
        command.env("LD_PRELOAD", library()).env("AUTOTRIM_PERIOD", period);
        Running::start(&mut command).has_loaded(&library())
    };
    let running = start("0");
    // It is mapped before it has begun.
    let finished = wait_within(LIMIT, "connections", || {
        Some(doctor(running.pid())).filter(|finished| !found(finished, "connections").is_empty())
    });
    has(&finished, "requests", "info", "only AUTOTRIM_PERIOD (such as 1m), AUTOTRIM_PRESSURE=auto or AUTOTRIM_SIGNAL");
    has(&finished, "connections", "info", "listens nowhere");
    let running = start("1s");
    let finished = wait_within(LIMIT, "a trim", || {
        let finished = doctor(running.pid());
        found(&finished, "requests").iter().any(|(level, _)| level == "good").then_some(finished)
    });
    has(&finished, "requests", "good", "0 answered, 0 in flight; ");
    assert_eq!(finished.code, Some(0));
}

#[test]
fn a_unix_socket_is_seen_too() {
    let directory = open_directory();
    let socket = directory.path().join("server.sock");
    let mut command = Command::new(python().with_file_name("gunicorn"));
    clean_environment(&mut command).arg("--bind").arg(format!("unix:{}", socket.display()));
    command.arg("--pythonpath").arg(servers()).arg("app:wsgi").env("LD_PRELOAD", library());
    let running = Running::start(&mut command);
    // It waits in line until there is a worker.
    let mut client = wait_within(LIMIT, "the socket", || UnixStream::connect(&socket).ok());
    client.write_all(b"GET /small HTTP/1.0\r\n\r\n").expect("the request");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let worker = children(running.pid())[0];
    let finished = wait_within(LIMIT, "the request", || {
        let finished = doctor(worker);
        found(&finished, "requests").iter().any(|(level, _)| level == "good").then_some(finished)
    });
    has(&finished, "connections", "good", &format!("listens on {}; every open", socket.display()));
    assert_eq!(finished.code, Some(0));
}

/// The kernel cuts names after 15 bytes, and programs change theirs: neither decides.
#[test]
fn a_program_is_chosen_by_the_name_it_was_started_by() {
    let directory = open_directory();
    let name = "a-name-that-the-kernel-cuts";
    let server =
        script(&directory.path().join(name), &format!("#!{}\nimport signal\nsignal.pause()\n", python().display()));
    for (programs, level) in [(name, None), ("a-name-that-the", Some("problem"))] {
        let mut command = Command::new(&server);
        let running = Running::start(command.env("LD_PRELOAD", library()).env("AUTOTRIM_PROGRAMS", programs));
        let running = running.has_loaded(&library());
        let finished = doctor(running.pid());
        let alone =
            found(&finished, "options").into_iter().find(|(_, text)| text.contains("leaves this process alone"));
        assert_eq!(alone.map(|(level, _)| level).as_deref(), level, "{}", finished.stdout);
    }
}

#[test]
fn connections_that_come_past_the_library_are_found() {
    // Compiled by the library's tests too; here with a name of its own.
    let directory = open_directory();
    let program = directory.path().join("accepts_by_io_uring");
    let source = root().join("tests/fixtures/accepts_by_io_uring.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-D_GNU_SOURCE", "-pthread", "-o"]).arg(&program).arg(source).arg("-luring");
    assert!(compiler.status().expect("cc").success());
    let mut command = Command::new(&program);
    // Its own client comes once, and again in ten minutes.
    clean_environment(&mut command).args(["epoll", "3", "600000"]).env("LD_PRELOAD", library());
    let running = Running::start(&mut command).has_become(&program);
    let port: u16 = wait_within(LIMIT, "its port", || {
        let (_, text) = found(&doctor(running.pid()), "connections").pop()?;
        text.strip_prefix("listens on port ")?.split(';').next()?.parse().ok()
    });
    let _client = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let finished = wait_within(LIMIT, "a connection", || {
        let finished = doctor(running.pid());
        found(&finished, "connections").iter().any(|(level, _)| level == "problem").then_some(finished)
    });
    assert_eq!(finished.code, Some(1));
    has(&finished, "connections", "problem", "1 of 1 connections");
    has(&finished, "connections", "problem", "set AUTOTRIM_PERIOD");
}

#[test]
fn a_program_is_examined_without_being_started() {
    let directory = open_directory();
    let python = doctor_of_program(python());
    assert_eq!(python.code, Some(0));
    has(&python, "program", "good", "is dynamic");
    has(&python, "library", "good", "can be preloaded");
    // It asks for a malloc of its own.
    let redis = doctor_of_program("redis-server");
    assert_eq!(redis.code, Some(0));
    has(&redis, "malloc", "good", "jemalloc");
    let fixed = waiting_program(directory.path(), "gcc", &["-static"]);
    let started = directory.path().join("started");
    let by_script =
        script(&directory.path().join("run"), &format!("#!{}\ntouch {}\n", fixed.display(), started.display()));
    let finished = doctor_of_program(&by_script);
    assert_eq!(finished.code, Some(1));
    has(&finished, "program", "info", "run is a script");
    has(&finished, "library", "problem", "statically linked");
    has(&doctor_of_program(waiting_program(directory.path(), "musl-gcc", &[])), "program", "good", "ld-musl");
    let harmless = script(&directory.path().join("harmless"), &format!("#!/bin/sh\ntouch {}\n", started.display()));
    assert_eq!(doctor_of_program(harmless).code, Some(0));
    assert!(!started.exists());
    autotrim_with(["doctor", "--", "/no/such/program"]).says(127, &["not found"]);
    autotrim_with(["doctor"]).says(2, &[]);
}

/// Each is known by a text that stands in it.
#[test]
fn an_allocator_that_a_program_hides_is_named_with_what_helps() {
    let directory = open_directory();
    let source = directory.path().join("hides.c");
    let built = |name: &str, text: &str| {
        let content = format!("const char *const texts[] = {{ {text} }};\nint main(void) {{ return 0; }}\n");
        std::fs::write(&source, content).expect("the source");
        let program = directory.path().join(name);
        assert!(Command::new("cc").arg("-o").args([&program, &source]).status().expect("cc").success());
        doctor_of_program(program)
    };
    let jemalloc = built("jemalloc", r#""x", "_RJEM_MALLOC_CONF", "y""#);
    has(
        &jemalloc,
        "allocator",
        "warning",
        "jemalloc has a jemalloc of its own, which no trim reaches: _RJEM_MALLOC_CONF=dirty",
    );
    let mimalloc = built("mimalloc", r#""mimalloc: warning: %s""#);
    has(&mimalloc, "allocator", "warning", "MIMALLOC_PURGE_DELAY=0");
    let neither = built("neither", r#""see MALLOC_CONF", "mimalloc""#);
    assert_eq!(found(&neither, "allocator"), []);
    has(&neither, "malloc", "good", "glibc's own");
    // One that is the program's malloc is known, wherever it comes from.
    let mut preloaded = autotrim();
    preloaded.args(["doctor", "--json", "--library"]).arg(library()).args(["--", "true"]);
    has(&finish(preloaded.env("LD_PRELOAD", "libjemalloc.so.2")), "malloc", "good", "jemalloc");
}

#[test]
fn without_permission_it_says_so_and_tells_what_everybody_may_know() {
    if !is_root("looking as another user") {
        return;
    }
    let server = Gunicorn::preloaded(Worker::Sync).start();
    let finished = finish_as_nobody(autotrim().args(["doctor", "--json", &server.worker().to_string()]));
    assert_eq!(finished.code, Some(1));
    has(&finished, "access", "problem", "CAP_SYS_PTRACE");
    has(&finished, "memory", "info", "RSS ");
}
