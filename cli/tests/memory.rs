//! What `autotrim doctor` says of the memory of processes that run, with the library and without it.

mod support;

use std::path::Path;
use std::process::Command;

use support::common::package::file_of;
use support::common::process::{anonymous_kb, clean_environment};
use support::common::{LIMIT, free_port, library, python, wait_within};
use support::findings::{doctor, found, has};
use support::group::Group;
use support::{Finished, Running, copy, is_root, open_directory};

const MB: u64 = 1 << 20;

/// Starts a program that holds as much memory, in kilobytes, before it waits.
fn holding(command: &mut Command, kilobytes: u64) -> Running {
    let running = Running::start(clean_environment(command));
    wait_within(LIMIT, "its memory", || {
        let is_waiting = procfs::process::Process::new(running.pid() as i32).ok()?.stat().ok()?.state == 'S';
        (is_waiting && anonymous_kb(running.pid()) > Some(kilobytes)).then_some(())
    });
    running
}

fn python_program(source: &str) -> Command {
    let mut command = Command::new(python());
    command.args(["-c", source]);
    command
}

/// The bytes of one part of RSS.
fn part(finished: &Finished, name: &str) -> u64 {
    let memory = found(finished, "memory");
    let (_, text) = memory.iter().find(|(_, text)| text.starts_with("RSS ")).expect("RSS");
    let (_, parts) = text.split_once(" = ").expect("parts");
    let mut sizes = parts.split(" + ").filter_map(|part| part.rsplit_once(' '));
    let Some((_, size)) = sizes.find(|(part, _)| part.ends_with(name)) else { return 0 };
    let (number, unit) = size.split_at(size.len() - 1);
    let unit = match unit {
        "K" => 1 << 10,
        "M" => MB,
        "G" => 1 << 30,
        _ => return 0,
    };
    (number.parse::<f64>().expect("a number") * unit as f64) as u64
}

/// Three kinds of memory that CPython has, in known amounts: small objects, blocks of malloc, and large blocks.
#[test]
fn memory_of_python_is_told_apart() {
    let source = "import threading, time\n\
                  small = [float(number) for number in range(2_000_000)]\n\
                  large = [bytearray(8 << 20) for _ in range(4)]\n\
                  def work():\n  global middle\n  middle = [bytes(3000) for _ in range(8000)]\n  time.sleep(600)\n\
                  threading.Thread(target=work, daemon=True).start()\n\
                  time.sleep(600)";
    let running = holding(&mut python_program(source), 96 << 10);
    let finished = wait_within(LIMIT, "its thread", || {
        let finished = doctor(running.pid());
        (part(&finished, "one more arena") > 22 * MB).then_some(finished)
    });
    // 24 bytes each, 16 MB of references in a large block, and 24 MB in the thread's arena.
    for (name, least, most) in
        [("pymalloc", 46, 64), ("large blocks", 46, 56), ("one more arena", 22, 30), ("other anonymous", 0, 4)]
    {
        let bytes = part(&finished, name);
        assert!((least * MB..most * MB).contains(&bytes), "{name} {bytes}: {}", finished.stdout);
    }
    has(&finished, "reach", "info", " in pymalloc, of which it gives back what is free");
    // The most useful first.
    let advice: Vec<String> = found(&finished, "advice").into_iter().map(|(_, text)| text).collect();
    let place =
        |words: &str| advice.iter().position(|text| text.contains(words)).unwrap_or_else(|| panic!("{advice:?}"));
    assert!(place("autotrim doctor --try") < place("pymalloc's"), "{advice:?}");
    assert_eq!(finished.code, Some(1), "it has no library");
}

#[test]
fn memory_of_node_is_told_apart() {
    let source = "const all = []; for (let i = 0; i < 400000; i++) all.push({ i, text: 'x' + i }); setInterval(() => all, 600000)";
    let running = holding(Command::new("node").args(["-e", source]), 40 << 10);
    let finished = doctor(running.pid());
    let (heap, other) = (part(&finished, "V8 heap"), part(&finished, "other anonymous"));
    assert!(heap > 24 * MB && other < heap / 4, "{}", finished.stdout);
    has(&finished, "advice", "info", "the V8 heap is its collector's");
}

/// A part of its heap that is full, in a heap that is larger.
#[test]
fn memory_of_java_is_told_apart() {
    const SOURCE: &str = "public class Holds { static byte[][] all = new byte[48][];\n\
                          public static void main(String[] none) throws Exception {\n\
                          for (int i = 0; i < all.length; i++) all[i] = new byte[1 << 20];\n\
                          Thread.sleep(600000); } }\n";
    let directory = open_directory();
    let source = directory.path().join("Holds.java");
    std::fs::write(&source, SOURCE).expect("the source");
    let running = holding(Command::new("java").args(["-Xmx256m", "-Xshare:off"]).arg(&source), 48 << 10);
    let finished = wait_within(LIMIT, "its heap", || {
        let finished = doctor(running.pid());
        (part(&finished, "Java heap") > 48 * MB).then_some(finished)
    });
    assert!(part(&finished, "Java heap") <= 260 * MB, "{}", finished.stdout);
    has(&finished, "advice", "info", "AUTOTRIM_GC=java");
}

