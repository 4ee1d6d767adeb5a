#!/usr/bin/env bash
# A day's work by keys alone: two sessions by the form, a request that waits and is allowed, a secret
# that is used, a directory mounted into a running session, a snapshot, and the session from it.
. "$(dirname "$0")/dashboard_lib.sh"
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

# A server on the host's loopback, with a certificate of an authority of its own.
server_certificate DNS:site.test
mkdir www project && echo hello >www/file && echo guarded >www/secret && echo from-the-host >project/note
: >requests
"$(dirname "$0")/net_witness.py" "$PWD" &
witness=$!
at_exit() { kill "$witness"; }
until_true 'the server listens' test -s http.port
until_true 'the server listens' test -s https.port
http=http://site.test:$(cat http.port) https=https://site.test:$(cat https.port)
mkdir -p "$XDG_CONFIG_HOME/vmdeck"
printf 'ask 120\nresolve site.test=127.0.0.1\nallow-internal 127.0.0.0/8\nupstream-ca %s\n' "$PWD/ca.pem" \
    >"$XDG_CONFIG_HOME/vmdeck/config"
export WORK_TOKEN=the-real-value-of-it

# --- two sessions by the form; what was typed stays when it is left, and when it fails

pane a 120 36
line a 'v work'
see a 'no sessions yet' 'an empty fleet'
keys a n
see a 'Name .*letters, digits' 'the form'
typed a one
keys a Up Up # Boot cold, Secrets
typed a WORK_TOK
keys a Tab
see a 'Secrets +WORK_TOKEN@' 'the name of a variable is completed'
typed a "$https=oops"
see a 'Secrets .*=\*\*\*\*' 'a value is not shown'
keys a Enter
see a 'no value here' 'nor taken'
keys a BSpace BSpace BSpace BSpace BSpace
back a
keys a n
see a 'Name +one' 'the form as it was left'
keys a Down Down Down Down Down # Boot cold, Name, Image, Memory, CPUs
typed a 9999
keys a Enter
see a 'cpus' 'why it failed'
keys a n
see a 'CPUs +9999' 'the form as it was sent'
keys a C-u Enter
see a '● one ' 'the first session'
keys a n
see a 'Name .*letters, digits' 'an empty form again'
typed a two
keys a Enter
see a '● two ' 'the second session'

# --- side by side; one asks for a host, is seen to wait, and goes on when it is allowed

keys a g Enter
see a '^─ 1 one' 'the pane'
line a 'PS1="one> "; clear; kept=$((40 + 2)); echo left-$kept'
see a '^left-42' 'a command in the first'
keys a C-]
see a 'Fleet' 'the dashboard'
keys a G '|'
see a '1 one.*2 two' 'two panes'
line a 'PS1="two> "; clear; echo right-$((3 + 4))'
see a 'left-42.*right-7' 'both side by side'
line a 'until [ -e /go ]; do sleep 0.1; done; printf "\a"' # it will ring when it is out of sight
keys a C-] H
see a '1 one.*2 two' 'the first has the keyboard'
line a "clear; curl -sS $http/file"
see a '1 waiting' 'the panes say that it waits'
keys a C-]
see a '\? one .*1 request' 'the list says who'
keys a R
see a 'site.test .*one .*GET /' 'the request'
keys a a
not_see a 'site.test .*one .*GET /' 'the request is answered'
back a
keys a Tab
see a '^hello' 'it goes on'

# --- a secret: the guest has its placeholder, the server its value, the log its name

line a "clear; echo \$WORK_TOKEN; curl -sS -H \"Authorization: Bearer \$WORK_TOKEN\" $https/secret"
see a '^VMDECK_SECRET_' 'the placeholder'
see a '1 waiting' 'a question for another port'
keys a C-] R
see a 'site.test .*one .*GET /' 'the request'
keys a s
see a 'vmdeck allow [^ ]+ site.test --session' 'the command for the shell'
back a
keys a Tab
see a '^guarded' 'the answer'
grep -q "Bearer $WORK_TOKEN" requests ||
    fail "the server got no value: $(cat requests)"
