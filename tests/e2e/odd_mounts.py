#!/usr/bin/env python3
"""40 mounts with odd names at once, half of them within the others: the longest path serves, and
nothing is renamed or linked from one to the other. For mounts.sh; prints what is wrong."""
import os
import subprocess
import sys

NAMES = [b"a b", b"q'uote", b'd"quote', b"new\nline", b"\xff\xfe", b"c,omma,", b"back\\slash", b"\\040x", b"*", b"$HOME",
         b"-dash", b" lead", b"trail ", b"\t\x01\x7f", b"fd=3", b"semi;", b"%s%n", b"=tmpfs", b"x" * 255,
         "\u00fc\u202e\U0001f600".encode()]
GUEST = b"""
import errno, os
for name in os.listdir(b"/odd"):
    outer = b"/odd/" + name
    inner, = [outer + b"/" + entry for entry in os.listdir(outer) if entry.startswith(b"in ")]
    numbers = [int(open(place + b"/number").read()) for place in (outer, inner)]
    if numbers[1] != numbers[0] + 20:
        print(outer, numbers)
    open(inner + b"/new", "w").write(str(numbers[1]))
    for call in (os.rename, os.link):
        try:
            call(outer + b"/number", inner + b"/other")
            print(outer, "no EXDEV")
        except OSError as error:
            if error.errno != errno.EXDEV:
                print(outer, error)
"""

command, hosts = [os.environb[b"VMDECK"], b"exec"], []
for number in range(40):
    name = NAMES[number % 20]
    hosts.append(b"odd/%d" % number + name[:200])
    os.makedirs(hosts[-1])
    with open(hosts[-1] + b"/number", "w") as file:
        file.write(str(number))
    guest = b"/odd/" + name + (b"/in %d\n," % number if number >= 20 else b"")
    command += [b"--mount-hostfs", hosts[-1] + b":" + guest]
done = subprocess.run(command + [b"--", b"python3", b"-c", GUEST], stdin=subprocess.DEVNULL, capture_output=True)
if done.returncode or done.stdout or done.stderr:
    sys.exit(f"{done}")
for number, host in enumerate(hosts):
    there = sorted(set(os.listdir(host)) - {b"number"})
    if number < 20 and len(there) != 1 or number >= 20 and (
            there != [b"new"] or open(host + b"/new").read() != str(number)):
        sys.exit(f"{host}: {there}")
