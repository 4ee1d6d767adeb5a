#!/usr/bin/env bash
# A monkey at the dashboard, by hand:   tests/campaign/monkey.sh [MINUTES] [BUILD-DIRECTORY] [SEED]
#
# Random keys, pastes, mouse reports and sizes, in a private tmux, with three sessions: one is a
# shell, one floods its terminal, one asks for hosts all the time. The build is that with
# sanitizers (cmake --preset asan). After every hundred keys the fleet must be reachable by Escape
# and Ctrl-]; when it has ended, the terminal must be as it was. What would fill the disk or the
# memory (new sessions, snapshots, forks) is on keys that are pressed rarely.
set -u
root=$(readlink -f "$(dirname "$0")/../..")
minutes=${1:-5} build=${2:-$root/build/asan} seed=${3:-$RANDOM}
RANDOM=$seed
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$root/build/default/test-image/path")} || exit 1
export VMDECK_IMAGE
work=$(mktemp -d)
mkdir -m 700 "$work/run" && mkdir -p "$work/config/vmdeck"
export HOME=$work XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state XDG_DATA_HOME=$work/data \
    XDG_CACHE_HOME=$work/cache XDG_CONFIG_HOME=$work/config VMDECK_SPARES=0
export ASAN_OPTIONS=log_path=$work/report:abort_on_error=0 UBSAN_OPTIONS=log_path=$work/report:print_stacktrace=1
unset TMUX TMUX_PANE
cd "$work" || exit 1
for action in new snapshot snapshot-stop fork suspend shell; do
    echo "key.$action = F$((++f + 5))"
done >"$work/config/vmdeck/dashboard.conf"

t() { tmux -u -f /dev/null -S "$work/tmux" "$@"; }
ours() { grep -lzsF "$work" /proc/[0-9]*/environ | tr -cd '0-9\n'; }
leave() {
    t kill-server 2>/dev/null
    "$VMDECK" stop --all 2>/dev/null
    local pid
    for pid in $(ours); do [ "$pid" = $$ ] || kill -KILL "$pid" 2>/dev/null; done
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 143' TERM INT HUP
screen() { t capture-pane -p -t a:; }
shows() { screen | grep -qE -- "$1"; }
bad() {
    echo "FAIL (seed $seed): $*"
    screen
    exit 1
}
within() { # SECONDS REGEX
    local end=$((SECONDS + $1))
    until shows "$2"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.05; done
}

start_session() { # NAME COMMAND
    "$VMDECK" list -q --all 2>/dev/null | grep -q . # the registry is there
    "$VMDECK" bash --detached --keep --memory 128M --ask=5 --name "$1" -- bash -c "$2" >/dev/null 2>&1
}
sessions() {
    local have
    have=$("$VMDECK" list 2>/dev/null)
    grep -q ' shell ' <<<"$have" || start_session shell 'exec bash -i'
    grep -q ' flood ' <<<"$have" || start_session flood 'while :; do seq 1 2000; sleep 0.2; done'
    grep -q ' asks ' <<<"$have" ||
        start_session asks 'while :; do curl -m 8 -s http://h$((RANDOM % 40)).test/; done'
}

cat >pane.rc <<'R'
PS1='host$ '
d() { local before=$(stty -g) s; "$VMDECK"; s=$?; [ "$(stty -g)" = "$before" ] && echo "ended $s same" || echo "ended $s changed"; }
R
keys=(j k g G Enter Escape Tab BTab Space / : '?' a d s A D X u h m e R N l o w z c H L J K '|' - '=' M
    '[' '*' t p r x y n q C-c C-] C-l C-t C-s Up Down Left Right PPage NPage Home End F1 BSpace DC IC
    1 2 3 9 v i 0 . '~' C-a C-e C-z M-Left M-x S-Left é 中)
texts=($'\e[<0;10;5M' $'\e[<0;10;5m' $'\e[<64;20;8M' $'\e[<65;20;8M' $'\e[<32;30;9M' $'\e[200~pasted\e[201~'
    $'\e[200~' $'\e[201~' $'\e[I' $'\e[O' $'\e[999;999;999u' $'\e]52;c;eA==\a' 'list' 'theme light' 'rules' $'\xff\xfe')
sizes=('80 24' '120 40' '40 10' '39 9' '200 60' '61 17' '100 30')

run_dashboard() {
    t send-keys -t a: C-u
    t send-keys -t a: -l 'clear; d'
    t send-keys -t a: Enter
    within 60 'Fleet|vmdeck needs' || bad 'it does not start'
}

sessions
t new-session -d -s a -x 100 -y 30 'TERM=screen-256color exec bash --rcfile pane.rc -i'
within 20 'host\$ *$' || bad 'no shell'
run_dashboard
pressed=0 runs=1 end=$((SECONDS + minutes * 60))
while [ "$SECONDS" -lt "$end" ]; do
    for ((i = 0; i < 100; i++)); do
        case $((RANDOM % 50)) in
        0) t send-keys -t a: -l "${texts[RANDOM % ${#texts[@]}]}" ;;
        1) t resize-window -t a: -x ${sizes[RANDOM % ${#sizes[@]}]/ / -y } ;;
        2) [ $((RANDOM % 20)) -ne 0 ] || t send-keys -t a: "F$((RANDOM % 6 + 6))" ;;
        *) t send-keys -t a: "${keys[RANDOM % ${#keys[@]}]}" ;;
        esac
        pressed=$((pressed + 1))
    done
    t resize-window -t a: -x 100 -y 30
    reached=
    for ((i = 0; i < 60; i++)); do # Escape leaves what is open, Ctrl-] a pane
        if shows '^ended'; then reached=ended && break; fi
        if shows '^─ Fleet'; then reached=fleet && break; fi
        t send-keys -t a: Escape
        sleep 0.3
        shows '^─ Fleet|^ended' || t send-keys -t a: C-]
        sleep 0.3
    done
    [ -n "$reached" ] || bad 'it is stuck'
    ls "$work"/report* >/dev/null 2>&1 && { cat "$work"/report*; bad 'a sanitizer reports'; }
    if [ "$reached" = ended ]; then
        shows '^ended 0 same' || bad 'it ended badly'
        run_dashboard
        runs=$((runs + 1))
    fi
    sessions
done
t send-keys -t a: Escape
sleep 0.3
t send-keys -t a: C-c
within 20 '^ended 0 same' || bad 'it does not end'
ls "$work"/report* >/dev/null 2>&1 && { cat "$work"/report*; bad 'a sanitizer reports'; }
echo "seed $seed: $pressed keys in $minutes minutes, started $runs times: no crash, never stuck, terminal restored"
