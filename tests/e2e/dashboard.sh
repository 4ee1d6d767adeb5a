#!/usr/bin/env bash
# The dashboard as a user sees it: panes, sizes, prompts, pages, settings, and its end.
. "$(dirname "$0")/dashboard_lib.sh"

# --- without a terminal

run "$VMDECK" </dev/null
expect 2 '' '.*needs a terminal.*' 'the dashboard without a terminal'

# --- a new session by its form

pane a 120 34
line a 'v first'
see a 'no sessions yet' 'an empty fleet'
keys a n
see a 'New session' 'the form'
typed a one
keys a Enter
see a 'vmdeck bash --detached --name=one' 'the command for the shell'
see a '● one ' 'the session runs'
see a '─ one · bash' 'its preview'
see a 'root@one:' 'its prompt in the preview'

# --- type in its pane, and back

keys a Enter
see a '^─ 1 one' 'the pane'
see a 'everything else goes to the guest' 'the hint how to leave'
line a 'PS1="one> "; clear; echo sum-$((40 + 2))'
see a '^sum-42' 'a command in the guest'
line a 'stty size'
see a '^32 120' "the guest's size"
keys a C-]
see a 'Fleet' 'back at once'
see a '─ one' 'the preview'
keys a C-] # and again: into the pane, and sent literally
see a 'everything else goes' 'in the pane again'
line a ''
line a 'echo lit-$((1 + 1))'
see a '^lit-2' 'the guest after a literal Ctrl-]'

# --- a program that sets its own keys; wide characters; colours; a paste

line a $'clear; printf \'\\033[31mred\\033[m \\xe4\\xb8\\xad\\xe6\\x96\\x87|\\n\''
see a '^red 中文\|' 'wide characters'
t set-buffer -b paste 'echo pasted-$((2 + 3))'
t paste-buffer -p -b paste -t a:
keys a Enter
see a '^pasted-5' 'a paste'
line a 'clear; seq 1 200; echo end-$((1 + 1))'
see a '^end-2' 'two hundred lines'

# --- looking back, searching, copying

t set-option -s set-clipboard on
t set-option -sa terminal-overrides ',*:Ms=\E]52;%p1%s;%p2%s\007'
keys a C-]
see a 'Fleet' 'the dashboard'
keys a '['
see a 'scrollback: / search' 'the scrollback'
keys a /
typed a 117
keys a Enter
see a '^117$' 'what was searched for'
keys a v j y
see a 'copied 7 bytes' 'a copy'
until_true 'the clipboard has the lines' test "$(t show-buffer 2>/dev/null)" = $'117\n118'

# --- split, zoom, a second session

"$VMDECK" bash --detached --name two >out 2>err || fail "two: $(cat err)"
keys a C-]
see a '● two ' 'a session that was started elsewhere'
keys a G
keys a '|'
see a '─ 1 one.*─ 2 two' 'two panes side by side'
line a 'PS1="two> "; clear; echo right-$((3 + 4))'
see a 'right-7' 'a command in the second pane'
shows a '200 .*│|end-2 .*│' || fail "the first pane is not shown: $(screen a)"
keys a C-]
see a 'Fleet' 'the dashboard'
keys a z
see a '2 two.*\[zoom\]' 'the zoom'
gone a '1 one' || fail 'both panes are shown'
keys a C-]
keys a z
see a '1 one.*2 two' 'both again'
keys a C-]
keys a H
line a 'clear; echo left-$((4 + 4))'
see a '^left-8' 'the focus moved to the left'
keys a C-]
keys a L
keys a C-]
see a 'Fleet' 'the dashboard'
keys a - # two is shown already: one more terminal of it
see a '─ 3 two' 'three panes'
line a 'echo third-$((5 + 4))'
see a 'third-9' 'a command in the third'
line a exit
not_see a '─ 3 two' 'a pane whose command has ended'

# --- the mouse: a click moves the focus, the wheel looks back, a dragged border resizes

mouse() { typed a $'\033[<'"$1"; } # BUTTON;COLUMN;ROWM
see a '1 one.*2 two' 'two panes'
mouse '0;10;5M' && mouse '0;10;5m'
line a 'clear; seq 1 60; echo click-$((5 + 5))'
see a '^click-10' 'the focus moved to where the click was'
mouse '64;10;5M' && mouse '64;10;5M'
see a '1 one.*\[-[0-9]+ of ' 'the wheel looks back'
keys a q
see a 'everything else goes' 'and again to the guest'
mouse '0;61;10M' && mouse '32;31;10M' && mouse '0;31;10m'
see a '^one> {26}│' 'the border is where it was dragged to'

# --- sizes

resize a 39 9
see a 'vmdeck needs 40x10, this is 39x9' 'too small'
resize a 40 10
see a '1 one' 'the smallest size'
keys a C-]
see a 'Fleet' 'the smallest fleet'
see a ' one ' 'the smallest fleet'
resize a 500 200
see a '─ (one|two) · ' 'the largest size'
resize a 80 24
see a 'Fleet' 'a usual size'

