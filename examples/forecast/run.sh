#!/bin/sh
# Both markets on this machine: the demo's chain with its topics, a subnet that forecasts for one of them, its miners, a
# validator, and the subnet as a member of the topic. Ctrl-C ends all of it.
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

# An epoch of the topic a second, after some that were replayed.
"$dodona" demo --replay 300 --rest-port 0 --grpc-port 0 --rpc-port 0 --dashboard-port 0 --metrics-port 0 \
    >"$home/out" 2>"$home/log" &
net=$!
until grep -q '^epoch ' "$home/log"; do
    kill -0 "$net" 2>/dev/null || { cat "$home/log" >&2; exit 1; }
    sleep 0.2
done
DODONA_NODE=$(sed -n 's,^REST \(http://[^/]*\)/.*,\1,p' "$home/log")
export DODONA_NODE
export FORECAST_NODE="$DODONA_NODE" FORECAST_TOPIC=1

owner="--key demo:consumer"
"$dodona" subnet create "$(basename "$PWD" | cut -c1-32)" --hotkey demo:judge $owner >"$home/created"
"$dodona" subnet hyperparameters 1 --set tempo=20 --set weights_rate_limit=5 $owner >>"$home/created"
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
# The owner's key submits what the subnet says best.
"$dodona" worker run seller.py --topic 1 --name forecast-subnet $owner &
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