keys a C-] N
see a 'WORK_TOKEN' 'the secret in the network log'
shows a "$WORK_TOKEN" && fail 'its value is on the screen'
back a

# --- its rules: one more, and away again

keys a g P
see a 'Rules of one' 'the rules'
see a 'allow .*session .*site.test' 'the one of the queue'
keys a d
typed a bad.test
keys a Enter
see a 'deny +session +bad.test' 'one more' # in the list, not the command's line
keys a /
typed a bad
keys a Enter g x
see a 'vmdeck rules one rm' 'the command for the shell'
not_see a 'deny +session +bad.test' 'without it'
keys a Escape
see a 'everything else' 'all rules again'
sleep 0.1 # or it would be Alt and that key
back a

# --- a bell out of sight is noted, and found

"$VMDECK" cp www/file two:/go || fail 'cp'
see a '● two .* ! ' 'the bell'
keys a w
see a '▸ ● two ' 'where it rang'
keys a g

# --- a directory, into the running session and out of it

keys a m
see a 'nothing is mounted' 'no mounts'
keys a a
typed a proj
keys a Tab
see a 'mount .*project/' 'a completed directory'
typed a ':/files:ro'
keys a Enter
see a '/files +ro +/.*/project' 'the mount'
back a
keys a Tab
line a 'clear; cat /files/note'
see a '^from-the-host' 'its file'
keys a C-] m
see a '/files +ro' 'the mount'
keys a x
see a 'nothing is mounted' 'without it'
back a

# --- a snapshot; the session ends; another one goes on from there

keys a g s
see a 'done: vmdeck snapshot one' 'a snapshot'
see a '└ [0-9a-f]{8} ' 'the snapshot below its session'
keys a x
see a 'Stop one\?' 'the question'
keys a y
until_true 'one has ended' has_live 1
keys a v
see a 'Snapshots · 1' 'the snapshots'
keys a e
typed a ready
keys a Enter
see a '^ ready ' 'its new name'
keys a Enter
see a 'done: vmdeck bash --detached --resume' 'a session from it'
back a
see a '─ .* · bash' 'its preview'
# A session that is only just starting says so, and what is typed next would be keys of the list.
opened() { shows a 'goes to the guest' || { keys a Enter && false; }; }
until_true 'the shell does not open' opened
line a 'clear; echo kept-$kept'
see a '^kept-42' 'the shell is where it was'
keys a C-] v
see a '^ ready ' 'the snapshots'
keys a x
see a 'Delete snapshot' 'the question'
keys a y
see a 'runs from it' 'it is in use'
back a

# --- all at once: marks, one question

both_paused() { [ "$(screen a | grep -c '‖ .*paused')" -eq 2 ]; }

keys a '*' p
see a 'Pause 2 sessions\?' 'one question'
keys a y
until_true 'both pause' both_paused
keys a '*' p
see a 'Go on with 2 sessions\?' 'one question'
keys a y
see a '● two ' 'both go on'

# --- signals: the terminal is given back, and the status says which; Ctrl-Z

kill -TERM "$(dashboard_of a)"
see a 'done work status=143 tty=same' 'SIGTERM'
line a 'clear; v again'
see a '● two ' 'everything is there'
kill -HUP "$(dashboard_of a)"
see a 'done again status=129 tty=same' 'SIGHUP'
line a 'clear; before=$(stty -g); "$VMDECK"'
see a '● two ' 'everything is there'
keys a C-z
see a 'Stopped' 'Ctrl-Z'
line a '[ "$(stty -g)" = "$before" ] && echo same-$((1 + 1))'
see a '^same-2' 'the terminal while it is stopped'
line a fg
see a '● two ' 'and back'
keys a '*' x
see a 'Stop 2 sessions\?' 'one question'
keys a y
until_true 'all have ended' has_live 0
keys a q
see a 'host\$ *$' 'leaving'
grep -rqF "$WORK_TOKEN" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" && fail 'the value is on the disk'
end_spares
nothing_left 'the dashboard'
finish
