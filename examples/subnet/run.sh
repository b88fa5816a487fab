#!/bin/sh
# A whole market on this machine: a chain, this subnet, its miners, a validator. Ctrl-C ends all of it.
set -eu
cd "$(dirname "$0")"
dodona=${DODONA:-dodona}
home=$(mktemp -d)
net=
pids=
end() {
    trap - EXIT INT TERM
    # Those that this script started, and nobody else. Who uses the chain ends before it.
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    [ -z "$net" ] || kill "$net" 2>/dev/null || true
    wait
    rm -rf "$home"
}
trap end EXIT
trap 'exit 130' INT TERM

"$dodona" localnet --validators 1 --block-time 200ms --home "$home/net" --output json >"$home/net.json" 2>"$home/log" &
net=$!
until [ -s "$home/net.json" ]; do
    kill -0 "$net" 2>/dev/null || { cat "$home/log" >&2; exit 1; }
    sleep 0.2
done
export DODONA_NODE="http://$(sed 's/.*"rest":"\([^"]*\)".*/\1/' "$home/net.json")"

# On a development network the consumer of the demo may set what owners may not: a short epoch.
owner="--key demo:consumer"
"$dodona" subnet create "$(basename "$PWD" | cut -c1-32)" --hotkey demo:judge $owner >"$home/created"
"$dodona" subnet hyperparameters 1 --set tempo=50 --set weights_rate_limit=10 $owner >>"$home/created"
"$dodona" subnet start 1 $owner >>"$home/created"
for miner in miner*.py; do
    name=demo:${miner%.py}
    # Somebody else's: what the owner's own miners earn is withheld.
    "$dodona" subnet register 1 --hotkey "$name" --key demo:alice
    "$dodona" subnet mine 1 "$miner" --listen 0.0.0.0:0 --key "$name" &
    pids="$pids $!"
done
"$dodona" subnet validate 1 evaluator.py --every 4s --private --key demo:judge --dir "$home/judge" --sealed "$home/sealed" &
pids="$pids $!"

# With SECONDS_TO_RUN it ends by itself.
left=${SECONDS_TO_RUN:-0}
while :; do
    sleep 10
    "$dodona" subnet metagraph 1
    if [ "$left" -gt 0 ]; then
        left=$((left - 10))
        [ "$left" -gt 0 ] || exit 0
    fi
done