printf '\033[2J' >"$(state a pane_tty)"
not_see a 'Fleet' 'a screen that lost what was on it'
kill -WINCH "$(dashboard_of a)" # as for two resizes that were one: the size is what it was
see a 'Fleet' 'drawn anew'

# --- filter, palette, help, log, themes

keys a /
typed a 'on'
see a 'Fleet.*/on' 'a filter'
not_see a '● two' 'what the filter hides'
keys a Enter
see a 'Fleet.*/on' 'the filter stays'
back a
see a '● two' 'without the filter'
keys a :
typed a 'list'
keys a Enter
see a 'ID +NAME +STATE' "a command's output"
back a
keys a '?'
see a 'all keys|go to the session' 'the help'
back a
keys a l
see a 'Event log' 'the log'
see a 'session ready|session started' 'entries of the log'
back a
keys a :
typed a 'theme light'
keys a Enter
see a 'theme light' 'another theme'
keys a :
typed a 'nonsense'
keys a Enter
see a "no command 'nonsense'" 'an unknown command'

# --- what a guest prints cannot reach the terminal

keys a g Enter
see a '1 one' 'the pane'
line a $'clear; printf \'\\033]0;evil\\033[2J\\007\\033]52;c;ZXZpbA==\\007\\x9b31mend\\n\''
see a 'end .*│' 'hostile output'
shows a '1 one' || fail 'the screen was cleared by a title'
[ "$(t show-buffer)" = $'117\n118' ] || fail 'the guest set the clipboard'

# --- killed, it loses nothing; the terminal can be put right

kill -KILL "$(dashboard_of a)"
until_true 'it was killed' shows a 'done first status=137'
keys a Enter
line a 'reset'
see a 'host\$ *$' 'the shell after reset'
has_live 2 || fail "sessions were lost: $("$VMDECK" list)"
echo 'key g Enter' >early # typed before any session has said what it runs; one of them never does
silent=$("$VMDECK" list --json | python3 -c 'import json, sys
print(*(s["pid"] for s in json.load(sys.stdin) if s["name"] == "two"))')
kill -STOP "$silent"
line a 'clear; v second --script early'
see a '1 one' 'the pane again'
kill -CONT "$silent"
line a 'clear; echo again-$((6 + 7))'
see a '^again-13' 'the shell is as it was left'
keys a C-]

# --- without colours; a terminal that the guests' output does not change

pane mono 100 30 vt100
line mono 'v mono'
see mono 'Fleet' 'a terminal without colours'
see mono ' one ' 'its fleet'
keys mono q
see mono 'done mono status=0 tty=same' 'leaving'
pane plain 100 30 screen-256color NO_COLOR=1
line plain 'v plain'
see plain 'Fleet' 'NO_COLOR'
t capture-pane -p -e -t plain: | grep -qE $'\033\\[[0-9;]*(3[0-7]|38|4[0-7]|48)[;m]' &&
    fail 'colours in spite of NO_COLOR'
keys plain q
see plain 'done plain status=0 tty=same' 'leaving'

# --- bound keys of the user's, and what is wrong with them

mkdir -p "$XDG_CONFIG_HOME/vmdeck/themes"
echo 'text = 250 on 17' >"$XDG_CONFIG_HOME/vmdeck/themes/mine.theme"
printf 'theme = mine\nkey.quit = F10\npane-key.zoom = M-z\nkey.fork = n\n' \
    >"$XDG_CONFIG_HOME/vmdeck/dashboard.conf"
pane conf 100 30
line conf 'v conf'
see conf 'n means new and fork' 'a collision is reported'
keys conf F10
see conf 'done conf status=0 tty=same' 'the key from the file'
rm "$XDG_CONFIG_HOME/vmdeck/dashboard.conf"

# --- idle: no processor time

keys a l
see a 'Event log' 'a page on which nothing happens'
pid=$(dashboard_of a)
ticks() { cut -d ' ' -f 14,15 "/proc/$pid/stat" | tr ' ' '+' | xargs -I{} sh -c 'echo $(({}))'; }
before=$(ticks)
sleep 2
[ $(($(ticks) - before)) -le 1 ] || fail "it is not idle: $(($(ticks) - before)) ticks in 2 s"
back a

# --- stop, asked first

see a 'Fleet' 'the dashboard'
keys a g x
see a 'Stop one\?' 'the question'
keys a j
see a 'nothing done' 'no'
keys a g x
see a 'Stop one\?' 'the question'
keys a y
see a 'vmdeck stop one' 'the command for the shell'
until_true 'one has ended' has_live 1
keys a '*' '*'
keys a /
typed a two
keys a Enter
keys a '*' x
see a 'Stop two\?' 'the question'
keys a y
until_true 'all have ended' has_live 0
keys a q
see a 'done second status=0 tty=same' 'leaving'
end_spares
nothing_left 'the dashboard'
finish
