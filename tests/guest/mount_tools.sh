#!/bin/bash
# mount_tools.sh DIRECTORY FILES
#
# What people do in a working tree, done in DIRECTORY: git, npm, make, SQLite, rsync, tar. Prints
# what came of it in a form that is the same on every file system that behaves (modes, sizes, links
# and contents of all that was made, what the tools said), so that a mount is compared with a local
# disk by cmp(1). FILES: how many the tree has. Tools that the guest lacks are left out, in one
# line. Seconds of each go to the file $TIMES, if it is set.
set -u
directory=$1 files=$2
export HOME=${TOOLS_HOME:-/tmp/tools.home} LC_ALL=C TZ=UTC GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
source=/tmp/tools.source # on the guest's own disk, the same for all
umask 022
mkdir -p "$HOME" "$directory"
cd "$directory" || exit 1

# Everything below a directory: what it is, and what is in it.
tree() { # DIRECTORY [NAME-TO-LEAVE-OUT]
    (cd "$1" && python3 - "${2-}" <<'P'
import hashlib, os, stat, sys
for top, names, files in os.walk(b"."):
    names[:] = sorted(name for name in names if name != os.fsencode(sys.argv[1]))
    for name in sorted(files + names):
        path = os.path.join(top, name)
        st = os.lstat(path)
        what = b""
        if stat.S_ISLNK(st.st_mode):
            what = os.readlink(path)
        elif stat.S_ISREG(st.st_mode):
            what = b"%d %d %s" % (st.st_size, st.st_nlink, hashlib.sha256(open(path, "rb").read()).hexdigest().encode())
        print(f"{st.st_mode:o}", path, what)
P
    )
}

# git's index and its ever-changing files are not compared, what git says of them is.
in_git() { git -C clone "$@" 2>&1; }

make_source() {
    [ -d $source ] || FILES=$files python3 - $source <<'P'
import os, sys
top, count = sys.argv[1], int(os.environ["FILES"])
for i in range(count):
    folder = f"{top}/tree/d{i // 100}/e{i // 10 % 10}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/f{i}.c", "w") as file:
        file.write(f"int f{i}(void) {{ return {i}; }}\n" * (i % 40 + 1))
os.chmod(f"{top}/tree/d0/e0/f0.c", 0o755)
os.symlink("d0/e0/f1.c", f"{top}/tree/link")
os.symlink("nowhere", f"{top}/tree/dangling")
os.link(f"{top}/tree/d0/e0/f2.c", f"{top}/tree/hard")
os.mkdir(f"{top}/tree/name with space, \"quote\"\n")
open(f"{top}/tree/name with space, \"quote\"\n/\udcff".encode("utf-8", "surrogateescape"), "w").close()
with open(f"{top}/tree/holes", "wb") as file:
    file.seek(1 << 20)
    file.write(b"end")
P
    [ -d $source/repository ] && return
    git init -q -b main $source/repository && cp -a $source/tree/. $source/repository/
    git -C $source/repository config user.name a && git -C $source/repository config user.email a@b
    git -C $source/repository add -A && git -C $source/repository commit -qm first
}

do_git() {
    git config --global user.name a
    git config --global user.email a@b
    git config --global --replace-all safe.directory '*'
    git clone -q --no-local $source/repository clone 2>&1
}
do_status() { in_git status --porcelain && echo "clean: $?"; }
do_git_changes() {
    for i in 1 2 3; do echo more >>"clone/d0/e0/f$i.c"; done
    rm clone/d0/e1/f11.c && mv clone/d0/e1/f12.c clone/d0/renamed.c && chmod +x clone/d0/e1/f13.c
    in_git status --porcelain
    in_git add -A && in_git commit -qm second && in_git log --format=%H
    in_git stash list && in_git checkout -q HEAD~1 && in_git status --porcelain && in_git checkout -q main
    in_git branch topic && in_git rebase -q topic && in_git gc -q && in_git fsck --no-progress
    in_git status --porcelain
    tree clone .git
}

do_npm() {
    mkdir -p package/lib project
    echo '{"name":"small","version":"1.0.0","main":"lib/index.js","bin":{"small":"lib/index.js"}}' >package/package.json
    printf '#!/usr/bin/env node\nmodule.exports = 42;\nconsole.log("small");\n' >package/lib/index.js
    for i in {1..40}; do echo "module.exports = $i;" >"package/lib/$i.js"; done
    chmod +x package/lib/index.js
    tar -czf small.tgz --mtime=@0 --owner=0 --group=0 --sort=name package
    (cd project && echo '{"name":"project","version":"1.0.0","private":true}' >package.json &&
        npm install --offline --no-audit --no-fund --cache "$directory/npm-cache" ../small.tgz >../npm.log 2>&1
        echo "npm: $?"
        node_modules/.bin/small
        node -e 'console.log(require("small"))')
    tree project
}

