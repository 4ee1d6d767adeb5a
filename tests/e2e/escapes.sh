#!/usr/bin/env bash
# Ways out of a mount, tried by root in the guest while directories are moved on the host: nothing
# outside is read, created or changed. $ESCAPE_SECONDS for each pattern of tests/guest/escapes.py,
# $ESCAPE_JOBS of them at once (tests/campaign/escapes.sh takes more time).
. "$(dirname "$0")/lib.sh"
export seconds=${ESCAPE_SECONDS:-1}
here=$(dirname "$(readlink -f "$0")")
export in_session=$here/in_session.py escapes=$here/../guest/escapes.py base=$PWD/base
quiet_notice

# --- the attack itself: on the directory as it is, it does get out, if not at once
for _ in {1..20}; do
    mkdir bare && "$escapes" prepare bare || fail 'prepare'
    run "$escapes" run "$PWD/bare" link-swapped-by-host 0.2 \
        "$escapes" guest "$PWD/bare/link-swapped-by-host/root" link-swapped-by-host 0.2 "$PWD/bare/canary"
    got_out=$([ "$status" -eq 1 ] && grep 'was read' out)
    [ -z "$got_out" ] || break
    rm -rf bare
done
[ -n "$got_out" ] || fail "the attack does nothing: $(cat out err)"
rm -rf bare

# --- on mounts
"$escapes" prepare "$base" || fail 'prepare'
mounts=()
for pattern in $("$escapes" list); do
    mounts+=(--mount-hostfs "$base/$pattern/root:/e/$pattern")
done
"$VMDECK" bash --detached --name escapes "${mounts[@]}" --mount-hostfs "$here/../guest:/attack:ro" \
    --shadow '**/.hidden' >/dev/null || { fail 'bash --detached' && finish; }
id=$("$VMDECK" list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
export id
attack() {
    "$escapes" run "$base" "$1" "$seconds" "$in_session" "$id" \
        /attack/escapes.py guest "/e/$1" "$1" "$seconds" "$base/$1/canary" 2>&1
}
export -f attack
"$escapes" list | xargs -P "${ESCAPE_JOBS:-4}" -I{} bash -c 'attack {}' >results
[ "${PIPESTATUS[1]}" -eq 0 ] || fail "$(cat results)"
[ -z "${ESCAPE_SECONDS-}" ] || cat results
[ "$(grep -c ' rounds in the guest' results)" -eq "$("$escapes" list | wc -l)" ] || fail "$(cat results)"
"$VMDECK" stop escapes || fail 'stop'
nothing_left escapes
finish
