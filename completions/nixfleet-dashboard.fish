# fish completion for nixfleet-dashboard

complete -c nixfleet-dashboard -f
complete -c nixfleet-dashboard -s l -l listen -x -a '127.0.0.1:8000' -d 'Where to listen'
complete -c nixfleet-dashboard -s d -l data -x -a '(__fish_complete_directories)' -d 'Data directory'
complete -c nixfleet-dashboard -l check-config -d 'List what is wrong with the settings'
complete -c nixfleet-dashboard -l dev -d 'Loopback only, reading without login'
complete -c nixfleet-dashboard -s h -l help -d 'Show a summary'
complete -c nixfleet-dashboard -s V -l version -d 'Show the version'
complete -c nixfleet-dashboard -n __fish_use_subcommand -a setup -d 'Write a configuration with new secrets'
complete -c nixfleet-dashboard -n __fish_use_subcommand -a hash-password -d 'Make the hash of a password'
complete -c nixfleet-dashboard -n __fish_use_subcommand -a token -d 'Make a new token for a host'
complete -c nixfleet-dashboard -n __fish_use_subcommand -a backup -d 'Copy the store'
complete -c nixfleet-dashboard -n __fish_use_subcommand -a restore -d 'Put a backup in place'
complete -c nixfleet-dashboard -n __fish_use_subcommand -a copy -d 'Copy everything to another store'
complete -c nixfleet-dashboard -n '__fish_seen_subcommand_from backup restore copy' -F
complete -c nixfleet-dashboard -s c -l config -r -F -d 'Settings file'
