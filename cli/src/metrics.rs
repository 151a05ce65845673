//! Counters as a process writes them for Prometheus (`AUTOTRIM_METRICS_DIR`): what remains to be read where its memory
//! may not be.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::root;
use crate::target::Target;
use crate::units;

/// Where processes write them.
const VARIABLE: &str = "AUTOTRIM_METRICS_DIR";

/// The samples of one file.
#[derive(Debug, Default)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Where the options have a process write them; nothing where they do not.
pub fn directory_of(options: &Options) -> Option<PathBuf> {
    // It ends with a zero byte.
    let directory = options.metrics.as_bytes().strip_suffix(b"\0")?;
    Some(PathBuf::from(OsStr::from_bytes(directory)))
}

impl Metrics {
    /// What `target` has written, into `directory` if that is given, else where its environment or our own says.
    pub fn of(target: &Target, directory: Option<&Path>) -> Option<Metrics> {
        let name = format!("autotrim-{}.prom", target.own_pid());
        // Anybody may have put something else there: no link, no FIFO, nothing without an end.
        let here = |directory: &Path| root::open_no_link(&directory.join(&name)).and_then(root::beginning);
        let its = target.options().and_then(|options| directory_of(&options));
        let text = match (directory, its) {
            (Some(directory), _) => here(directory),
            (None, Some(directory)) => target.root().and_then(|root| root.read(&directory.join(&name))),
            (None, None) => here(&PathBuf::from(std::env::var_os(VARIABLE)?)),
        };
        Some(Metrics::parse(&String::from_utf8_lossy(&text.ok()?))).filter(|metrics| metrics.may_be_of(target))
    }

    /// Whether the file was written in the pid namespace of `target`, as far as one can tell: containers that share a
    /// directory may have processes of the same id.
    fn may_be_of(&self, target: &Target) -> bool {
        let own = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        match self.label("autotrim_info", "pid_namespace").filter(|namespace| namespace != "0") {
            Some(namespace) => (own == Path::new(&format!("pid:[{namespace}]"))) == target.is_in_our_namespace(),
            None => true,
        }
    }

    /// Reads the text format; what is not a sample is passed over.
    fn parse(text: &str) -> Metrics {
        Metrics(text.lines().filter(|line| !line.starts_with('#')).filter_map(Sample::parse).collect())
    }

    /// The sum of all samples of a name.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.samples(name).map(|sample| sample.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The same as a whole number.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.sum(name).map(|sum| sum.max(0.0) as u64)
    }

    /// The values of a name by one of its labels.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        self.samples(name)
            .filter_map(|sample| Some((sample.labels.get(label)?.clone(), sample.value.max(0.0) as u64)))
            .collect()
    }

    /// A label of a name's first sample.
    pub fn label(&self, name: &str, label: &str) -> Option<String> {
        self.samples(name).find_map(|sample| sample.labels.get(label)).map(|text| units::printable(text))
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    /// `name{label="value",…} number`.
    fn parse(line: &str) -> Option<Sample> {
        let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.insert(label.trim().to_owned(), value);
                rest = after;
            }
            rest = rest.strip_prefix('}')?;
        }
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Sample { name: name.to_owned(), labels, value })
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}
