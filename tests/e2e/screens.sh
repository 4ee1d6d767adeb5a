#!/usr/bin/env bash
# The program on a real terminal, driven by `--script`: what it says that it shows (`save`) is what
# a terminal shows (capture-pane of a private tmux server), at three sizes; the empty fleet is the
# golden file of it. Without a VM.
. "$(dirname "$0")/lib.sh"
screens=$(dirname "$0")/../tui/screens

unset TMUX TMUX_PANE
echo 'set -g exit-empty off' >"$HOME/tmux.conf" # a server that goes takes no new session
t() { tmux -u -f "$HOME/tmux.conf" -S "$HOME/tmux" "$@"; }
trap 't kill-server 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP

until_true() { # WHAT COMMAND…
    await "$@" && return
    t capture-pane -p -t a:
    finish # what follows builds on it
}
# The clock goes on meanwhile; lines end where their text does.
calm() { sed -e 's/[0-2][0-9]:[0-5][0-9]$/14:02/' -e 's/ *$//'; }
captured() { cmp -s <(t capture-pane -p -t a: | calm) <(calm <"$1"); }
shows() { t capture-pane -p -t a: | grep -qE -- "$1"; }

# show NAME LINE…: runs the script, which saves what it ended at as NAME, and compares.
show() {
    printf '%s\n' 'wait Fleet' "${@:2}" "save $PWD/$1" >keys
    t send-keys -t a: -l 'vmdeck_script keys' \; send-keys -t a: Enter
    until_true "$1 is not saved" test -s "$1"
    until_true "$1 is not what the terminal shows: $(cat "$1")" captured "$1"
    t send-keys -t a: C-c
    until_true "leaving $1" shows '^status=0'
    t send-keys -t a: clear Enter
    until_true "a shell behind $1" shows '^host\$ *$'
}

cat >pane.rc <<'R'
PS1='host$ '
vmdeck_script() { "$VMDECK" --script "$1"; echo "status=$?"; }
R
for size in 80x24 120x40 200x60; do
    t new-session -d -s a -x "${size%x*}" -y "${size#*x}" \
        'TERM=screen-256color exec bash --rcfile pane.rc -i'
    until_true 'a shell' shows '^host\$ *$'
    show "empty-$size" 'wait no sessions yet'
    cmp <(calm <"empty-$size") <(head -n "${size#*x}" "$screens/empty-$size.txt" | calm) ||
        fail "the empty fleet at $size is not the golden one"
    show "help-$size" 'key ?' 'wait all keys|go to the session'
    show "log-$size" 'key l' 'wait Event log'
    show "network-$size" 'key N' 'wait Network'
    show "review-$size" 'key R' 'wait nothing'
    t kill-session -t a
done

# What does not come true ends it, and says where; what is no script does not begin.
t new-session -d -s a -x 80 -y 24 'TERM=screen-256color exec bash --rcfile pane.rc -i'
until_true 'a shell' shows '^host\$ *$'
printf 'timeout 1\n# a comment\nwait not there\n' >late
t send-keys -t a: -l 'stty -g >before; vmdeck_script late; stty -g >after' \; send-keys -t a: Enter
until_true 'a wait in vain' shows "late, line 3: 'wait not there' did not come true within 1 s"
until_true 'its status' shows '^status=125'
until_true 'the settings' test -s after
cmp before after || fail 'the terminal has other settings'
printf 'wait a\nkey Foo\n' >wrong
t send-keys -t a: -l 'clear; vmdeck_script wrong' \; send-keys -t a: Enter
until_true 'a wrong key' shows "wrong, line 2: 'Foo' is no key"
finish