/// Files and shared memory are no memory of its own.
#[test]
fn what_is_shared_or_of_a_file_is_told_apart() {
    let source = "import mmap, time\n\
                  shared = mmap.mmap(-1, 32 << 20)\n\
                  shared.write(bytes(32 << 20))\n\
                  own = bytearray(b'x') * (8 << 20)\n\
                  time.sleep(600)";
    let running = holding(&mut python_program(source), 8 << 10);
    let finished = doctor(running.pid());
    let shared = part(&finished, "shared");
    assert!((32 * MB..34 * MB).contains(&shared), "{}", finished.stdout);
    assert!(part(&finished, "files") > MB, "{}", finished.stdout);
    has(&finished, "advice", "info", "shared memory is given back by who made it");
}

#[test]
fn locked_memory_is_told() {
    if !is_root("mlockall") {
        return;
    }
    let source = "import ctypes, time\n\
                  own = bytearray(b'x') * (32 << 20)\n\
                  assert ctypes.CDLL(None).mlockall(1) == 0\n\
                  time.sleep(600)";
    let running = holding(&mut python_program(source), 32 << 10);
    let finished = wait_within(LIMIT, "its lock", || {
        let finished = doctor(running.pid());
        (!found(&finished, "locked").is_empty()).then_some(finished)
    });
    has(&finished, "locked", "warning", "of RSS are locked (mlockall");
    has(&finished, "memory", "info", " locked");
}

#[test]
fn the_mode_of_huge_pages_is_told() {
    let running = holding(&mut python_program("import time\ntime.sleep(600)"), 1 << 10);
    let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let told = found(&doctor(running.pid()), "huge pages");
    assert_eq!(told.is_empty(), enabled.is_empty(), "{told:?}");
    assert!(told.iter().all(|(_, text)| text.contains(" of RSS in them")), "{told:?}");
}

