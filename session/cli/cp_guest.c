/*
 * POSIX sh and GNU tar, coreutils. Into the guest: everything is unpacked in a temporary directory
 * beside the final name and moved from there, which happens only if the archive's last entry has
 * come, so a stream that is cut off anywhere changes nothing. `cp -alf` merges by hard links, each
 * made under a temporary name and renamed. After SIGHUP the agent allows two seconds: removing is
 * left to a process of its own session.
 */
#include "session/cli/cp_guest.h"

const char cp_guest_put[] =
    "export LC_ALL=C; umask 022; dst=$1 name=$2 kind=$3 tmp=\n"
    "fail() { printf '%s\\n' \"$1\" >&2; exit 4; }\n"
    "for tool in tar mktemp mv cp rm head stat; do\n"
    "  command -v \"$tool\" >/dev/null || fail \"there is no $tool in the guest (install it)\"\n"
    "done\n"
    "target=$dst base=\n"
    "if [ -d \"$dst\" ]; then\n"
    "  [ -n \"$name\" ] || fail \"$dst: is a directory (name the file)\"\n"
    "  if [ \"$name\" = . ]; then base=$dst; else target=${dst%/}/$name; fi\n"
    "else\n"
    "  case $dst in */) [ \"$kind\" = directory ] || fail \"$dst: no such directory\";; esac\n"
    "  while :; do case $target in */) target=${target%/};; *) break;; esac; done\n"
    "fi\n"
    "if [ -d \"$target\" ] && [ ! -L \"$target\" ]; then base=$target; fi\n"
    "if [ -n \"$base\" ]; then\n"
    "  [ \"$kind\" = directory ] || fail \"$base: is a directory there\"\n"
    "else\n"
    "  base=${target%/*}; base=${base:-/}\n"
    "  [ -d \"$base\" ] || fail \"$base: no such directory\"\n"
    "  if [ \"$kind\" = directory ] && { [ -e \"$target\" ] || [ -L \"$target\" ]; }; then\n"
    "    fail \"$target: is there and no directory\"\n"
    "  fi\n"
    "  new=1\n"
    "fi\n"
    "away() { [ -z \"$tmp\" ] || rm -rf -- \"$tmp\"; }\n"
    "cut() { trap '' HUP; [ -z \"$tmp\" ] || setsid rm -rf -- \"$tmp\" </dev/null >/dev/null 2>&1 "
    "&\n"
    "  tmp=; exit 3; }\n"
    "trap away EXIT; trap cut HUP INT TERM\n"
    "tmp=$(mktemp -u \"${base%/}/.vmdeck-cp.XXXXXXXX\") && mkdir -m 700 -- \"$tmp\" || exit 3\n"
    "if [ \"$kind\" = bytes ]; then\n"
    "  ok=\n"
    "  while read -r size; do\n"
    "    [ \"$size\" = 0 ] && { ok=1; break; }\n"
    "    head -c \"$size\" >&3 || exit 3\n"
    "  done 3>\"$tmp/d\"\n"
    "  [ -n \"$ok\" ] || fail 'the copy was cut off'\n"
    "else\n"
    "  tar --warning=no-unknown-keyword --warning=no-timestamp -C \"$tmp\" --numeric-owner \\\n"
    "    -xpf - || {\n"
    "    [ \"$(stat -fc %a -- \"$tmp\")\" != 0 ] || fail \"$base: No space left on device\"\n"
    "    exit 3\n"
    "  }\n"
    "  [ -e \"$tmp/complete\" ] || fail 'the copy was cut off'\n"
    "fi\n"
    "trap '' HUP INT TERM\n"
    "if [ -n \"$new\" ]; then\n"
    "  mv -fT -- \"$tmp/d\" \"$target\" || exit 3\n"
    "else\n"
    "  owner=$(stat -Lc %u:%g -- \"$base\") mode=$(stat -Lc %a -- \"$base\")\n"
    "  cp -alf -- \"$tmp/d/.\" \"$base/\"; status=$?\n"
    "  chown -- \"$owner\" \"$base\" && chmod -- \"$mode\" \"$base\" && [ $status = 0 ] || exit 3\n"
    "fi\n";

const char cp_guest_get[] =
    "export LC_ALL=C; fail() { printf '%s\\n' \"$1\" >&2; exit 4; }\n"
    "command -v tar >/dev/null || fail 'there is no tar in the guest (install it)'\n"
    "case $1 in */) [ -d \"$1\" ] || fail \"$1: no such directory\";; esac\n"
    "[ -e \"$1\" ] || [ -L \"$1\" ] || fail \"$1: no such file or directory\"\n"
    "if [ -d \"$1\" ] && [ ! -L \"$1\" ]; then set -- \"$1\" .\n"
    "else set -- \"$2\" \"./$3\"; fi\n"
    "exec tar --format=pax --pax-option='hdrcharset:=BINARY,delete=atime,delete=ctime' \\\n"
    "  --sparse --numeric-owner -b 128 -cf - -C \"$1\" -- \"$2\"\n";

const char cp_guest_cat[] =
    "export LC_ALL=C; fail() { printf '%s\\n' \"$1\" >&2; exit 4; }\n"
    "[ ! -d \"$1\" ] || fail \"$1: a directory does not fit in a stream (name a destination, "
    "or run tar in the guest)\"\n"
    "[ -e \"$1\" ] || fail \"$1: no such file\"\n"
    "cat -- \"$1\" || exit 3\n";
