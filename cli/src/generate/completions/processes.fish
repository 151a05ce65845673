# The processes that have the library, of those that this user may look at.
function __autotrim_processes
    set --local found (grep --files-with-matches --no-messages libautotrim.so /proc/*/maps | cut --delimiter=/ --fields=3)
    for process in (string match --regex '^\d+$' -- $found)
        printf '%s\t%s\n' $process (cat /proc/$process/comm 2>/dev/null)
    end
end
complete -c autotrim -n "__fish_autotrim_using_subcommand run" -a "(__fish_complete_subcommand --fcs-skip=2)"
