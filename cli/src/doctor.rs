//! `autotrim doctor`: why the library does nothing in a process, or whether it will in a program; and where the memory is.

mod activity;
mod advice;
mod arenas;
mod findings;
mod group;
mod hidden;
mod in_force;
mod kernel;
mod look;
mod memory;
mod probes;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::{Doctor, assignment, parsed};
use crate::attempt::{Outcome, attempt};
use crate::block::Unread;
use crate::failure::Failure;
use crate::image::Image;
use crate::options::Options;
use crate::program::Program;
use crate::target::Target;
use crate::{access, allocator, environment, run, sanitizer, status, units};
use findings::{Findings, Level};
use look::Look;

/// Less than this, or a tenth of all, is not worth a library.
const WORTH_TRIMMING: u64 = 4 << 20;
/// `AT_SECURE` of getauxval(3).
const AT_SECURE: u64 = 23;

/// Examines a process or a program.
pub fn doctor(arguments: &Doctor) -> Result<ExitCode, Failure> {
    let findings = match arguments.pid {
        Some(pid) if arguments.attempt => tried(&Target::open(pid)?, arguments.yes)?,
        Some(pid) => process(&Target::open(pid)?),
        None => program(&arguments.program, arguments.library.as_deref())?,
    };
    let code = u8::from(findings.any_problem());
    findings.show(arguments.json);
    Ok(ExitCode::from(code))
}

/// A program that is not started.
fn program(arguments: &[OsString], library: Option<&Path>) -> Result<Findings, Failure> {
    let program = Program::find(arguments)?;
    let mut findings = Findings::of(format!("program {}", program.path.display()), None);
    for script in &program.scripts {
        findings.add("program", Level::Info, format!("{} is a script", script.display()));
    }
    match &program.image {
        Some(image) => {
            findings.image(image);
            match sanitizer::of_program(&image.elf) {
                Some(name) => findings.add("malloc", Level::Problem, format!("{name}'s, which keeps what is freed")),
                None => {
                    let of_libc = || {
                        // A static program has one of its own, and Go's is none of libc's.
                        let is_libcs = image.interpreter.is_some() && !image.is_go();
                        let name = if image.is_of_musl() { allocator::MUSL } else { allocator::GLIBC };
                        is_libcs.then(|| name.to_owned())
                    };
                    let name = allocator::of_program(&image.elf).or_else(of_libc);
                    name.iter().for_each(|name| malloc(name, &mut findings));
                }
            }
            for text in allocator::beside(&image.elf) {
                findings.add("allocator", Level::Warning, format!("{} has {text}", image.path.display()));
            }
        }
        None => findings.add("program", Level::Info, "what it executes cannot be read".into()),
    }
    // It would be started with this command's own environment.
    let own = std::env::vars_os().map(|(name, value)| assignment(&name, &value));
    let options = parsed(b"", own);
    match run::library(library) {
        Ok((path, architecture)) => match run::refusal(&program, architecture, &options) {
            Some(why) => findings.add("library", Level::Problem, why),
            None => {
                findings.add("library", Level::Good, format!("{} can be preloaded into it", path.display()));
                if let Some(closed) = access::closed_to_others(&path) {
                    findings.add("library", Level::Warning, closed);
                }
                findings.add("start", Level::Info, "autotrim run -- CMD".into());
                complaints(&options, &mut findings);
                if let Some(missing) = environment::missing_directory(&options) {
                    findings.add("options", Level::Warning, missing);
                }
            }
        },
        Err(failure) => findings.add("library", Level::Problem, failure.to_string()),
    }
    Ok(findings)
}

/// What one trim brings in a process.
fn tried(target: &Target, is_agreed: bool) -> Result<Findings, Failure> {
    let Outcome { before: [rss, anonymous], after: [rss_after, anonymous_after], took, stood } =
        attempt(target, is_agreed)?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
    let mut findings = Findings::of(format!("process {} ({})", target.pid, target.name()), Some(target.pid));
    let text = format!(
        "RSS {} → {}, by malloc_trim(0) in {:.1} ms; with gdb the process stood still for {:.0} ms",
        units::bytes(rss),
        units::bytes(rss_after),
        milliseconds(took),
        milliseconds(stood)
    );
    findings.add("try", Level::Info, text);
    let gain = anonymous.saturating_sub(anonymous_after);
    let text = if gain >= WORTH_TRIMMING.max(anonymous / 10) {
        format!(
            "{} were free and held by malloc: the library gives back as much by itself, and the tops of arenas, which \
             malloc_trim leaves (autotrim run -- CMD)",
            units::bytes(gain)
        )
    } else {
        format!(
            "little was free that malloc_trim reaches: what is left is in use, at the tops of arenas, or not malloc's \
             (autotrim doctor {})",
            target.pid
        )
    };
    findings.add("try", Level::Info, text);
    Ok(findings)
}

