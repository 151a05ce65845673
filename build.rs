//! How the library is linked, whoever links it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // It registers fork handlers and a signal's handler, and its functions are on the stack of every thread that waits: whoever
    // loads it by dlopen must not unload it by dlclose.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
