"""Counting instructions with valgrind's callgrind: a load of a fixed size, and the counts of one request.

Python's standard library only, and `valgrind` on the path.
"""

import contextlib
import pathlib
import re
import socket
import subprocess

import stage

ALLOCATORS = re.compile(r"(?:_rjem_)?(malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|mi_\w*alloc\w*)$")


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
        with stage.started([*valgrind, *command], [0], stdout=said, stderr=said) as process:
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
