#!/usr/bin/env python3
"""Ways out of a mounted directory, tried from the guest while the host moves things around.

    escapes.py list                            the patterns
    escapes.py prepare BASE                    BASE/NAME/{root,canary,parking} for each
    escapes.py run BASE NAME SECONDS COMMAND…  stirs on the host while COMMAND, which runs the next
                                               line in the guest, attacks; then looks what came of it
    escapes.py guest MOUNT NAME SECONDS CANARY

BASE/NAME/root is mounted, NAME/canary must never be seen or touched: neither content nor entries nor
times. It has the same names in it as the directories of the root, so that what leads there by
mistake finds what it asks for. Exit status 1 and a line for each thing that got out.
"""
import ctypes
import hashlib
import mmap
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import time

CANARY = b"canary " * 20011  # no other file is as long
MARK = "only-here"  # a name that nothing else has
EXCHANGE, AT_FDCWD, AT_SYMLINK_FOLLOW = 2, -100, 0x400
MS_BIND, MNT_DETACH = 4096, 2
libc = ctypes.CDLL(None, use_errno=True)
found = set()  # what the guest has seen of the canary


def quietly(call, *arguments, **names):
    try:
        return call(*arguments, **names)
    except (OSError, ValueError):
        return None


# --- the host's side: what moves while the guest attacks. Each gets the directory BASE/NAME.


def exchange(one, other):
    libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE)


def make_link(path, target):
    if not os.path.islink(path):
        quietly(shutil.rmtree, path)
        quietly(os.unlink, path)
        quietly(os.symlink, target, path)


def swap(name, target):
    """Now the directory or file, now a link to `target`."""

    def stir(base):
        make_link(f"{base}/parking/link", f"{base}/{target}")
        for _ in range(64):
            exchange(f"{base}/root/{name}", f"{base}/parking/link")

    return stir


def move_away(name):
    """In the root, then outside, next to the canary, and back."""

    def stir(base):
        quietly(os.rename, f"{base}/root/{name}", f"{base}/parking/{os.path.basename(name)}")
        quietly(os.rename, f"{base}/parking/{os.path.basename(name)}", f"{base}/root/{name}")

    return stir


def rename_root(base):
    """The root itself gets another name, and a link to the canary its old one."""
    os.rename(f"{base}/root", f"{base}/parking/root")
    os.symlink("canary", f"{base}/root")
    os.unlink(f"{base}/root")
    os.rename(f"{base}/parking/root", f"{base}/root")


def appear(base):
    """A link to what is not there yet, in the canary: who creates by it, creates outside."""
    make_link(f"{base}/root/x/new", f"{base}/canary/planted")
    quietly(os.unlink, f"{base}/root/x/new")


def strange_files(base):
    """FIFO, device and file under one name."""
    for other in ("fifo", "device"):
        exchange(f"{base}/root/x/file", f"{base}/parking/{other}")
        exchange(f"{base}/root/x/file", f"{base}/parking/{other}")


def relink(base):
    """Links to links, one of which leads out now and then."""
    for target in ("x", "../canary", f"{base}/canary", "chain1", "/proc/self/cwd"):
        quietly(os.unlink, f"{base}/root/chain2")
        quietly(os.symlink, target, f"{base}/root/chain2")


# --- the guest's side


def see(path, data):
    if data is not None and b"canary" in data:
        found.add(f"{path} was read")


def read(path, flags=os.O_RDONLY):
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        see(path, os.read(fd, 8192))
        if flags & os.O_ACCMODE:
            os.write(fd, b"evil")
    finally:
        os.close(fd)


def create(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600)
    os.write(fd, b"inside")
    os.close(fd)


def look(path):
    if os.stat(path).st_size == len(CANARY):
        found.add(f"{path} was looked at")


def entries(path):
    if {MARK, ".hidden"} & set(os.listdir(path)):
        found.add(f"{path} was listed")


def link_followed(path, target):
    libc.linkat(AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(target), AT_SYMLINK_FOLLOW)


