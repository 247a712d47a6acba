"""Counting instructions with valgrind's callgrind: a load of a fixed size, and the counts of one request.

Python's standard library only, and `valgrind` on the path; Linux on x86-64 or AArch64.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import socket
import struct
import subprocess

import stage

ALLOCATORS = re.compile(r"(?:_rjem_)?(malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|mi_\w*alloc\w*)$")
PRCTL = {"x86_64": 157, "aarch64": 167}  # the number of the system call
PR_GET_AUXV = 0x41555856
EINVAL = 22


def without_vdso():
    """Makes prctl(PR_GET_AUXV) fail for this process and what it runs.

    valgrind unmaps the vDSO and hides it in /proc/self/auxv, but (seen with 3.19) not in the answer to this call, and
    whoever reads its address there, as rustix does, crashes. A seccomp filter (seccomp(2)) leads them to the file. Clocks
    are then read by system calls, which count as no instructions of the user's.
    """

    def instruction(code, jump_true, jump_false, value):
        return struct.pack("HBBI", code, jump_true, jump_false, value)

    load, equal, answer = 0x20, 0x15, 0x06
    program = b"".join([
        instruction(load, 0, 0, 0),  # seccomp_data.nr
        instruction(equal, 0, 3, PRCTL[os.uname().machine]),
        instruction(load, 0, 0, 16),  # seccomp_data.args[0], its lower half
        instruction(equal, 0, 1, PR_GET_AUXV),
        instruction(answer, 0, 0, 0x00050000 | EINVAL),  # SECCOMP_RET_ERRNO
        instruction(answer, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ])
    kept = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(kept)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, described, 0, 0):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "no seccomp filter can be set")


class Load:
    """Keep-alive connections, each with one request under way at a time; a fixed number of requests altogether."""

    def __init__(self, port, path, connections):
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self.sockets = [socket.create_connection(("127.0.0.1", port), stage.PATIENCE) for _ in range(connections)]

    def close(self):
        for connection in self.sockets:
            connection.close()

    def send(self, rounds):
        for _ in range(rounds):
            for connection in self.sockets:
                connection.sendall(self.request)
            for connection in self.sockets:
                self.answer(connection)

    def answer(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                stage.fail("a connection was closed")
            head += piece
        head, body = head.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200"):
            stage.fail(f"an answer was not 200:\n{head.decode(errors='replace')}")
        left = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - len(body)
        while left > 0:
            left -= len(connection.recv(min(left, 65536)))


def control(process, *arguments):
    done = subprocess.run(["callgrind_control", *arguments, str(process.pid)], capture_output=True, text=True)
    if done.returncode != 0 or "error" in done.stdout.lower():
        stage.fail(f"callgrind_control {' '.join(arguments)}: {done.stdout}{done.stderr}")


def counted(path):
    """Instructions and allocations of a dump."""
    instructions, allocations, names, callee = 0, 0, {}, ""
    with open(path) as dump:
        for line in dump:
            if line.startswith("totals:"):
                instructions = int(line.split()[1])
            elif line.startswith(("fn=", "cfn=")):
                number, _, name = line.split("=", 1)[1].strip().partition(" ")
                names.setdefault(number, name)
                callee = names[number]
            elif line.startswith("calls=") and ALLOCATORS.match(callee):
                allocations += int(line[6:].split()[0])
    return instructions, allocations


@contextlib.contextmanager
def callgrind(command, port, path, folder, name):
    """Runs a proxy under callgrind on the first processor; yields what counts its instructions.

    That is called with requests and connections, and gives the dump and the number of requests that it is of. Everything
    is warm when counting begins; only user space is counted.
    """
    out, log = folder / f"callgrind-{name}", folder / f"valgrind-{name}.log"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    dumps = 0
    with open(log, "wb") as said:
        with stage.started([*valgrind, *command], [0], stdout=said, stderr=said, before=without_vdso) as process:
            stage.wait_until_served(process, port, path, log)

            def count(requests, connections):
                nonlocal dumps
                rounds = max(1, requests // connections)
                load = Load(port, path, connections)
                load.send(2)
                control(process, "--instr=on")
                load.send(3)
                control(process, "--zero")
                load.send(rounds)
                control(process, "--dump")
                control(process, "--instr=off")
                load.close()
                dumps += 1
                return pathlib.Path(f"{out}.{dumps}"), rounds * connections

            yield count