/// A process that runs.
fn process(target: &Target) -> Findings {
    let mut findings = Findings::of(format!("process {} ({})", target.pid, target.name()), Some(target.pid));
    if !target.has_memory() {
        findings.add("program", Level::Problem, "none: a thread of the kernel, or a process that has ended".into());
        return findings;
    }
    let image = Image::read(Path::new(&format!("/proc/{}/exe", target.pid))).ok().flatten();
    // Whether it gained privileges is known of the process itself (AT_SECURE): its user need not be ours.
    let image = image.map(|image| {
        let path = target.process.exe().unwrap_or_else(|_| image.path.clone());
        Image { path, secure: None, ..image }
    });
    image.iter().for_each(|image| findings.image(image));
    let look = Look::at(target);
    if target.files.is_none() {
        findings.add("access", Level::Problem, status::why_unread(&Unread::NotPermitted));
    } else {
        if let Some(libc) = allocator::libc(target) {
            let is_served = libc.starts_with(allocator::GLIBC) || libc == allocator::MUSL;
            let level = if is_served { Level::Good } else { Level::Problem };
            findings.add("libc", level, libc);
        }
        if let Some(name) = allocator::name(target) {
            malloc(&name, &mut findings);
        }
        match target.library() {
            Some(library) => {
                let replaced =
                    if library.deleted { " (replaced or removed since; the process keeps the old one)" } else { "" };
                findings.add("library", Level::Good, format!("{} is loaded{replaced}", library.path.display()));
                in_force::of(target, &mut findings);
                activity::of(target, look.as_ref(), &mut findings);
            }
            None => findings.add("library", Level::Problem, why_not_loaded(target, image.as_ref())),
        }
        arenas::of(target, look.as_ref(), &mut findings);
    }
    memory::of(target, look.as_ref(), &mut findings);
    if let Some(look) = &look {
        advice::of(target, look, &mut findings);
        hidden::of(target, look, &mut findings);
        kernel::of(target, look, &mut findings);
        probes::of(target, &mut findings);
    }
    group::of(target, &mut findings);
    findings
}

fn malloc(name: &str, findings: &mut Findings) {
    let (level, text) = match name {
        name if name.starts_with(allocator::GLIBC) => (Level::Good, format!("{name}'s own")),
        name if allocator::is_known(name) => (Level::Good, format!("{name}, which gives memory back in its own way")),
        allocator::OWN => (Level::Warning, "the program brings one of its own that is not known".into()),
        allocator::MUSL => {
            let text = "musl's own, which gives back by itself what it can: what comes back is what CPython, Node and Ruby hold";
            (Level::Info, text.into())
        }
        // Said of the libc already.
        allocator::NONE => return,
        name => (Level::Problem, format!("{name}: how it gives memory back is not known")),
    };
    findings.add("malloc", level, text);
}

fn why_not_loaded(target: &Target, image: Option<&Image>) -> String {
    const START: &str = "start it with: autotrim run -- CMD";
    if let Some(image) = image {
        let own = Image::read(Path::new("/proc/self/exe")).ok().flatten().map(|own| own.elf.architecture);
        let unsuitable = own.and_then(|architecture| image.unsuitable(architecture));
        if let Some(why) = unsuitable.or_else(|| image.useless(false).map(str::to_owned)) {
            return format!("not loaded: the program {why}");
        }
    }
    if target.process.auxv().is_ok_and(|values| values.get(&AT_SECURE).is_some_and(|&secure| secure != 0)) {
        return "not loaded: the process was started in secure mode (setuid, setgid or capabilities)".into();
    }
    let preloads = target.preloads();
    let Some(named) =
        preloads.iter().find(|path| path.as_os_str().as_bytes().windows(8).any(|part| part == b"autotrim"))
    else {
        let set = if preloads.is_empty() { "LD_PRELOAD was not set" } else { "LD_PRELOAD does not name it" };
        return format!("not loaded: {set} when the process started; {START}");
    };
    let user = access::User::of(&target.status);
    if let Some(closed) = access::closed(named, &user, |part| target.root()?.metadata(part)) {
        let (named, id) = (named.display(), target.status.fuid);
        return format!("not loaded: the process's user (id {id}) may not read {named}: {closed}");
    }
    match target.root().and_then(|root| root.open(named)) {
        Err(error) => format!("not loaded: {} cannot be read where the process looks for it: {error}", named.display()),
        Ok(_) => {
            format!("not loaded, though LD_PRELOAD names {}: it came later, or the loader refused it", named.display())
        }
    }
}

/// What is wrong with the options.
fn complaints(options: &Options, findings: &mut Findings) {
    environment::invalid(options).into_iter().for_each(|text| findings.add("options", Level::Problem, text));
    environment::unknown(options).into_iter().for_each(|text| findings.add("options", Level::Warning, text));
}