/// Whatever its name is: it stands in the same file, and may be no text.
#[test]
fn huge_pages_that_a_process_has_switched_off_are_told() {
    if !Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists() {
        return eprintln!("skipped: there are no transparent huge pages here");
    }
    // PR_SET_NAME and PR_SET_THP_DISABLE.
    let source = "import ctypes, time\n\
                  libc = ctypes.CDLL(None)\n\
                  libc.prctl(15, b'\\xff', 0, 0, 0)\n\
                  assert libc.prctl(41, 1, 0, 0, 0) == 0\n\
                  time.sleep(600)";
    let running = Running::start(clean_environment(&mut python_program(source)));
    let told = wait_within(LIMIT, "what it has switched off", || {
        let told = found(&doctor(running.pid()), "huge pages");
        told.iter().any(|(_, text)| text.contains("off for this process")).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:?}");
}

/// Those that come with Python's extensions are found by what stands in their files; these are granian's, and copies under other names.
#[test]
fn hidden_allocators_are_named_with_their_switch() {
    let wait = "import time; time.sleep(600)";
    let running = holding(&mut python_program(&format!("import granian._granian; {wait}")), 4 << 10);
    let finished = doctor(running.pid());
    has(&finished, "allocator", "warning", "_granian.cpython");
    has(&finished, "allocator", "warning", "_RJEM_MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0");
    let directory = open_directory();
    let mimalloc = copy(&file_of("libmimalloc2.0", "libmimalloc.so.2"), &directory.path().join("libother.so"), 0o755);
    // Of what a file has only its beginning matters here; the name is Arrow's.
    let arrow = directory.path().join("libarrow.so.2600");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-x", "c", "/dev/null", "-o"]).arg(&arrow);
    assert!(compiler.status().expect("cc").success());
    let load = |file: &Path| format!("import ctypes; ctypes.CDLL('{}'); {wait}", file.display());
    let running = holding(&mut python_program(&load(&mimalloc)), 2 << 10).has_loaded(&mimalloc);
    has(&doctor(running.pid()), "allocator", "warning", "libother.so has a mimalloc of its own");
    let running = holding(&mut python_program(&load(&arrow)), 2 << 10).has_loaded(&arrow);
    let finished = doctor(running.pid());
    has(&finished, "allocator", "warning", "ARROW_DEFAULT_MEMORY_POOL=system has it use malloc");
    assert!(found(&finished, "allocator").iter().all(|(_, text)| !text.contains("set here")), "{}", finished.stdout);
    let mut command = python_program(&load(&arrow));
    let running = Running::start(clean_environment(&mut command).env("ARROW_DEFAULT_MEMORY_POOL", "system"));
    let running = running.has_loaded(&arrow);
    has(&doctor(running.pid()), "allocator", "warning", "; set here: ARROW_DEFAULT_MEMORY_POOL=system");
}

/// Such as a log, or a model of gigabytes, which is not looked through either.
#[test]
fn what_stands_in_a_file_of_data_is_no_allocator() {
    let directory = open_directory();
    let data = directory.path().join("data");
    std::fs::write(&data, b"mimalloc: warning: \0_RJEM_MALLOC_CONF\0".repeat(200)).expect("a file");
    let source = format!(
        "import mmap, time\n\
         file = open('{}')\n\
         data = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)\n\
         assert data.find(b'none of it') < 0\n\
         time.sleep(600)",
        data.display()
    );
    let running = Running::start(clean_environment(&mut python_program(&source)));
    let finished = wait_within(LIMIT, "its file", || {
        let maps = std::fs::read_to_string(format!("/proc/{}/smaps", running.pid())).ok()?;
        let (_, mapped) = maps.split_once(data.to_str()?)?;
        mapped
            .lines()
            .find(|line| line.starts_with("Rss:"))
            .is_some_and(|line| !line.ends_with(" 0 kB"))
            .then(|| doctor(running.pid()))
    });
    assert_eq!(found(&finished, "allocator"), [], "{}", finished.stdout);
}

#[test]
fn a_malloc_that_the_library_knows_is_named_with_what_does_without_it() {
    let mut command = Command::new("redis-server");
    clean_environment(&mut command).args(["--port", &free_port().to_string(), "--save", ""]);
    let redis = Running::start(&mut command);
    let finished = wait_within(LIMIT, "redis", || {
        let finished = doctor(redis.pid());
        (!found(&finished, "allocator").is_empty()).then_some(finished)
    });
    has(
        &finished,
        "allocator",
        "info",
        "jemalloc is the program's malloc, which the library has give back what is free",
    );
    has(&finished, "allocator", "info", "MALLOC_CONF=background_thread:true");
}

/// A limit of a group around it counts as well, and so does what has come of it.
#[test]
fn limits_and_what_came_of_them_are_told() {
    let Some(group) = Group::new() else {
        return eprintln!("skipped: no cgroup for memory can be made here");
    };
    let limit = ["memory.max", "memory.limit_in_bytes"].map(|name| group.path().join(name));
    let Some(limit) = limit.iter().find(|limit| limit.exists()) else { return eprintln!("skipped: no limit") };
    let running = group.start("exec sleep 600");
    if std::fs::write(limit, "41943040").is_err() {
        return eprintln!("skipped: the limit cannot be set here");
    }
    let tell = |subject| {
        wait_within(LIMIT, "the cgroup", || {
            Some(found(&doctor(running.pid()), subject)).filter(|told| !told.is_empty())
        })
    };
    assert!(tell("cgroup").iter().any(|(_, text)| text.contains(" of 40.0M: ")), "{:?}", tell("cgroup"));
    // It needs more than there is.
    let mut greedy = group.start(&format!("exec {} -c 'x = bytearray(b\"x\") * (200 << 20)'", python().display()));
    wait_within(LIMIT, "the end of it", || (!greedy.is_alive()).then_some(()));
    let told = tell("cgroup");
    assert!(told.iter().any(|(_, text)| text.contains("processes ended by the OOM killer")), "{told:?}");
}

/// Its first process has the preload, and so has all that is executed there later, if the image set it.
#[test]
fn commands_executed_in_a_container_are_thought_of() {
    if !is_root("a pid namespace") {
        return;
    }
    let sleep = "import time; time.sleep(600)";
    let mut command = Command::new("unshare");
    clean_environment(&mut command).args(["--pid", "--fork", "--kill-child"]).arg("env");
    command.arg(format!("LD_PRELOAD={}", library().display())).arg(python()).args(["-c", sleep]);
    let running = Running::start(&mut command);
    let inner = wait_within(LIMIT, "the process in it", || {
        let child = support::common::process::children(running.pid()).first().copied()?;
        support::common::process::has_mapped(child, &library()).then_some(child)
    });
    has(&doctor(inner), "probes", "info", "each command executed there loads the library, too");
    // Where we are ourselves that is nothing to be told.
    let mut command = python_program(sleep);
    let running = Running::start(clean_environment(&mut command).env("LD_PRELOAD", library())).has_loaded(&library());
    assert_eq!(found(&doctor(running.pid()), "probes"), []);
}
