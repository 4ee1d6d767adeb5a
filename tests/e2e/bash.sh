#!/usr/bin/env bash
# bash and attach as a user sees them: the program in the panes of a private tmux server, keys by
# send-keys, screens by capture-pane. A pane is a terminal of its own size; nothing waits for time,
# only for what a screen shows.
. "$(dirname "$0")/lib.sh"
quiet_notice

. "$(dirname "$0")/tmux.sh"

# --- the first session: a shell, left and found again

pane a 80 24
line a 'v first bash --name demo'
see a '#$' 'the prompt of the guest'
line a 'PS1="guest> "; echo sum-$((40 + 2))'
see a '^sum-42' 'a command in the guest'
see a '^guest> *$' 'the prompt'
# one process, so that a Ctrl-C cannot meet the moment between two
line a 'perl -e '\''$| = 1; for (;;) { print "tick-", ++$i, "\n"; open F, ">/tmp/tick"; print F $i; close F; select undef, undef, undef, 0.1 }'\'''
see a '^tick-3' 'a counter'
keys a C-]
left a first
shows a 'left session [0-9a-f]{8} running; back with: vmdeck attach' || fail 'no hint how to come back'
count=$(screen a | grep -oE 'tick-[0-9]+' | tail -1)
line a 'echo usable-$((1 + 2))'
see a '^usable-3' 'the shell after leaving'

# While it is left alone another one starts, which takes its time.
id=$("$VMDECK" bash --detached --keep --name kept 2>err)
[[ $id =~ ^[0-9a-f]{8}$ ]] || fail "--detached printed '$id': $(cat err)"

# and until the counter in the guest has gone on
went_on() { [ "$("$VMDECK" cp demo:/tmp/tick - 2>&1)" -ge $((${count#tick-} + 3)) ] 2>/dev/null; }
await 'the counter stood still while nobody looked' went_on

wiped a
line a 'v second attach demo'
see a '^tick-[0-9]+' 'the counter again'
first=$(history_of a | grep -oE '^tick-[0-9]+' | tail -1)
[ "$((${first#tick-} - ${count#tick-}))" -ge 2 ] || fail "not where the counter is: $count, then $first"
keys a C-c
line a 'clear; seq 1 200; echo end-$((1 + 1))'
see a '^end-2' 'two hundred lines'

# --- other sizes and kinds of terminal

for kind in screen xterm-256color linux; do
    case $kind in
    screen) columns=100 rows=30 ;;
    xterm-256color) columns=60 rows=15 ;;
    linux) columns=80 rows=25 ;;
    esac
    keys a C-]
    left a second
    wiped a
    pane "$kind" $columns $rows "$kind"
    line "$kind" "clear; v $kind attach demo"
    see "$kind" '^end-2' "attach in $kind"
    see "$kind" '^guest> *$' "the prompt in $kind"
    screen "$kind" | grep -qx 200 || fail "$kind: the screen is not what it was: $(screen "$kind")"
    history_of "$kind" | grep -xE '[0-9]+' | cmp -s - <(seq 1 200) ||
        fail "$kind: the scrollback is not 1 to 200: $(history_of "$kind" | head -40)"
    line "$kind" 'stty size'
    see "$kind" "^$rows $columns\$" "the guest's size in $kind"
    keys "$kind" C-]
    left "$kind" "$kind"
    t kill-session -t "$kind"
    line a 'v second attach demo'
    see a '^guest> *$' 'back in the first'
done

# --- programs on the alternate screen, left, resized, found again

line a 'clear; seq 1 500 >/tmp/numbers; vim.tiny -u NONE /tmp/numbers'
see a '^23$' 'vim'
[ "$(state a alternate_on)" = 1 ] || fail 'vim is not on the alternate screen'
keys a C-]
left a second
[ "$(state a alternate_on)" = 0 ] || fail 'left on the alternate screen'
resize a 100 30
line a 'v third attach demo'
see a '^29$' 'vim, resized'
[ "$(screen a | head -29)" = "$(seq 1 29)" ] || fail "vim: $(screen a)"
[ "$(state a alternate_on)" = 1 ] || fail 'vim is no more on the alternate screen'
line a ':q!'
see a '^guest> *$' 'the screen below vim'
[ "$(state a alternate_on)" = 0 ] || fail 'on the alternate screen after vim'

line a 'less /tmp/numbers'
see a '^29$' 'less'
keys a C-]
left a third
resize a 80 24
line a 'v fourth attach demo'
see a '^/tmp/numbers|^:$|^23$' 'less, resized'
keys a G
see a '^500$' 'the end in less'
await "less: $(screen a)" shows a '^478$'
keys a q
see a '^guest> *$' 'the screen below less'

# --- two viewers

