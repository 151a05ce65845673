//! What is wrong with an environment, for the library: said before it can say so itself.

use std::io::{Error, ErrorKind};
use std::os::unix::ffi::OsStrExt;

use crate::metrics;
use crate::options::{Options, TABLE, nearest};
use crate::units::printable;

/// All that is wrong with options.
pub fn complaints(options: &Options) -> impl Iterator<Item = String> {
    invalid(options).into_iter().chain(unknown(options))
}

/// The values that do not parse, each with what is used in its place.
pub fn invalid(options: &Options) -> Vec<String> {
    let values = TABLE.iter().zip(&options.invalid).filter_map(|(entry, value)| Some((entry, value.as_ref()?)));
    values
        .map(|(entry, value)| {
            let default = if entry.default.is_empty() { "nothing" } else { entry.default };
            format!("{}={} is not {}: {default} is used", entry.name, shown(value.as_bytes()), entry.expected)
        })
        .collect()
}

/// The variables that look like options and are none, each with the option that comes nearest.
pub fn unknown(options: &Options) -> Vec<String> {
    let names = options.unknown.iter().flatten().map(|name| {
        let hint = nearest(name.as_bytes()).map(|nearest| format!(": did you mean {nearest}?")).unwrap_or_default();
        format!("{} is set and is no option of the library{hint}", shown(name.as_bytes()))
    });
    let more = Some(options.more_unknown).filter(|&more| more != 0);
    names.chain(more.map(|more| format!("{more} more variables like that are no options of the library"))).collect()
}

/// That metrics are to be written where no directory is: the library says so once the program serves.
pub fn missing_directory(options: &Options) -> Option<String> {
    let directory = metrics::directory_of(options)?;
    let error = match std::fs::metadata(&directory) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => Error::from(ErrorKind::NotADirectory),
        Err(error) => error,
    };
    let directory = shown(directory.as_os_str().as_bytes());
    Some(format!("AUTOTRIM_METRICS_DIR={directory}: {error}; no metrics are written until it is there"))
}

fn shown(text: &[u8]) -> String {
    printable(&String::from_utf8_lossy(text))
}
