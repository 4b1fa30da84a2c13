"""A local twin in a separate process, and what a test does to it. TIDINGS names the program, else it is built."""

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import boto3
import requests

from documents import REPOSITORY

# Seconds after which a test gives up waiting; a program that is built first may take longer.
DEADLINE = 30
BUILD_DEADLINE = 1800


def program() -> list[str]:
    words = shlex.split(os.environ.get("TIDINGS", ""))
    if not words:
        return ["cargo", "run", "--quiet", "--locked", "--manifest-path", str(REPOSITORY / "Cargo.toml"), "--"]
    # It runs in another folder.
    return [os.path.abspath(words[0]) if os.path.exists(words[0]) else words[0], *words[1:]]


class Twin:
    """A twin on free ports, in a separate folder, so that it does not meet another one that is running."""

    def __init__(self, *options: str, template: str | None = None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tidings-contract-"))
        path = REPOSITORY / "template.yaml"
        if template is not None:
            path = self.folder / "template.yaml"
            path.write_text(template, encoding="utf-8")
        ports = [word for name in ("http", "socket", "aws") for word in (f"--{name}-port", "0")]
        command = [*program(), "up", "--template", str(path), "--log", "warn", *ports, *options]
        self.log = open(self.folder / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        try:
            printed = self.read_until_ready()
            self.api_url, self.socket_url, self.aws_url = printed["HTTP API"], printed["WebSocket"], printed["AWS"]
            self.key = printed["its key"]
            self.outputs = self.control("GET", "/_twin/outputs")
        except BaseException:
            self.stop()
            raise

    def read_until_ready(self) -> dict[str, str]:
        # A program that hangs is killed, which ends its output.
        watchdog = threading.Timer(BUILD_DEADLINE, self.process.kill)
        watchdog.start()
        printed = {}
        try:
            for line in self.process.stdout:
                for name in ("HTTP API", "WebSocket", "AWS", "its key"):
                    if line.startswith(f"  {name} "):
                        printed[name] = line.removeprefix(f"  {name}").strip()
                if line.startswith("Ctrl-C stops it"):
                    return printed
        finally:
            watchdog.cancel()
        self.log.seek(0)
        raise RuntimeError(f"the twin did not start: {self.log.read()}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder)

    def control(self, method: str, path: str, body=None):
        answer = requests.request(method, f"{self.aws_url}{path}", json=body, timeout=DEADLINE)
        answer.raise_for_status()
        return answer.json()

    @contextlib.contextmanager
    def fault(self, **rule):
        """Lets a fault strike the calls that match, as often as they come, until this is left. It must strike."""
        added = self.control("POST", "/_twin/faults/rules", {"times": 1000, **rule})["id"]
        try:
            yield
            hits = next(it["hits"] for it in self.control("GET", "/_twin/faults")["rules"] if it["id"] == added)
            assert hits, f"nothing met the fault {rule}"
        finally:
            self.control("DELETE", f"/_twin/faults/rules/{added}")

    def outbox(self) -> list[dict]:
        """The messages that providers were asked to send."""
        return self.control("GET", "/_twin/outbox")

    def dynamodb(self):
        return boto3.client(
            "dynamodb",
            endpoint_url=self.aws_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def table(self, name: str) -> str:
        names = [table for table in self.dynamodb().list_tables()["TableNames"] if table.endswith(name)]
        assert len(names) == 1, f"{name}: {names}"
        return names[0]


def eventually(what: str, is_so):
    """Repeats a check, with growing pauses, until it returns something; returns that."""
    began, pause = time.monotonic(), 0.01
    while not (found := is_so()):
        assert time.monotonic() - began < DEADLINE, f"not in {DEADLINE} s: {what}"
        time.sleep(pause)
        pause = min(pause * 2, 0.5)
    return found
