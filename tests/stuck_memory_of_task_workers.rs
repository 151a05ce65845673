//! What a task has left goes back while its worker waits for the next one: real task workers, with no option set but the log's.

mod common;
#[path = "common/forced_trim.rs"]
mod forced_trim;
#[path = "common/program.rs"]
mod program;

use common::process::{clean_environment, until_old};
use common::{LIMIT, servers};
use program::{Program, Running, gives_back, of_the_environment};
use std::process::Command;
use std::time::{Duration, Instant};

/// Between two looks at it.
const MOMENT: Duration = Duration::from_millis(500);

/// A Redis server in memory for a task worker, and its URL.
fn redis() -> (Running, String) {
    let program = Program {
        name: "Redis",
        command: &|place| {
            let mut command = Command::new("redis-server");
            clean_environment(&mut command).args(["--port", &place.port.to_string(), "--bind", "127.0.0.1"]);
            command.args(["--save", "", "--appendonly", "no"]);
            command
        },
        work: &|_| Box::new(()),
        half_a_request: Some(b""),
    };
    let redis = Running::start(&program, false);
    let url = format!("redis://127.0.0.1:{}/0", redis.port);
    (redis, url)
}

/// A kind of task workers: a program and its first argument with the others, once to work and once to send a task.
struct Tasks<'a> {
    name: &'static str,
    worker: [&'a str; 2],
    arguments: &'a [&'a str],
    send: [&'a str; 2],
}

/// A worker gets a task when it is old enough to be looked at, and is looked at by `then` while it waits for the next.
fn between_tasks(tasks: &Tasks, task: &[&str], then: impl Fn(&Program)) {
    let &Tasks { name, worker, arguments, send } = tasks;
    let (_redis, url) = redis();
    let command = |[program, first]: [&str; 2], rest: &[&str]| {
        let mut command = of_the_environment(program);
        command.env("REDIS_URL", &url).env("RQ_REDIS_URL", &url).arg(first).args(rest);
        command
    };
    then(&Program {
        name,
        command: &|_| command(worker, arguments),
        work: &|running| {
            // Which process gets the task is seen when it has. If that was too young, there is another one when it is not.
            for number in 1.. {
                let sent = command(send, task).current_dir(running.directory.path()).output().expect("a task is sent");
                assert!(sent.status.success(), "{sent:?}");
                running.wait_for_reports(number);
                let missing = until_old(running.pid());
                if missing.is_zero() {
                    break;
                }
                std::thread::sleep(missing);
            }
            Box::new(())
        },
        half_a_request: None,
    });
}

const CELERY: [&str; 2] = ["celery", "--app=report_celery"];
/// It has one child, which gets its tasks by a pipe.
const CELERY_PREFORK: Tasks =
    Tasks { name: "Celery", worker: CELERY, arguments: &["worker", "--concurrency", "1"], send: CELERY };
/// It does them itself.
const CELERY_SOLO: Tasks =
    Tasks { name: "Celery, solo", worker: CELERY, arguments: &["worker", "--pool", "solo"], send: CELERY };
/// The worker class that works itself; the default's children end after one job each.
const RQ: Tasks = Tasks {
    name: "RQ",
    worker: ["rq", "worker"],
    arguments: &["--worker-class", "rq.worker.SimpleWorker"],
    send: ["rq", "enqueue"],
};

#[test]
fn a_task_of_celery() {
    between_tasks(&CELERY_PREFORK, &["call", "report"], gives_back);
}

#[test]
fn a_job_of_rq() {
    between_tasks(&RQ, &["report.make"], gives_back);
}

#[test]
fn a_message_of_dramatiq() {
    let send = servers().join("report_dramatiq.py");
    let tasks = Tasks {
        name: "Dramatiq",
        worker: ["dramatiq", "report_dramatiq"],
        arguments: &["--processes", "1", "--threads", "2"],
        send: ["python", send.to_str().expect("a path in UTF-8")],
    };
    between_tasks(&tasks, &[], gives_back);
}

/// Half of what a task has left as garbage.
const GARBAGE_KB: u64 = 60 * 1024;

/// What a task has left as garbage is collected while the worker waits for the next.
fn gives_garbage_back(program: &Program) {
    let running = Running::start(program, true);
    let _kept = (program.work)(&running);
    let is_told = || running.read("stderr").contains(" gc=python ");
    let is_done = || is_told() && running.anonymous() < GARBAGE_KB;
    let end = Instant::now() + LIMIT;
    while !is_done() && Instant::now() < end {
        std::thread::sleep(MOMENT);
    }
    assert!(is_done(), "{}: {} KB\n{}", program.name, running.anonymous(), running.read("stderr"));
}

#[test]
fn garbage_of_a_task_of_celery() {
    between_tasks(&CELERY_PREFORK, &["call", "leave"], gives_garbage_back);
}

#[test]
fn garbage_of_a_task_of_celery_that_its_worker_does_itself() {
    between_tasks(&CELERY_SOLO, &["call", "leave"], gives_garbage_back);
}

#[test]
fn garbage_of_a_job_of_rq() {
    between_tasks(&RQ, &["report.leave"], gives_garbage_back);
}