def touch_all(root, path, number):
    """Everything that can be done to a name and to its neighbours."""
    other, beside = f"{root}/stolen{number}", f"{path}.evil{number}"
    for call in (
        lambda: look(path),
        lambda: read(path),
        lambda: entries(os.path.dirname(path)),
        lambda: read(path, os.O_RDWR | os.O_APPEND),
        lambda: read(path, os.O_RDWR | os.O_TRUNC),
        lambda: os.truncate(path, 3),
        lambda: os.chmod(path, 0o666),
        lambda: os.chown(path, 1000, 1000),
        lambda: os.utime(path, (1, 1)),
        lambda: os.setxattr(path, "user.evil", b"x"),
        lambda: create(beside),
        lambda: os.unlink(beside),
        lambda: os.mkdir(beside),
        lambda: os.rmdir(beside),
        lambda: os.symlink("x", beside),
        lambda: os.rename(beside, other),
        lambda: link_followed(path, other),
        lambda: read(other),
        lambda: os.unlink(other),
        lambda: os.rename(path, other),
        lambda: read(other),
        lambda: os.rename(other, path),
        lambda: os.unlink(path),
        lambda: create(path),
    ):
        quietly(call)


def paths(*names):
    """touch_all() by each of these names."""

    def attack(root, number, canary):
        for name in names:
            touch_all(root, f"{root}/{name}", number)

    return attack


def guest_links(*targets):
    """The guest makes the links itself; {canary} is the canary's path on the host."""

    def attack(root, number, canary):
        link = f"{root}/link{number}"
        for target in targets:
            quietly(os.symlink, target.format(canary=canary), link)
            for name in ("", "/file", "/deep/file", "/secret"):
                touch_all(root, link + name, number)
            quietly(os.unlink, link)

    return attack


def guest_swap(root, number, canary):
    """The guest exchanges a directory and a link to the outside itself; the others go through."""
    if number:
        paths("x/file", "x/deep/file")(root, number, canary)
        return
    make_link(f"{root}/link", canary)
    for _ in range(64):
        exchange(f"{root}/x", f"{root}/link")


