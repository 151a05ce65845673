//! `status --watch` in a terminal: drawn over what was there before, until `q` is pressed or a signal comes.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use crate::terminal;

/// Why the wait for the next drawing is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It is time.
    Time,
    /// Somebody has had enough.
    Quit,
}

/// How many columns and rows the terminal has; nothing where stdout is none, or it does not say.
pub fn size() -> Option<(usize, usize)> {
    // SAFETY: zeros are a valid value, and the call writes one.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
        size
    };
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// Draws over what was there before, line by line, so that nothing flickers.
pub fn draw(text: &str, rows: usize) {
    const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
    const HOME: &str = "\x1b[H";
    const CLEAR_BELOW: &str = "\x1b[J";
    // A long line is cut at the edge, not continued on the next.
    const CUT: &str = "\x1b[?7l";
    const WRAP: &str = "\x1b[?7h";
    let mut output = [CUT, HOME].concat();
    for (number, line) in text.lines().take(rows).enumerate() {
        output += if number > 0 { "\r\n" } else { "" };
        output += line;
        output += CLEAR_TO_END_OF_LINE;
    }
    output += CLEAR_BELOW;
    output += WRAP;
    terminal::draw(&output);
}

/// The terminal's keys, one by one and unseen, for as long as this lives.
pub struct Keys {
    before: Option<libc::termios>,
    signals: Option<Signals>,
}

impl Keys {
    /// Takes them, if stdin is a terminal, and ours.
    pub fn take() -> Keys {
        let mut keys = Keys { before: None, signals: None };
        let mut settings = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: these take numbers; `settings` is valid for writing, and read only where tcgetattr succeeded. Who runs in the
        // background may not change a terminal: he would be stopped.
        let before = unsafe {
            let is_ours = libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp();
            (is_ours && libc::tcgetattr(libc::STDIN_FILENO, settings.as_mut_ptr()) == 0).then(|| settings.assume_init())
        };
        if let Some(before) = before {
            // What ends this must not leave the terminal as it is now.
            keys.signals = Signals::block();
            keys.before = keys.signals.is_some().then_some(before);
            keys.set(true);
        }
        keys
    }

    fn set(&self, unseen: bool) {
        let Some(mut settings) = self.before else { return };
        if unseen {
            settings.c_lflag &= !(libc::ICANON | libc::ECHO);
            (settings.c_cc[libc::VMIN], settings.c_cc[libc::VTIME]) = (1, 0);
        }
        // SAFETY: settings that the terminal had, but for some flags.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, &settings) };
    }

    /// Waits so long, or until `q` is pressed. What ends a program by a signal, or stops it, does so here, with the terminal as it was.
    pub fn wait(&self, pause: Duration) -> Wake {
        let Some(signals) = &self.signals else {
            std::thread::sleep(pause);
            return Wake::Time;
        };
        let end = Instant::now() + pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut files =
                [libc::STDIN_FILENO, signals.file].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
            let milliseconds = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
            // SAFETY: two entries.
            if unsafe { libc::poll(files.as_mut_ptr(), 2, milliseconds) } <= 0 {
                return Wake::Time;
            }
            if let Some(signal) = signals.take().filter(|_| files[1].revents != 0) {
                self.set(false);
                // It does what it would have done.
                signals.let_through(signal);
                self.set(true);
                return Wake::Time;
            }
            if files[0].revents != 0 {
                match key() {
                    Some(b'q' | b'Q') => return Wake::Quit,
                    Some(_) => {}
                    // The terminal has gone.
                    None => return Wake::Quit,
                }
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// The next key; nothing at the end.
fn key() -> Option<u8> {
    let mut byte = 0u8;
    // SAFETY: `byte` is valid for writing one.
    let read = unsafe { libc::read(libc::STDIN_FILENO, (&raw mut byte).cast(), 1) };
    (read == 1).then_some(byte)
}

/// The signals that end or stop a program which has a terminal: blocked, and read.
struct Signals {
    file: i32,
    set: libc::sigset_t,
}

impl Signals {
    fn block() -> Option<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` is valid for writing, and initialised by sigemptyset; the signals exist.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP] {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let set = set.assume_init();
            let file = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if file < 0 || libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
                return None;
            }
            Some(Signals { file, set })
        }
    }

    /// The one that has come.
    fn take(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let length = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` is valid for writing so many bytes, and read only where all were written.
        unsafe {
            let read = libc::read(self.file, info.as_mut_ptr().cast(), length);
            (read == length as isize).then(|| info.assume_init().ssi_signo as i32)
        }
    }

    /// Has it come again, with nothing in its way. One that stops us comes back from here when we go on.
    fn let_through(&self, signal: i32) {
        // SAFETY: a signal that has just come, and a set of them.
        unsafe {
            libc::raise(signal);
            libc::sigprocmask(libc::SIG_UNBLOCK, &self.set, std::ptr::null_mut());
            libc::sigprocmask(libc::SIG_BLOCK, &self.set, std::ptr::null_mut());
        }
    }
}
