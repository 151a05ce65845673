# The processes that have the library, of those that this user may look at.
_autotrim_processes() {
    local -a processes
    processes=(${(f)"$(grep --files-with-matches --no-messages libautotrim.so /proc/[0-9]*/maps | cut --delimiter=/ --fields=3)"})
    _describe -t processes 'process that has the library' processes
}
