# shellcheck shell=bash
title="attach killed at a random moment of up and of down; the next run converges"

# RACK_SEEDS names the seeds (default 1 to 20); a seed that failed is printed and can be run alone.
scenario() {
    local -a seeds
    read -ra seeds <<<"${RACK_SEEDS:-$(seq -s ' ' 1 20)}"
    require "the stack is up on both clients (client1 keeps the cluster quorate)" on_all_clients stack_up
    local started up_ms down_ms seed
    started=$(now_ms)
    require "an undisturbed down" stack_down client0
    down_ms=$(($(now_ms) - started))
    started=$(now_ms)
    require "an undisturbed up" stack_up client0
    up_ms=$(($(now_ms) - started))
    require "an undisturbed down again" stack_down client0
    for seed in "${seeds[@]}"; do
        RANDOM=$seed
        kill_during up $((RANDOM % up_ms)) "$seed"
        check "seed $seed: the next up converges" stack_up client0
        check "seed $seed: mounted" is_mounted client0
        check "seed $seed: every path is active" all_paths_active client0
        kill_during down $((RANDOM % down_ms)) "$seed"
        check "seed $seed: the next down converges" stack_down client0
        check "seed $seed: nothing is left" is_clean client0
    done
    check "client1 is healthy after all of it" attach_on client1 30 status
    check "down on client1" stack_down client1
}

# kill_during up|down MILLISECONDS SEED: starts attach on client0 and sends it SIGKILL after that time.
kill_during() {
    node_script client0 "$1" "$2" "$3" <<'END'
attach "$1" >/run/rack/killed.out 2>&1 </dev/null &
victim=$!
sleep "$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))"
if kill -KILL "$victim" 2>/dev/null; then
    words="killed"
else
    words="had ended"
fi
{ wait "$victim" || true; } 2>/dev/null
echo "  seed $3: $1 $words after $2 ms; its last line: $(tail -n 1 /run/rack/killed.out)"
END
}
