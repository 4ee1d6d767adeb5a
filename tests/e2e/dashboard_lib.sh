# shellcheck shell=bash
# For tests of the dashboard: real sessions, keys by send-keys, screens by capture-pane of a private
# tmux server. Nothing waits for time, only for what a screen shows. Sourced.
. "$(dirname "$0")/lib.sh"
quiet_notice

unset TMUX TMUX_PANE
t() { tmux -u -f /dev/null -S "$HOME/tmux" "$@"; }
at_exit() { :; } # a test may have its own
trap 't kill-server 2>/dev/null; at_exit' EXIT
trap 'exit 143' TERM INT HUP

# `v NAME [OPTION…]` runs the dashboard and says how it ended and whether the terminal's settings are
# as they were.
cat >pane.rc <<'R'
PS1='host$ '
v() {
    local before status
    before=$(stty -g)
    "$VMDECK" "${@:2}"
    status=$?
    [ "$(stty -g)" = "$before" ] && echo "done $1 status=$status tty=same" ||
        echo "done $1 status=$status tty=changed"
}
R

# pane NAME COLUMNS ROWS [TERM [VARIABLE=VALUE]]
pane() {
    t new-session -d -s "$1" -x "$2" -y "$3" \
        "TERM=${4-screen-256color} ${5-} exec bash --rcfile pane.rc -i"
    see "$1" 'host\$ *$' "a shell in pane $1"
}
keys() { t send-keys -t "$1:" "${@:2}"; }
typed() { t send-keys -t "$1:" -l "$2"; }
line() { typed "$1" "$2" && keys "$1" Enter; }
screen() { t capture-pane -p -t "$1:"; }
state() { t display-message -p -t "$1:" "#{$2}"; }
until_true() { # WHAT COMMAND…
    await "$@" && return
    for name in $(t list-sessions -F '#S'); do screen "$name"; done
    finish # what follows builds on it
}
shows() { screen "$1" | grep -qE -- "$2"; }
gone() { ! shows "$1" "$2"; }
see() { until_true "$3: no '$2' in pane $1" shows "$1" "$2"; } # PANE REGEX WHAT
not_see() { until_true "$3: still '$2' in pane $1" gone "$1" "$2"; }
resize() {
    t resize-window -t "$1:" -x "$2" -y "$3"
    until_true "pane $1 has another size" has_size "$1" "$3 $2"
}
has_size() { [ "$(stty -F "$(state "$1" pane_tty)" size)" = "$2" ]; }
# back PANE: Escape, and wait: with what follows at once it would be Alt and that key.
back() {
    keys "$1" Escape
    see "$1" 'Fleet' 'the dashboard'
    sleep 0.1
}
dashboard_of() { pgrep -t "$(state "$1" pane_tty | sed 's,/dev/,,')" -x vmdeck; }
live() { "$VMDECK" list -q | wc -l; }
has_live() { [ "$(live)" -eq "$1" ]; }
