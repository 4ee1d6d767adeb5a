#!/usr/bin/env bash
# What no tool knows: the length of files, no way around the folders' include paths, no notes of
# unfinished work.
. "$(dirname -- "$0")/common.sh"
mapfile -t sources < <(files '*.[chS]' '*.cmake' CMakeLists.txt '*.sh' run check)
[ ${#sources[@]} -gt 20 ] || wrong "the list of sources is too short" <<<"$source"

wrong "over 900 lines" < <(wc -l "${sources[@]}" | awk '$1 > 900 && $2 != "total" { print $2 }')
wrong "reaches out of its folder" < <(grep -nE '^ *# *include *"\.\./' "${sources[@]}")
# The agent is compiled with the whole tree in its include path (cmake/agent.cmake).
wrong "not for the agent" < <(grep -nE '^ *# *include *"' agent/*.[ch] | grep -vE '"((agent|base)/|vm/vfs/relay\.h)')
marks='TO''DO|FIX''ME|XX''X' # split, so that this file passes
wrong "unfinished" < <(grep -nwE "$marks" "${sources[@]}")
exit "$status"
