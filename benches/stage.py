"""What the measuring scripts share: processes that end with their block, certificates, an API over TLS, a config.

The API is an nginx that answers over TLS 1.3 with keep-alive; its certificate is of an authority made for the run.
Python's standard library only, and `openssl` and `nginx` on the path.
"""

import contextlib
import http.client
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 60  # seconds, for anything that is waited for
PAUSE = 0.002  # seconds, between two attempts
LARGE = 16 * 1024 * 1024  # bytes, of the API's large answer

# What the API answers to everything else; the size of a small record.
ANSWER = json.dumps({"id": 1001, "status": "OPEN", "lines": [{"sku": "A-1", "quantity": 2}], "total": "129.90"})
# Its token endpoint: the token that every proxy injects.
TOKEN = "b3JkZXJzLmFwaS5leGFtcGxl.c2lnbmVkLWluLWZvci1zb2Z0d2FyZS10aGF0LWNhbid0"


def fail(what):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {what}")


def need(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        fail(f"not on the path: {', '.join(missing)}")


priority = None  # of what is started from now on; None leaves it as it is


def of_its_own():
    """Options for a child in a session of its own, with the priority above."""

    def prepare():
        if priority is not None:
            os.setpriority(os.PRIO_PROCESS, 0, priority)
            # Where each session has a share of its own (autogroup, sched(7)), that alone would count for nothing.
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/autogroup").write_text(str(priority))

    return {"start_new_session": True, "preexec_fn": prepare}


@contextlib.contextmanager
def started(command, cpus=None, **options):
    """A child process in a group of its own, on these processors; it and its children end with the block."""
    if cpus is not None:
        command = ["taskset", "-c", ",".join(map(str, cpus)), *command]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    process = subprocess.Popen(command, **of_its_own(), **options)
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            # The group is gone when its last member is; its number is this child's and nobody else's until it is reaped.
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break


def free_port():
    """A port below those that the system gives to whoever asks for any, so that it stays free between two starts."""
    while True:
        port = random.randrange(15000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def ask(port, path="/"):
    """The status of one call; None where nobody answers yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_until_served(process, port, path, log=None):
    """Returns once that path is answered with 200."""
    ends = time.monotonic() + PATIENCE
    status = None
    while time.monotonic() < ends and process.poll() is None:
        status = ask(port, path)
        if status == 200:
            return
        time.sleep(0.02)
    said = pathlib.Path(log).read_text(errors="replace")[-2000:] if log else ""
    ended = "" if process.poll() is None else f", which ended with {process.returncode}"
    fail(f"no proper answer from {' '.join(map(str, process.args[:6]))}{ended} (last status: {status})\n{said}")


def certificates(folder):
    """Makes an authority, `ca.pem`, and the API's `api.pem` and `api.key`, of the name localhost."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=benches")
    openssl("req", *curve, "-keyout", "api.key", "-out", "api.csr", "-subj", "/CN=localhost")
    (folder / "api.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    signs = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "api.ext", "-days", "2"]
    openssl("x509", "-req", "-in", "api.csr", *signs, "-out", "api.pem")


@contextlib.contextmanager
def api(folder, cpus=None):
    """The API; yields its process and port. `/large` is a large body, `/token` a token, everything else a small record.

    It answers 401 to whoever doesn't send the token.
    """
    port = free_port()
    certificates(folder)
    (folder / "www").mkdir()
    with open(folder / "www" / "large", "wb") as large:
        large.write(os.urandom(1024 * 1024) * (LARGE // 1024 // 1024))
    folder.chmod(0o755)
    token = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 86400})
    (folder / "api.conf").write_text(f"""
        daemon off; master_process off; pid {folder}/api.pid; error_log {folder}/api.log;
        worker_rlimit_nofile 16384;
        events {{ worker_connections 8192; }}
        http {{
            access_log off; default_type application/json; sendfile off; output_buffers 2 128k; tcp_nodelay on;
            client_body_temp_path {folder}/api-1; proxy_temp_path {folder}/api-2; fastcgi_temp_path {folder}/api-3;
            uwsgi_temp_path {folder}/api-4; scgi_temp_path {folder}/api-5;
            keepalive_requests 1000000000; keepalive_timeout 1h;
            server {{
                listen 127.0.0.1:{port} ssl backlog=4096; server_name localhost;
                ssl_certificate {folder}/api.pem; ssl_certificate_key {folder}/api.key; ssl_protocols TLSv1.3;
                location = /token {{ return 200 '{token}'; }}
                location / {{
                    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
                    return 200 '{ANSWER}';
                }}
                location = /large {{
                    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
                    root {folder}/www;
                }}
            }}
        }}
    """)
    with started(["nginx", "-p", str(folder), "-c", str(folder / "api.conf")], cpus) as process:
        ends = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(PAUSE)
        else:
            fail(f"the API did not start: {(folder / 'api.log').read_text()}")
        yield process, port


def config(folder, port, upstream, routes=1):
    """A config of bearerd with the shipped defaults, and an access log in a file; its path.

    The route that is measured is `/api`; the others are named beside it, and lead to the same upstream.
    """
    others = "".join(f"  r{nth}: {{ prefix: /r{nth}, upstream: api }}\n" for nth in range(1, routes))
    path = folder / f"bearerd-{routes}.yaml"
    path.write_text(
        f'listeners: {{ main: {{ bind: "127.0.0.1:{port}" }} }}\n'
        f"log: {{ file: {folder}/bearerd.log }}\n"
        f"state: {{ store: sqlite, path: {folder}/state/state.db }}\n"
        f"tls: {{ ca: {folder}/ca.pem }}\n"
        "credentials:\n"
        "  api:\n"
        f'    grant: {{ type: client_credentials, token_url: "https://localhost:{upstream}/token",'
        " client_id: benches, client_secret: benches }\n"
        f'upstreams:\n  api: {{ url: "https://localhost:{upstream}", credential: api }}\n'
        f"routes:\n  api: {{ prefix: /api, upstream: api }}\n{others}"
    )
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    return path


def built(profile, *arguments, build=True):
    """The folder of what this profile builds, built now unless told not to."""
    if build:
        subprocess.run(["cargo", "build", "--profile", profile, *arguments], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / profile


def machine():
    """A line about the machine."""
    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} × {cpu}, {memory / 1024 / 1024:.0f} GiB, Linux {platform.release()}"


def rig(build=True):
    """The folder of the rig's programs."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "rig"
    if build:
        manifest = ROOT / "benches" / "rig" / "Cargo.toml"
        command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(manifest), "--target-dir", str(target)]
        subprocess.run(command, check=True)
    return target / "release"
