#!/usr/bin/env bash
# package.sh SOURCE BUILD VERSION: cpack's .deb declares what vmdeck needs and holds what it is.
. "$(dirname -- "$0")/common.sh"
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
(cd "$build" && cpack -G DEB -B "$directory") >"$directory/log" 2>&1 || {
    cat "$directory/log"
    exit 1
}
deb=$(echo "$directory"/vmdeck_"$3"_*.deb)
depends=$(dpkg-deb -f "$deb" Depends)
contents=$(dpkg-deb -c "$deb" | sed 's|.* \./|/|')
for package in libc6 libuv1 qemu-system-x86 mmdebstrap uidmap; do
    grep -qwF "$package" <<<"$depends" || wrong "not in the package's Depends" <<<"$package"
done
for file in /usr/bin/vmdeck /usr/share/doc/vmdeck/README.md /usr/share/doc/vmdeck/LICENSE; do
    grep -qxF "$file" <<<"$contents" || wrong "not in the package" <<<"$file"
done
for page in man/*.[157]; do
    [ ! -e "$page" ] || grep -qxF "/usr/share/man/man${page##*.}/${page##*/}" <<<"$contents" ||
        wrong "not in the package" <<<"$page"
done
exit "$status"
