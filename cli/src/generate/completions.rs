//! Completions for bash, fish and zsh: what clap makes of the command line, with what it cannot know: which processes have the
//! library, and that a program follows `--`.

use clap::Command;
use clap_complete::Shell;

const BASH: &str = include_str!("completions/processes.bash");
const FISH: &str = include_str!("completions/processes.fish");
const ZSH: &str = include_str!("completions/processes.zsh");

/// A file's name and its text, for each shell.
pub fn scripts(command: &Command) -> [(String, String); 3] {
    // Without the command that makes this, which nobody types.
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let typed =
        Command::new("autotrim").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true).subcommands(shown);
    let made = |shell: Shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut typed.clone(), "autotrim", &mut text);
        String::from_utf8(text).expect("made of text")
    };
    [
        ("autotrim.bash".into(), bash(&made(Shell::Bash), command)),
        ("autotrim.fish".into(), fish(made(Shell::Fish), command)),
        ("_autotrim".into(), zsh(&made(Shell::Zsh))),
    ]
}

/// The commands that take process ids.
fn of_processes(command: &Command) -> Vec<&str> {
    let takes = |command: &&Command| command.get_positionals().any(|argument| is_pid(argument.get_id().as_str()));
    command.get_subcommands().filter(takes).map(Command::get_name).collect()
}

fn is_pid(id: &str) -> bool {
    id == "pid" || id == "pids"
}

/// The function that is registered calls the one that was generated.
fn bash(made: &str, command: &Command) -> String {
    let flags = command.get_subcommands().flat_map(Command::get_arguments).filter(|argument| {
        argument.get_num_args().is_some_and(|range| range.takes_values()) && !argument.is_positional()
    });
    let names = flags.flat_map(|argument| {
        let short = argument.get_short().map(|short| format!("-{short}"));
        short.into_iter().chain(argument.get_long().map(|long| format!("--{long}")))
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    let own = BASH.replace("@COMMANDS@", &of_processes(command).join("|")).replace("@FLAGS@", &names.join("|"));
    let (functions, registration) =
        made.split_once("\nif [[").expect("clap_complete registers its function at the end");
    let registration = registration.replace("-F _autotrim ", "-F _autotrim_all ");
    format!("{functions}\n{own}\nif [[{registration}")
}

fn fish(made: String, command: &Command) -> String {
    let lines = of_processes(command).into_iter().map(|name| FISH_PIDS.replace("@COMMAND@", name));
    made + FISH + &lines.collect::<String>()
}

const FISH_PIDS: &str =
    "complete -c autotrim -n \"__fish_autotrim_using_subcommand @COMMAND@\" -f -a \"(__autotrim_processes)\"\n";

fn zsh(made: &str) -> String {
    let completed = |line: &str| {
        let argument = line.trim_start_matches(['\'', '*', ':']).split(' ').next().unwrap_or_default();
        let line = line.to_owned();
        if is_pid(argument) { line.replace(":_default'", ":_autotrim_processes'") } else { line }
    };
    let text: Vec<String> = made.lines().map(completed).collect();
    let text = text.join("\n") + "\n";
    let (functions, start) = text.split_once("\nif [ ").expect("clap_complete starts its function at the end");
    format!("{functions}\n{ZSH}\nif [ {start}")
}
