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
minutes=${1:-5} build=$(readlink -f "${2:-$root/build/asan}") seed=${3:-$RANDOM}
RANDOM=$seed f=0
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
for action in new snapshot snapshot-stop fork suspend; do
    echo "key.$action = F$((++f + 5))"
done >"$work/config/vmdeck/dashboard.conf"
echo 'key.shell = F12' >>"$work/config/vmdeck/dashboard.conf" # not pressed: there is no shell behind it

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

# The dashboard again and again, so that no key reaches a shell; how each run ended is noted.
cat >again <<'R'
trap : INT QUIT TSTP # between two runs the terminal makes signals of keys
while [ ! -e over ]; do
    until before=$(stty -g); do :; done # the monkey's Ctrl-C may end it, as it may
    "$VMDECK"
    status=$?
    until after=$(stty -g); do :; done # this one
    [ "$after" = "$before" ] && echo "$status same" >>ended || echo "$status changed: $before $after" >>ended
    [ "$status" = 0 ] || sleep 1
done
R
keys=(j k g G Enter Escape Tab BTab Space / : '?' a d s A D X u h m e R N l o w z c H L J K '|' - '=' M
    '[' '*' t p r x y n q C-c C-] C-l C-t C-s Up Down Left Right PPage NPage Home End F1 BSpace DC IC
    1 2 3 9 v i 0 . '~' C-a C-e C-z M-Left M-x S-Left é 中)
texts=($'\e[<0;10;5M' $'\e[<0;10;5m' $'\e[<64;20;8M' $'\e[<65;20;8M' $'\e[<32;30;9M' $'\e[200~pasted\e[201~'
    $'\e[200~' $'\e[201~' $'\e[I' $'\e[O' $'\e[999;999;999u' $'\e]52;c;eA==\a' 'list' 'theme light' 'rules' $'\xff\xfe')
sizes=('80 24' '120 40' '40 10' '39 9' '200 60' '61 17' '100 30')

sessions
: >ended
well='^(0|130) same$' # 130: Ctrl-C before the terminal was raw
t new-session -d -s a -x 100 -y 30 'TERM=screen-256color exec bash again'
within 60 '^─ Fleet' || bad 'it does not start'
pressed=0 end=$((SECONDS + minutes * 60))
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
    t send-keys -t a: -l $'\e[201~' # the end of a paste, which every terminal sends
    reached=
    for ((i = 0; i < 40; i++)); do # Escape leaves what is open, Ctrl-] a pane
        if shows '^─ Fleet'; then reached=yes && break; fi
        t send-keys -t a: Escape
        sleep 0.3
        shows '^─ Fleet' || t send-keys -t a: C-]
        sleep 0.3
    done
    t has-session -t a 2>/dev/null || bad 'the terminal is gone'
    [ -n "$reached" ] || bad 'it is stuck'
    ls "$work"/report* >/dev/null 2>&1 && { cat "$work"/report*; bad 'a sanitizer reports'; }
    ! grep -vE "$well" ended || bad 'it ended badly'
    sessions
done
runs=$(wc -l <ended)
touch over
t send-keys -t a: C-c
for ((i = 0; i < 200; i++)); do t has-session -t a 2>/dev/null || break; sleep 0.1; done
t has-session -t a 2>/dev/null && bad 'it does not end'
! grep -vE "$well" ended || exit 1
ls "$work"/report* >/dev/null 2>&1 && { cat "$work"/report*; exit 1; }
echo "seed $seed: $pressed keys in $minutes minutes, left and started again $runs times: no crash, never stuck, terminal restored"
