#!/usr/bin/env bash
# Unmodified programs of the guest, over intercepted TLS, as people use them: git with a secret for
# a password, in both directions and with binary content, apt, and where this machine has them to
# lend, Python's requests and Node.js.
. "$(dirname "$0")/lib.sh"
quiet_notice
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

server_certificate DNS:site.test

# A repository with binary content, and one of Debian packages with one in it.
mkdir -p www/apt deb/DEBIAN deb/usr/share/hello lent
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
git init -q -b main work
head -c 1500000 /dev/urandom >work/noise
git -C work add noise
git -C work -c user.name=t -c user.email=t@site.test commit -qm first
git clone -q --bare work www/repo.git
git -C www/repo.git config http.receivepack true
echo hello >deb/usr/share/hello/text
printf '%s\n' 'Package: hello-test' 'Version: 1' 'Architecture: all' 'Maintainer: t <t@site.test>' \
    'Description: a test' >deb/DEBIAN/control
dpkg-deb --root-owner-group -b deb www/apt/hello-test_1_all.deb >/dev/null
{
    cat deb/DEBIAN/control
    echo 'Filename: ./hello-test_1_all.deb'
    echo "Size: $(stat -c %s www/apt/hello-test_1_all.deb)"
    echo "SHA256: $(sha256sum www/apt/hello-test_1_all.deb | cut -d' ' -f1)"
} >www/apt/Packages
echo '{"hello":"world"}' >www/json

# What the image does not have, but this machine may: the same Python's requests, and Node.js.
programs='git apt'
python=$(python3 -c 'import requests, sys; print(sys.version_info[1], requests.__path__[0])' \
    2>/dev/null)
if [ "${python%% *}" = 11 ]; then # Debian 12's
    cp -r "$(dirname "${python#* }")"/{requests,urllib3,idna,certifi,charset_normalizer} lent/ &&
        programs+=' requests'
fi
node=$(command -v node)
if [ -n "$node" ] && cp -L "$node" lent/node; then
    mkdir lent/lib
    ldd "$node" | grep -o '/[^ ]*' | xargs -I{} cp -L {} lent/lib/ # the loader, too
    programs+=' node'
fi

: >requests
export WITNESS_PASSWORD=the-real-password
"$(dirname "$0")/net_witness.py" "$PWD" &
witness=$!
trap 'kill "$witness"' EXIT
for ((i = 0; i < 600; i++)); do
    [ -s http.port ] && [ -s https.port ] && break
    sleep 0.1
done
port=$(cat https.port)

cat >guest.sh <<'G'
set -e
site=site.test:$1
cd /tmp
for program in $2; do
    case $program in
    git)
        export GIT_TERMINAL_PROMPT=0
        git config --global user.name t && git config --global user.email t@site.test
        git clone -q "https://user:$PASSWORD@$site/git/repo.git" repo
        cd repo
        sha256sum <noise
        head -c 1500000 /dev/urandom >more
        git add more && git commit -qm second
        git push -q origin main
        git rev-parse main
        cd ..
        ;;
    apt)
        rm -rf /etc/apt/sources.list.d
        echo "deb [trusted=yes] https://$site/apt ./" >/etc/apt/sources.list
        apt-get -qq update
        apt-get -qq download hello-test
        dpkg-deb -x hello-test_1_all.deb .
        cat usr/share/hello/text
        ;;
    requests)
        PYTHONPATH=/lent python3 -c \
            "import requests; print(requests.get('https://$site/json').json()['hello'])"
        ;;
    node)
        /lent/lib/ld-linux* --library-path /lent/lib /lent/node -e \
            "fetch('https://$site/json').then(r => r.json()).then(j => console.log(j.hello))"
        ;;
    esac || exit
    echo "$program done"
done
G
run timeout 150 "$VMDECK" exec --host-secret "PASSWORD@https://site.test:$port=$WITNESS_PASSWORD" \
    --allow-internal site.test --resolve site.test=127.0.0.1 --upstream-ca ca.pem \
    --mount-hostfs "$PWD/lent:/lent:ro" -- bash -s "$port" "$programs" <guest.sh
# shellcheck disable=SC2154 # run sets it
[ "$status" -eq 0 ] || fail "status $status: $(cat out err)"
for program in $programs; do
    grep -qx "$program done" out || fail "$program: $(cat out err)"
done
[ "$(head -n 1 out)" = "$(sha256sum <work/noise)" ] || fail "the clone: $(cat out)"
[ "$(sed -n 2p out)" = "$(git -C www/repo.git rev-parse main)" ] || fail "the push: $(cat out)"
git -C www/repo.git fsck --strict >/dev/null 2>&1 || fail 'the push was damaged'
grep -qx hello out || fail "apt: $(cat out)"
grep -q "$WITNESS_PASSWORD" out err && fail 'the guest has seen the value'
nothing_left 'after all'
finish