def from_open(root, number, canary):
    """From a directory that was opened before it was moved, upwards and down."""
    fd = os.open(f"{root}/x/deep", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for up in ("file", "../file", "../../canary/secret", "../../../canary/file", "../../secret"):
            touch_all(root, f"/proc/self/fd/{fd}/{up}", number)
            quietly(lambda: see(up, os.read(os.open(up, os.O_RDONLY | os.O_NONBLOCK, dir_fd=fd), 8192)))
    finally:
        os.closerange(fd, fd + 16)


def walk_up(root, number, canary):
    here = os.getcwd()
    os.chdir(f"{root}/x/deep")
    for name in ("../../../canary/secret", "../../../../canary/secret", "../" * 40 + canary[1:] + "/secret"):
        touch_all(root, name, number)
    os.chdir(here)


def mount_over(root, number, canary):
    """Mounts of the guest's own on a link and on directories, below which others work."""
    make_link(f"{root}/out{number}", canary)
    for where in ("x", f"out{number}", "x/deep"):
        path = os.fsencode(f"{root}/{where}")
        libc.mount(os.fsencode(root), path, None, MS_BIND, None)
        paths("x/file", f"out{number}/file", "x/deep/file")(root, number, canary)
        libc.umount2(path, MNT_DETACH)


def map_shared(root, number, canary):
    fd = os.open(f"{root}/x/file", os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
    try:
        os.ftruncate(fd, 4096)
        with mmap.mmap(fd, 4096) as memory:
            see("a mapping", memory[:])
            memory[:4] = b"evil"
            memory.flush()
        os.posix_fallocate(fd, 0, 8192)
    finally:
        os.close(fd)


def copy_ranges(root, number, canary):
    source = os.open(f"{root}/x/file", os.O_RDONLY | os.O_NONBLOCK)
    try:
        target = os.open(f"{root}/copied{number}", os.O_RDWR | os.O_CREAT)
        try:
            os.copy_file_range(source, target, 8192, 0, 0)
            see("a copy", os.pread(target, 8192, 0))
            os.copy_file_range(target, source, 8192, 0, 0)
        finally:
            os.close(target)
    finally:
        os.close(source)


def forged_handles(root, number, canary):
    """open_by_handle_at(2) with nodes that the guest was never told of."""
    top = os.open(root, os.O_RDONLY)
    try:
        for _ in range(64):
            node = random.randrange(64)
            for kind, body in ((0x81, struct.pack("=3I", 0, node, 0)), (0x82, struct.pack("=6I", 0, node, 0, 0, 1, 0))):
                handle = ctypes.create_string_buffer(struct.pack("=Ii", len(body), kind) + body)
                fd = libc.open_by_handle_at(top, handle, os.O_RDWR | os.O_NONBLOCK)
                if fd >= 0:
                    quietly(lambda: see("a forged handle", os.read(fd, 8192)))
                    quietly(lambda: entries(f"/proc/self/fd/{fd}"))
                    os.close(fd)
    finally:
        os.close(top)


def odd_names(root, number, canary):
    for name in ("...", "..;", "x/..%2fcanary", "..\\canary", "x/.. /canary", "\n..", "x/\u2025/canary", "." * 255,
                 "a" * 256, "../" * 1000 + "canary", "x//..//..//canary", "./../canary", "x/deep/../../../canary"):
        for tail in ("", "/secret", "/file"):
            touch_all(root, f"{root}/{name}{tail}", number)


def hidden(root, number, canary):
    """A name that a shadow rule hides (the driver gives the rule): renames, links and cycles."""
    for name in ("x/.hidden", "x/moved/.hidden", "moved/.hidden", "x/.hidden/file"):
        touch_all(root, f"{root}/{name}", number)
    for one, other in (("x", "moved"), ("moved", "x"), ("x/deep", "deep"), ("deep", "x/deep")):
        quietly(os.rename, f"{root}/{one}", f"{root}/{other}")
        exchange(f"{root}/{one}", f"{root}/{other}")
    quietly(os.rename, f"{root}/moved", f"{root}/x")


INSIDE = paths("x/file", "x/deep/file", "x/secret")
PATTERNS = {  # name: what the host does, what the guest does
    "link-swapped-by-host": (swap("x", "canary"), INSIDE),
    "link-swapped-by-guest": (None, guest_swap),
    "link-in-the-middle": (swap("x/deep", "canary"), paths("x/deep/file", "x/deep/deep/file")),
    "link-for-a-file": (swap("x/file", "canary/file"), paths("x/file")),
    "link-to-nothing": (appear, paths("x/new")),
    "link-chains": (relink, paths("chain1/file", "chain2/file", "chain2/secret")),
    "absolute-links": (move_away("x"), guest_links("{canary}", "{canary}/deep", "/{canary}")),
    "relative-links": (move_away("x"), guest_links("../canary", "x/../../canary", "../../../../../..{canary}")),
    "proc-links": (move_away("x"), guest_links("/proc/self/root{canary}", "/proc/self/cwd", "/proc/1/root{canary}",
                                               "/proc/self/fd/3", "/proc/thread-self/root/{canary}")),
    "dots": (move_away("x/deep"), walk_up),
    "hard-links": (swap("x/file", "canary/secret"), paths("x/file", "stolen0", "stolen1")),
    "mounts-over": (swap("x", "canary"), mount_over),
    "root-renamed": (rename_root, INSIDE),
    "directory-moved": (move_away("x"), INSIDE),
    "moved-while-open": (move_away("x/deep"), from_open),
    "mapped-memory": (swap("x/file", "canary/file"), map_shared),
    "copied-ranges": (swap("x/file", "canary/file"), copy_ranges),
    "forged-handles": (swap("x", "canary"), forged_handles),
    "strange-files": (strange_files, paths("x/file")),
    "odd-names": (swap("x", "canary"), odd_names),
    "hidden-names": (None, hidden),
}


def guest(root, name, seconds, canary):
    """Two processes, so that several requests are under way. Prints what was seen."""
    attack = PATTERNS[name][1]
    children = []
    os.makedirs("/tmp/here", exist_ok=True)
    os.chdir("/tmp/here")  # what links to the working directory lead to
    for number in range(2):
        child = os.fork()
        if child == 0:
            end, rounds = time.monotonic() + float(seconds), 0
            while rounds == 0 or time.monotonic() < end:
                quietly(attack, root, number, canary)
                rounds += 1
            lines = [f"{name}: {line}" for line in sorted(found)] + [f"rounds {rounds}"]
            os.write(1, "".join(f"{line}\n" for line in lines).encode())  # in one: the other writes, too
            os._exit(1 if found else 0)
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


# --- the host


def fill(directory, text):
    os.makedirs(f"{directory}/deep", exist_ok=True)
    for name in ("file", "deep/file", "deep/deep/file"):
        os.makedirs(os.path.dirname(f"{directory}/{name}"), exist_ok=True)
        with open(f"{directory}/{name}", "wb") as file:
            file.write(text)


def prepare(base):
    for name in PATTERNS:
        top = f"{base}/{name}"
        os.makedirs(f"{top}/parking")
        fill(f"{top}/root/x", b"inside")
        fill(f"{top}/canary", CANARY)
        for where in ("secret", MARK, f"deep/{MARK}", "deep/secret"):
            with open(f"{top}/canary/{where}", "wb") as file:
                file.write(CANARY)
        os.symlink("chain2", f"{top}/root/chain1")
        os.mkfifo(f"{top}/parking/fifo")
        quietly(os.mknod, f"{top}/parking/device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        if name == "hidden-names":
            shutil.copyfile(f"{top}/canary/secret", f"{top}/root/x/.hidden")


def listing(top):
    """All there is to be known of the canary, and what lies beside it."""
    lines = []
    for folder, names, files in os.walk(f"{top}/canary"):
        for path in [folder] + [f"{folder}/{name}" for name in files]:
            st = os.lstat(path)
            lines.append((path, st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_mtime_ns,
                          st.st_ctime_ns, tuple(os.listxattr(path, follow_symlinks=False))))
        whole = [f"{folder}/{name}" for name in files if not os.path.islink(f"{folder}/{name}")]
        lines += [(path, hashlib.sha256(open(path, "rb").read()).hexdigest()) for path in whole]
    beside = sorted(set(os.listdir(top)) | {"root"})
    return lines + [(name,) for name in beside]


def run(base, name, seconds, command):
    """SECONDS are the guest's; the host stirs for as long as it attacks."""
    top = f"{base}/{name}"
    before, stirred = listing(top), 0
    hidden_file = f"{top}/root/x/.hidden"
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stir = PATTERNS[name][0]
    if stir is None:
        client.wait()
    while client.poll() is None:
        stir(top)
        for path in ("x/deep/deep", "x/deep"):  # what the guest has removed
            quietly(os.makedirs, f"{top}/root/{path}")
        stirred += 1
    output, after = client.stdout.read(), listing(top)
    changed = [f"{name}: changed: {line}" for line in set(before) ^ set(after)] if before != after else []
    if name == "hidden-names" and not any(
        open(f"{folder}/.hidden", "rb").read() == CANARY
        for folder, _, files in os.walk(f"{top}/root") if ".hidden" in files):
        changed.append(f"{name}: {hidden_file} was changed")
    rounds = sum(int(line.split()[1]) for line in output.splitlines() if line.startswith("rounds "))
    print(f"{name}: {rounds} rounds in the guest, {stirred} on the host in {seconds} s")
    print("\n".join([line for line in output.splitlines() if not line.startswith("rounds ")] + changed), end="")
    return 1 if changed or client.returncode != 0 or rounds < 2 or (stir and not stirred) else 0


if __name__ == "__main__":
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "list":
        print("\n".join(PATTERNS))
    elif what == "prepare":
        prepare(*arguments)
    elif what == "guest":
        sys.exit(guest(*arguments))
    else:
        sys.exit(run(*arguments[:3], arguments[3:]))
