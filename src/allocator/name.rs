//! What the log calls the allocators in use.

use crate::pure::text::Text;

/// Names and versions, such as `glibc-2.36` or `glibc-2.36+jemalloc`.
pub type Name = Text<48>;

/// Begins the next name.
#[inline(never)]
pub fn named<'a>(name: &'a mut Name, text: &str) -> &'a mut Name {
    if !name.as_bytes().is_empty() {
        name.byte(b'+');
    }
    name.text(text)
}