pane b 100 30
line b 'clear; v b1 attach demo'
see b '^guest> *$' 'the second viewer'
line a 'clear; stty size; echo both-$((1 + 1))'
see a '^24 80' "the smaller one's size"
see b '^both-2' 'what the first typed'
line b 'echo other-$((2 + 2))'
see a '^other-4' 'what the second typed'
texts_equal() { [ "$(screen a)" = "$(screen b | head -24)" ]; }
await 'two viewers show different screens' texts_equal || { screen a; screen b; }
resize b 60 15
line a 'clear; stty size'
see a '^15 60' 'the second is smaller now'
see b '^15 60' 'both see it'
keys b C-]
left b b1
line a 'clear; stty size'
see a '^24 80' 'the first alone'

line b 'clear; v b2 attach demo --read-only'
see b '^24 80' 'a reader'
line b 'echo typed-by-reader'
line a 'stty size; echo by-owner-$((3 + 3))'
see b '^by-owner-6' 'what the owner typed'
gone a 'typed' || fail "a reader's keys arrived: $(screen a)"
see a '^15 60' "a reader's size counts as well"
keys b C-]
left b b2

# --- new terminals in the same session

line b 'clear; v b3 attach demo --cwd /usr/share --env WORD=value -- sh -c '\''echo in $PWD $WORD; exit 7'\'''
left b b3 7
showed b '^in /usr/share value' || fail "directory and environment: $(history_of b)"
line b 'clear; v b4 attach demo -- sh -c '\''kill -9 $$'\'''
left b b4 137
line b 'clear; v b5 attach demo -- no-such-command'
left b b5 127
[ "$(screen b | grep -c 'no-such-command: command not found')" -eq 1 ] || fail "not found: $(screen b)"
line b 'clear; v b6 attach demo --new'
see b '#$' 'a second shell'
line b 'tty; exit 5'
left b b6 5
showed b '^/dev/pts/1' || fail "not a terminal of its own: $(history_of b)"

# --- Ctrl-] in a paste is text

wiped a
t set-buffer $'echo past\x1ded'
t paste-buffer -p -t a:
see a 'echo past(\^\])?.?ed' 'a paste with Ctrl-] in it'
keys a C-u
line a 'echo still-$((4 + 4))'
see a '^still-8' 'the session after the paste'

# --- fifty sizes, then the right one

tty=$(state a pane_tty)
for i in {1..50}; do
    stty -F "$tty" cols $((60 + i % 37)) rows $((12 + i % 19))
done
stty -F "$tty" cols 80 rows 24
line a 'clear; stty size; echo storm-$((5 + 5))'
see a '^storm-10' 'after many sizes'
screen a | head -3 | tr '\n' ' ' | grep -q '24 80 storm-10 guest>' || fail "after many sizes: $(screen a)"

# --- ends of the client that nobody wanted

kill -TERM "$(client_of a)"
left a fourth 143
# shellcheck disable=SC2016 # a plain command: job control does not go well with v
line a 'clear; "$VMDECK" attach demo'
see a '^storm-10' 'a plain attach'
kill -TSTP "$(client_of a)"
see a 'Stopped' 'the client is stopped'
line a 'stty -a | grep -o " icanon"; echo stopped-$((4 + 4))'
see a '^stopped-8' 'the shell while the client is stopped'
shows a '^ icanon' || fail "the terminal while the client is stopped: $(screen a)"
line a 'fg'
see a '^storm-10' 'after SIGTSTP'
keys a C-]
see a 'left session' 'after SIGTSTP, Ctrl-]'
line a 'clear; v fifth attach demo'
see a '^storm-10' 'after SIGTERM'
kill -KILL "$(client_of a)"
see a 'Killed' 'the client is killed'
line b 'clear; v b7 attach demo'
see b '^storm-10' 'after SIGKILL'

# --- the end of the shell is the end of the session

line b 'exit 7'
left b b7 7
line b 'clear; v b8 attach demo'
left b b8 125
shows b 'vmdeck attach: .*has ended' || fail "attach to nothing: $(screen b)"

line b 'clear; v b9 attach kept'
see b '#$' 'the kept session'
line b 'exit 3'
left b b9 3
line b 'clear; v b10 attach kept'
see b '#$' 'a new shell in the kept session'

# --- session host and QEMU killed under the viewer

host=$(host_of "$id")
kill -KILL "$host"
left b b10 125
shows b 'vmdeck attach: .*(went away|ended|gone)' || fail "host killed: $(screen b)"
no_qemu() { [ -z "$(qemu_of "$id")" ]; }
await 'host killed: QEMU stays' no_qemu

# stty sets what is to be set when all is out
line b 'clear; v b11 bash -- sh -c "echo on-console >/dev/console; stty -F /dev/console sane; echo start-\$((6 + 6)); exec sleep 1000"'
see b '^start-12' 'a command instead of a shell'
kill -KILL "$(qemu_of '')"
left b b11 125
shows b 'QEMU was killed by signal 9' || fail "QEMU killed: $(screen b)"
shows b 'console said last' && shows b 'on-console' || fail "QEMU killed, console: $(screen b)"
line b 'clear; v b12 bash -- no-such-command'
left b b12 127
[ "$(screen b | grep -c 'no-such-command: command not found')" -eq 1 ] || fail "not found: $(screen b)"

finish
