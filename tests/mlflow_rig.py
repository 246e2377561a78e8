"""The MLflow server of cluster/kubernetes as processes of this machine: PostgreSQL, an S3 of moto's, and MLflow itself.

The server's command line, variables and accounts' file are those of the manifest, with this machine's addresses.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import yaml

from t2s.cluster.nodes import free_port

MANIFEST = Path(__file__).resolve().parents[1] / "cluster" / "kubernetes" / "base" / "platform" / "mlflow.yaml"
PASSWORD, BUCKET = "a-password-of-tests-only", "t2s-artifacts"
BUCKET_KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}
ACCOUNT = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
"""All that a client has."""


def postgres_programs() -> Path | None:
    """Debian's newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


class Postgres:
    """A server of its own on loopback, which wants a password; as root it would refuse, and gets Debian's user."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="t2s-postgres-", dir="/tmp"))
        programs = postgres_programs()
        assert programs is not None
        self._programs = programs
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def start(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-D", data, "-w", "-t", 120, "-l", self.folder / "log", "-o", options, "start")
        self.run("createdb", "mlflow")

    def run(self, program: str, *arguments: object) -> None:
        """A client's program as a person would call it, with the password from the environment."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow")
        command = [str(self._programs / program), *where, *map(str, arguments)]
        done = subprocess.run(command, env=os.environ | {"PGPASSWORD": PASSWORD}, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        log = (self.folder / "setup.log").open("ab")  # pg_ctl's server keeps a pipe open for ever
        done = subprocess.run(command, stdout=log, stderr=log, cwd="/", **self._user)
        assert done.returncode == 0, (self.folder / "setup.log").read_text()


class Process:
    """A server that is up when its address answers, and ends with all that it started."""

    def __init__(self, command: list[str], log: Path, answers: str, **environment: str) -> None:
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                env=os.environ | environment,
                cwd=log.parent,
                start_new_session=True,
            )
        end = time.monotonic() + 300
        while not _is_up(answers):
            assert self._process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)


class Bucket:
    """An S3 of moto's."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program = str(Path(sys.executable).with_name("moto_server"))
        self._process = Process([program, "-H", "127.0.0.1", "-p", str(port)], folder / "s3.log", self.url)
        keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.url, **keys)
        self.client.create_bucket(Bucket=BUCKET)

    def objects(self, bucket: str = BUCKET) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def stop(self) -> None:
        self._process.stop()


def mlflow_server(
    folder: Path, postgres: Postgres, bucket: Bucket, database: str = "mlflow", store: str = BUCKET
) -> Any:
    """(its address, the process); as the Deployment starts it."""
    port = free_port()
    _, accounts, deployment = yaml.safe_load_all(MANIFEST.read_text())
    container = deployment["spec"]["template"]["spec"]["containers"][0]

    def here(text: str) -> str:
        for there, local in (
            ("postgres:5432/mlflow", f"127.0.0.1:{postgres.port}/{database}"),
            ("--host=0.0.0.0", "--host=127.0.0.1"),
            (":5000", f":{port}"),
            ("=5000", f"={port}"),
            ("$(ARTIFACTS_DESTINATION)", f"s3://{store}/mlflow"),
        ):
            text = text.replace(there, local)
        return text

    ini = folder / f"{database}.ini"
    ini.write_text(here(accounts["data"]["basic_auth.ini"]))
    values = BUCKET_KEYS | {
        "PGPASSWORD": PASSWORD, "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": PASSWORD,
        "MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_S3_ENDPOINT_URL": bucket.url, "HOME": str(folder),
        "ARTIFACTS_DESTINATION": "", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # fmt: skip
    assert {each["name"] for each in container["env"]} == values.keys(), "the manifest sets what this rig sets"
    url = f"http://localhost:{port}"
    command = [sys.executable, "-m", "mlflow", *map(here, container["args"])]
    return url, Process(command, folder / f"mlflow-{database}.log", f"{url}/health", **values)


def _is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
