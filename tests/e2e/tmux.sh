# shellcheck shell=bash
# Panes of a private tmux server: keys by send-keys, screens by capture-pane. Sourced behind lib.sh.
unset TMUX TMUX_PANE
t() { tmux -u -f /dev/null -S "$HOME/tmux" "$@"; }
trap 't kill-server 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP

# `v TAG ARGUMENTS…` in a pane runs vmdeck and says how it ended and whether the terminal's settings
# are what they were.
cat >pane.rc <<'R'
PS1='host$ '
v() {
    local tag=$1 before status
    shift
    before=$(stty -g)
    "$VMDECK" "$@"
    status=$?
    [ "$(stty -g)" = "$before" ] && echo "done $tag status=$status tty=same" ||
        echo "done $tag status=$status tty=changed"
}
R

# pane NAME COLUMNS ROWS [TERM]
pane() {
    t new-session -d -s "$1" -x "$2" -y "$3" "TERM=${4-screen-256color} exec bash --rcfile pane.rc -i"
    see "$1" 'host\$ *$' "a shell in pane $1"
}
keys() { t send-keys -t "$1:" "${@:2}"; }            # names of keys
line() { t send-keys -t "$1:" -l "$2" && keys "$1" Enter; } # a line typed
screen() { t capture-pane -p -t "$1:"; }
history_of() { t capture-pane -p -S - -t "$1:"; }
state() { t display-message -p -t "$1:" "#{$2}"; }

shows() { screen "$1" | grep -qE -- "$2"; }
showed() { history_of "$1" | grep -qE -- "$2"; }
see() { await "$3: no '$2' in pane $1" shows "$1" "$2" || screen "$1"; } # PANE REGEX WHAT
gone() { ! shows "$1" "$2"; }

# resize PANE COLUMNS ROWS: tmux tells the program of it later.
resize() {
    t resize-window -t "$1:" -x "$2" -y "$3"
    await "pane $1 has another size" has_size "$1" "$3 $2"
}
has_size() { [ "$(stty -F "$(state "$1" pane_tty)" size)" = "$2" ]; }

# wiped PANE: an empty screen and history, so that what is seen next is new.
wiped() {
    keys "$1" C-l
    t clear-history -t "$1:"
    t send-keys -t "$1:" -l 'clear' && keys "$1" Enter
    await "pane $1 is not clear" gone "$1" 'clear|[a-z]{3}-'
    t clear-history -t "$1:"
}

left() { see "$1" "done $2 status=${3-0} tty=same" "end of $2"; } # PANE TAG [STATUS]
client_of() { pgrep -t "$(state "$1" pane_tty | sed 's,/dev/,,')" -x vmdeck; }
qemu_of() { pgrep -f "qemu-system.*$XDG_STATE_HOME.*/$1"; }
host_of() { ps -o ppid= "$(qemu_of "$1")" | tr -d ' '; }
