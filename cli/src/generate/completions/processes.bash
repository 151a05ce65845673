# The processes that have the library, of those that this user may look at.
_autotrim_processes() {
    grep --files-with-matches --no-messages libautotrim.so /proc/[0-9]*/maps | cut --delimiter=/ --fields=3
}

_autotrim_all() {
    local word index=0
    for word in "${COMP_WORDS[@]:0:COMP_CWORD}"; do
        if [[ $word == -- ]]; then
            # A program and its arguments, as bash-completion has it; else its name.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((index + 1))
            elif ((COMP_CWORD == index + 1)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$2")
            fi
            return
        fi
        ((index += 1))
    done
    _autotrim "$@"
    [[ $2 == -* ]] && return
    case $3 in
        @FLAGS@) return ;;
    esac
    case ${COMP_WORDS[1]-} in
        @COMMANDS@) ((COMP_CWORD > 1)) && mapfile -t COMPREPLY < <(compgen -W "$(_autotrim_processes)" -- "$2") ;;
    esac
}
