#!/usr/bin/env python3
"""What a fork makes QEMU translate, by hand:   tests/bench/blocks.py [OPTION…] -- COMMAND

Two thirds of a fork's time is the translator seeing the guest's code for the first time. This
counts the blocks it translates until the command has ended, and says whose they are: a figure that
does not depend on how busy the machine is. Needs VMDECK, and VMDECK_IMAGE where there is no image.

QEMU is run through a script that adds `-d in_asm`, found first in PATH; the names are those of the
guest's /proc/kallsyms (a fork's kernel lies where its template's does).
"""
import bisect
import collections
import os
import shutil
import subprocess
import sys
import tempfile

KERNEL = 0xFFFF800000000000  # addresses above are the kernel's
ROWS = 40

def read_blocks(path):
    """The address of each translated block, in order."""
    blocks, fresh = [], False
    with open(path) as log:
        for line in log:
            if line.startswith("IN:"):
                fresh = True
            elif fresh and line.startswith("0x"):
                blocks.append(int(line.split(":")[0], 16))
                fresh = False
    return blocks

def main():
    vmdeck = os.environ["VMDECK"]
    qemu = shutil.which("qemu-system-x86_64")
    with tempfile.TemporaryDirectory() as work:
        wrapper = os.path.join(work, "qemu-system-x86_64")
        with open(wrapper, "w") as script:
            script.write(f'#!/bin/sh\ncase " $* " in *" -incoming "*) set -- "$@" -d in_asm '
                         f'-D {work}/log.$$ ;; esac\nexec {qemu} "$@"\n')
        os.chmod(wrapper, 0o755)
        env = dict(os.environ, PATH=work + ":" + os.environ["PATH"], VMDECK_SPARES="0")
        run = lambda *args: subprocess.run([vmdeck, "exec", *args], env=env, check=True,
                                           stdout=subprocess.PIPE, text=True).stdout
        symbols = sorted((int(line.split()[0], 16), line.split()[2])
                         for line in run("--", "cat", "/proc/kallsyms").splitlines())
        for name in os.listdir(work):
            if name.startswith("log."):
                os.unlink(os.path.join(work, name))
        run(*(sys.argv[1:] or ["--", "true"]))
        logs = [name for name in os.listdir(work) if name.startswith("log.")]
        if len(logs) != 1:
            sys.exit("blocks: the command did not run on a fork")
        blocks = read_blocks(os.path.join(work, logs[0]))
    starts = [address for address, _ in symbols]
    names = collections.Counter(
        symbols[bisect.bisect(starts, address) - 1][1] if address >= KERNEL else "(programs)"
        for address in blocks)
    print(f"{len(blocks)} blocks, {len(blocks) - names['(programs)']} of them the kernel's")
    for name, count in names.most_common(ROWS):
        print(f"{count:7} {name}")

main()
