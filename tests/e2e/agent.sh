#!/usr/bin/env bash
# A small agent that works as the agents of real fleets do: registers, takes the command from the answer, runs it with nixfleet-run,
# and reports. Environment: NIXFLEET_URL, NIXFLEET_TOKEN, RUN (nixfleet-run), AGENT_HOST. Ends after the command `restart`.
set -u
call() { # METHOD PATH BODY
    curl -sS --max-time 20 -X "$1" -H "Authorization: Bearer $NIXFLEET_TOKEN" -H 'Content-Type: application/json' -d "$3" "$NIXFLEET_URL/api/hosts/$AGENT_HOST/$2"
}
quote() { python3 -c 'import json, sys; print(json.dumps(sys.stdin.read()))'; }
report() { # STATUS OUTPUT
    call POST status "{\"status\":\"$1\",\"output\":$(printf %s "$2" | head -c 10000 | quote)}" >/dev/null
}
perform() { # LABEL COMMAND...
    local label=$1 output status=0
    shift
    output=$("$RUN" "$@" 2>&1) || status=$?
    if [ "$status" = 0 ]; then report ok "$label: $output"; else report error "$label failed ($status): $output"; fi
    return "$status"
}
while true; do
    answer=$(call POST register "{\"hostname\":\"$AGENT_HOST\",\"host_type\":\"nixos\",\"location\":\"home\",\"poll_interval\":1}") || { sleep 0.2; continue; }
    command=$(printf %s "$answer" | sed -n 's/.*"command":"\([a-z-]*\)".*/\1/p')
    case $command in
    pull) perform Pull git pull ;;
    switch) perform Switch sudo nixos-rebuild switch --flake ".#$AGENT_HOST" ;;
    pull-switch) perform Pull git pull && perform Switch sudo nixos-rebuild switch --flake ".#$AGENT_HOST" ;;
    test) perform Test --name test bash ./T01-example.sh ;;
    update) perform Update nix flake update ;;
    restart) report ok "Agent restarting"; exit 0 ;;
    esac
    sleep 0.3
done
