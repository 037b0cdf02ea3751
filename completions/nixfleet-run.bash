# bash completion for nixfleet-run: first its own options, then the completion of the command.

_nixfleet_run_runs() {
    nixfleet-run --list 2>/dev/null | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
}

_nixfleet_run() {
    local current=${COMP_WORDS[COMP_CWORD]} word
    local options='-u --url -H --host -n --name -l --log -i --heartbeat --token-file --cacert --pinned-pubkey
        --allow-insecure-http --flush-timeout --nix-log --no-pty --no-stream --nohup --scope --redact -q --quiet -v --verbose -h --help
        -V --version --show --list --flush --analyze --color --rows --cols --moved-from --changes --derivation'
    local -i i=1
    COMPREPLY=()

    # Finds the word where the command begins; from there the command's own completion is used.
    while ((i < COMP_CWORD)); do
        word=${COMP_WORDS[i]}
        case $word in
        --)
            i+=1
            break
            ;;
        -u | --url | -H | --host | -n | --name | -l | --log | -i | --heartbeat | --token-file | --cacert | --pinned-pubkey | \
            --flush-timeout | --redact | --rows | --cols)
            i+=1
            # bash splits --name=value into three words
            [[ ${COMP_WORDS[i]} == = ]] && i+=1
            ((i >= COMP_CWORD)) && break
            ;;
        --show | --analyze) break ;;
        -*) ;;
        *) break ;;
        esac
        i+=1
    done

    word=${COMP_WORDS[COMP_CWORD - 1]}
    [[ $word == = ]] && word=${COMP_WORDS[COMP_CWORD - 2]}
    [[ $current == = ]] && word=${COMP_WORDS[COMP_CWORD - 1]} current=
    if ((i >= COMP_CWORD || COMP_CWORD == 1)) || [[ $word == --show || $word == --analyze ]]; then
        case $word in
        -l | --log | --token-file | --cacert | --analyze)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --show)
            mapfile -t COMPREPLY < <(compgen -W "$(_nixfleet_run_runs) --color --rows --cols --changes --derivation" -- "$current"; compgen -f -- "$current")
            return
            ;;
        -n | --name)
            mapfile -t COMPREPLY < <(compgen -W 'switch pull test update' -- "$current")
            return
            ;;
        -H | --host)
            mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")
            return
            ;;
        -u | --url | -i | --heartbeat | --pinned-pubkey | --flush-timeout | --redact | --rows | --cols) return ;;
        esac
    fi
    if ((i >= COMP_CWORD)) && [[ $current == -* ]] && [[ $word != -- ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif ((i >= COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$i"
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}

complete -F _nixfleet_run nixfleet-run
