//! What is fixed at start, and the same in every forked child.

use crate::allocator::{Allocator, Refusal};
use crate::options::Options;
use crate::own::in_force;
use crate::pure::layout::State;
use crate::sys::cell::Late;
use crate::sys::files::Identity;
use crate::sys::java::Java;
use crate::sys::libc_in_use::Libc;
use crate::sys::node::Node;
use crate::sys::python::Python;
use crate::sys::ruby::Ruby;

/// What the constructor has found and decided.
#[derive(Clone, Copy)]
pub struct Runtime {
    /// What the environment asks for.
    pub options: Options,
    /// Where memory cannot be released, why; then requests are still seen, to say so once.
    pub allocator: Result<Allocator, Refusal>,
    /// The program's C library.
    pub libc: Libc,
    /// The interpreter that is asked for something before trims; `None` where it never is, or there is none.
    pub python: Option<Python>,
    /// The same of Node.
    pub node: Option<Node>,
    /// The same of Ruby.
    pub ruby: Option<Ruby>,
    /// The same of Java.
    pub java: Option<Java>,
    /// The file that descriptor 2 was at start: log lines go there or nowhere.
    pub stderr: Option<Identity>,
}

impl Runtime {
    /// Whether the program has an interpreter that may be asked for something.
    pub const fn has_interpreter(&self) -> bool {
        self.python.is_some() || self.node.is_some() || self.ruby.is_some() || self.java.is_some()
    }

    /// Whether anything is asked for that needs a thread of our own.
    pub fn needs_thread(&self) -> bool {
        self.options.needs_thread() || self.java.is_some()
    }

    /// Whose garbage is collected, in log lines; of two in one program the one that is asked first.
    pub const fn collector(&self) -> &'static str {
        match (&self.node, &self.ruby, &self.java) {
            (Some(_), ..) => "node",
            (None, Some(_), _) => "ruby",
            (None, None, Some(_)) => "java",
            (None, None, None) => "python",
        }
    }
}

static RUNTIME: Late<Runtime> = Late::new();

/// The settings, or `None` where the library is to do nothing: every hook then passes straight through.
pub fn runtime() -> Option<&'static Runtime> {
    RUNTIME.get()
}

/// Once, in the constructor: from here on the library acts.
pub fn begin(runtime: Runtime) {
    RUNTIME.set(runtime);
}

/// It does not, until [`resume`].
pub fn pause() {
    RUNTIME.withdraw();
}

/// It does again, unless it has ended.
pub fn resume() {
    RUNTIME.restore();
}

/// It does nothing any more, in this process and what that forks.
pub fn end() {
    RUNTIME.remove();
    in_force::set(State::Retired);
}
