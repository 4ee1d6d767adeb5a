#!/usr/bin/env bash
# fixture_image.sh VMDECK SOURCE BUILD DIRECTORY
#
# The default image, built once for all end-to-end tests into DIRECTORY; DIRECTORY/path names its
# asset directory. It is built anew only when what goes into an image has changed: the builder's
# sources or the guest's agent. With VMDECK_IMAGE set somebody has built one already.
set -u
vmdeck=$1 source=$2 build=$3 directory=$4

if [ -n "${VMDECK_IMAGE-}" ]; then
    [ -d "$VMDECK_IMAGE" ] && exit 0
    echo "VMDECK_IMAGE=$VMDECK_IMAGE is not a directory"
    exit 1
fi

mkdir -p "$directory" || exit 1
exec 9>"$directory.lock"
flock 9
key=$(cat "$source"/vm/image/*.[ch] "$build/vmdeck-agent" | sha256sum) || exit 1
if [ "$key" = "$(cat "$directory/key" 2>/dev/null)" ] && [ -d "$(cat "$directory/path")" ]; then
    exit 0
fi

rm -rf "$directory"
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT
mkdir -p "$directory" "$home/run" && chmod 700 "$home/run" || exit 1
# The downloads stay, for the next time.
id=$(env HOME="$home" XDG_DATA_HOME="$directory" XDG_CACHE_HOME="$directory.cache" \
    XDG_STATE_HOME="$home/state" XDG_CONFIG_HOME="$home/config" XDG_RUNTIME_DIR="$home/run" \
    "$vmdeck" image build </dev/null 9>&-) || exit 1
assets=$directory/vmdeck/images/objects/$id
if [ ! -e "$assets/manifest.json" ]; then
    echo "vmdeck image build printed '$id', but $assets holds no image"
    exit 1
fi
printf '%s\n' "$assets" >"$directory/path" && printf '%s\n' "$key" >"$directory/key"
