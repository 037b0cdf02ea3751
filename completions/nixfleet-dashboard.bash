# bash completion for nixfleet-dashboard

_nixfleet_dashboard() {
    local current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    -d | --data) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    backup | restore | copy) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    token) mapfile -t COMPREPLY < <(compgen -A hostname -- "$current") ;;
    -l | --listen) mapfile -t COMPREPLY < <(compgen -W '127.0.0.1:8000' -- "$current") ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W '-l --listen -d --data -c --config --check-config --dev -h --help -V --version
            setup hash-password token backup restore copy' -- "$current")
        ;;
    esac
}

complete -F _nixfleet_dashboard nixfleet-dashboard
