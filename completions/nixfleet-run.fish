# fish completion for nixfleet-run: first its own options, then the completion of the command.

function __nixfleet_run_runs
    nixfleet-run --list 2>/dev/null | string match -ra '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
end

# True if the command has not begun yet. Only before the command, nixfleet-run's options are offered.
function __nixfleet_run_no_command
    set -l words (commandline -opc)
    set -e words[1]
    set -l value 0
    for word in $words
        if test $value = 1
            set value 0
            continue
        end
        switch $word
            case --
                return 1
            case -u --url -H --host -n --name -l --log -i --heartbeat --token-file --cacert --pinned-pubkey --flush-timeout --redact --rows --cols --derivation
                set value 1
            case '-*'
            case '*'
                return 1
        end
    end
    return 0
end

function __nixfleet_run_option
    complete -c nixfleet-run -n __nixfleet_run_no_command $argv
end

complete -c nixfleet-run -f -n 'not __nixfleet_run_no_command' -a '(__fish_complete_subcommand --fcs-skip=1)'
complete -c nixfleet-run -f -n __nixfleet_run_no_command -a '(__fish_complete_command)'
__nixfleet_run_option -s u -l url -x -d 'The dashboard'
__nixfleet_run_option -s H -l host -x -a '(__fish_print_hostnames)' -d 'Name of this host at the dashboard'
__nixfleet_run_option -s n -l name -x -a 'switch pull test update' -d 'What is being done'
__nixfleet_run_option -s l -l log -r -F -d 'Write the log there'
__nixfleet_run_option -s i -l heartbeat -x -d 'Seconds between two heartbeats'
__nixfleet_run_option -l token-file -r -F -d 'File with the token'
__nixfleet_run_option -l cacert -r -F -d 'Certificate authorities to trust'
__nixfleet_run_option -l pinned-pubkey -x -d 'Public key that the dashboard must have'
__nixfleet_run_option -l allow-insecure-http -d 'Plain http to another host, too'
__nixfleet_run_option -l nix-log -d 'Let nix record exact counts and build logs'
__nixfleet_run_option -l flush-timeout -x -d 'How long delivery may go on after the command'
__nixfleet_run_option -l no-pty -d 'Give a captured command a pipe, not a pty'
__nixfleet_run_option -l no-stream -d 'Only log'
__nixfleet_run_option -l nohup -d 'Continue when the terminal closes'
__nixfleet_run_option -l scope -d 'Run in a systemd scope of its own'
__nixfleet_run_option -l redact -x -d 'Replace the values of these variables, too'
__nixfleet_run_option -s q -l quiet -d 'Do not write problems to standard error'
__nixfleet_run_option -s v -l verbose -d 'Write problems also where output is captured'
__nixfleet_run_option -s h -l help -d 'Show a summary of the options'
__nixfleet_run_option -s V -l version -d 'Show the version'
__nixfleet_run_option -l list -d 'List the local runs'
__nixfleet_run_option -l flush -d 'Deliver the undelivered output of earlier runs'
__nixfleet_run_option -l show -F -a '(__nixfleet_run_runs)' -d 'A run\'s log as clean text'
__nixfleet_run_option -l analyze -r -F -d 'What a saved raw log says'
__nixfleet_run_option -l color -d 'Keep colours'
__nixfleet_run_option -l changes -d 'What the run changed: generations and packages'
__nixfleet_run_option -l derivation -x -d 'The whole log of one derivation'
__nixfleet_run_option -l moved-from -x -d 'Deliver what was for this dashboard, too'
__nixfleet_run_option -l rows -x -d 'Height of the window'
__nixfleet_run_option -l cols -x -d 'Width of the window'