do_make() {
    mkdir -p program
    for i in {1..40}; do echo "int f$i(void); int f$i(void) { return $i; }" >"program/f$i.c"; done
    {
        printf '#include <stdio.h>\n'
        for i in {1..40}; do echo "int f$i(void);"; done
        printf 'int main(void) { int sum = 0;\n'
        for i in {1..40}; do echo "sum += f$i();"; done
        printf 'printf("%%d\\n", sum); return 0; }\n'
    } >program/main.c
    # shellcheck disable=SC2016
    printf 'objects = $(patsubst %%.c,%%.o,$(wildcard *.c))\nall: program\nprogram: $(objects)\n\t@$(CC) -o $@ $^\n%%.o: %%.c\n\t@$(CC) -c -o $@ $<\n' >program/Makefile
    make -C program -s -j4 2>&1
    program/program
    make -C program -q && echo 'up to date'
    touch -d '+1 hour' program/f7.c
    make -C program -n 2>/dev/null | grep -c 'f7.o f7.c'
    tree program
}

# Two writers and a reader at once, in WAL mode: shared memory and locks through the file system.
do_sqlite() {
    python3 - "$files" <<'P'
import multiprocessing, sqlite3, sys
rows = min(100, int(sys.argv[1]))
def connect():
    db = sqlite3.connect("data.db", timeout=120, isolation_level=None)
    return db
def write(who):
    db = connect()
    for i in range(rows):
        db.execute("begin immediate")
        db.execute("insert into t values (?, ?, ?)", (who, i, "x" * 500))
        db.execute("commit")
def read(result):
    db = connect()
    last = 0
    while last < 2 * rows:
        db.execute("begin")
        count = db.execute("select count(*) from t").fetchone()[0]
        again = db.execute("select count(*) from t").fetchone()[0]
        db.execute("commit")
        if count != again or count < last:
            result.value += 1
        last = count
db = connect()
print(db.execute("pragma journal_mode=wal").fetchone())
db.execute("create table t (who, i, text)")
bad = multiprocessing.Value("i", 0)
jobs = [multiprocessing.Process(target=write, args=(who,)) for who in range(2)]
jobs.append(multiprocessing.Process(target=read, args=(bad,)))
[job.start() for job in jobs]
[job.join() for job in jobs]
print("inconsistent reads:", bad.value, [job.exitcode for job in jobs])
print(db.execute("pragma integrity_check").fetchone(), db.execute("select count(*), sum(i) from t").fetchone())
print(db.execute("pragma wal_checkpoint(truncate)").fetchone()[0])
db.close()
print(sqlite3.connect("data.db").execute("select who, count(*) from t group by who").fetchall())
P
    find . -maxdepth 1 -name 'data.db*'
}

do_rsync() {
    rsync -aHS --delete $source/tree/ copy/ 2>&1
    rsync -aHSnci --delete $source/tree/ copy/ 2>&1
    rm -r copy/d0/e1 && echo other >copy/d0/e0/f1.c && touch copy/extra
    rsync -aHS --inplace --delete $source/tree/ copy/ 2>&1
    rsync -aHSnci --delete $source/tree/ copy/ 2>&1
    tree copy
}

do_tar() {
    mkdir -p unpacked
    tar -C $source -cSf archive.tar --sort=name tree && tar -C unpacked -xpSf archive.tar
    tar -C unpacked --compare -f archive.tar && echo 'as in the archive'
    tar -C unpacked -cf - tree | (mkdir -p again && tar -C again -xpf -)
    diff -r --no-dereference unpacked/tree again/tree && echo equal
    tree unpacked
    rm -r again unpacked archive.tar && [ ! -e again ] && echo removed
}

step() { # NAME NEEDS…
    local name=$1 need start=$EPOCHREALTIME
    shift
    for need; do
        command -v "$need" >/dev/null || { echo "--- $name: no $need here" && return; }
    done
    echo "--- $name"
    "do_$name" || echo "status $?"
    [ -z "${TIMES-}" ] || printf '%-10s %s\n' "$name" "$(((${EPOCHREALTIME/./} - ${start/./}) / 1000)) ms" >>"$TIMES"
}

make_source
step git git
step status git
step git_changes git
step npm npm
step make make cc
step sqlite python3
step rsync rsync
step tar tar
cd / && find "$directory" -mindepth 1 -delete && ls -A "$directory"
