"""Copies directories elsewhere: an experiment to a cloud, a trial's directory between nodes."""

from __future__ import annotations

import getpass
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import IO, Any

from rltune.trainable import node_ip
from rltune.tune.error import TuneError

SYNC_PERIOD_S = 300.0
# How long a transfer is waited for, from its start, where a trial ends and where a run ends. One
# that takes longer, or hangs, goes on by itself.
TRIAL_PATIENCE_S, RUN_PATIENCE_S = 60.0, 1800.0
CLOUD_COMMANDS = {
    "s3://": "aws s3 sync {source} {target}",
    "gs://": "gsutil rsync -r {source} {target}",
}
RSYNC = (
    "rsync -savz -e 'ssh -i {key} -o ConnectTimeout=120s -o StrictHostKeyChecking=accept-new'"
    " {source} {target}"
)
KEY_VARIABLE = "TUNE_CLUSTER_SSH_KEY"
DEFAULT_KEY = "~/ray_bootstrap_key.pem"

SyncFunction = str | Callable[[str, str], Any]

log = logging.getLogger(__name__)


def get_cloud_syncer(
    local_dir: str,
    remote_dir: str | None = None,
    sync_function: SyncFunction | None = None,
    sync_to_cloud: SyncFunction | None = None,
) -> CloudSyncer:
    """How an experiment reaches its upload directory.

    Args:
        local_dir: the experiment's directory.
        remote_dir: where it is copied to, a URI or a path; None means nowhere.
        sync_function: template with `{local_dir}` and `{remote_dir}`, or a function of the two;
            for uploads only.
        sync_to_cloud: template with `{source}` and `{target}`, or a function of the two; for both
            directions.

    Raises:
        AssertionError: a command but no `remote_dir`.
        ValueError: both commands, or a template without one of its fields.
        TuneError: no command, and none is known for this URI or its tool is not installed.
    """
    if remote_dir is None:
        assert sync_to_cloud is None and sync_function is None, "Syncing needs an upload_dir."
        return CloudSyncer(local_dir, None, None)
    if sync_function is not None and sync_to_cloud is not None:
        raise ValueError("Give sync_to_cloud or sync_function, not both.")
    if sync_function is not None:
        upload = _Transfer(sync_function, local_dir, ("{local_dir}", "{remote_dir}"))
        return CloudSyncer(local_dir, remote_dir, upload, both_ways=False)
    command = _default_cloud_command(remote_dir) if sync_to_cloud is None else sync_to_cloud
    return CloudSyncer(local_dir, remote_dir, _Transfer(command, local_dir))


def get_log_syncer(local_dir: str, sync_function: SyncFunction | bool | None = None) -> LogSyncer:
    """How a trial's directory comes from the node it runs on: by default rsync, False for not.

    Raises ValueError for a template without `{source}` or `{target}`.
    """
    if sync_function is None or sync_function is True:
        return LogSyncer(local_dir, _default_node_transfer)
    transfer = None if sync_function is False else _Transfer(sync_function, local_dir)
    return LogSyncer(local_dir, lambda _: transfer)


class CloudSyncer:
    """Uploads and downloads one directory, one transfer at a time, beside the run."""

    def __init__(
        self,
        local_dir: str,
        remote_dir: str | None,
        transfer: _Transfer | None,
        both_ways: bool = True,
    ):
        self._local_dir, self._remote_dir = local_dir, remote_dir
        self._transfer, self._both_ways = transfer, both_ways
        self._last_sync = -SYNC_PERIOD_S

    def sync_up_if_needed(self) -> bool:
        """Starts an upload if the last began 300 s ago; tells whether it did."""
        if self._transfer is None or time.monotonic() - self._last_sync < SYNC_PERIOD_S:
            return False
        return self._start_upload(self._transfer)

    def sync_up(self) -> bool:
        """Starts an upload now, after the one that may be under way; tells whether it did."""
        if self._transfer is None:
            return False
        self.wait()
        return self._start_upload(self._transfer)

    def sync_down(self) -> bool:
        """Downloads; returns when it is done, with whether it succeeded.

        Raises ValueError where there is nowhere to download from or no command for it.
        """
        if self._transfer is None or self._remote_dir is None:
            raise ValueError("There is no upload_dir to download from.")
        if not self._both_ways:
            raise ValueError("sync_function only uploads: give sync_to_cloud to download too.")
        self._transfer.wait()
        return self._transfer.start(self._remote_dir, self._local_dir) and self._transfer.wait()

    def wait(self) -> bool:
        """Waits for the transfer under way, at most half an hour after its start; tells whether it
        succeeded (True if there was none).
        """
        return self._transfer is None or self._transfer.wait(RUN_PATIENCE_S)

    def close(self) -> None:
        """The last call: waits for the transfer under way."""
        self.wait()

    def _start_upload(self, transfer: _Transfer) -> bool:
        assert self._remote_dir is not None
        self._last_sync = time.monotonic()
        return transfer.start(self._local_dir, self._remote_dir)


class LogSyncer:
    """Pulls a trial's directory from the node it runs on, unless that is the driver's own."""

    def __init__(self, local_dir: str, find_transfer: Callable[[str], _Transfer | None]):
        self._local_dir = local_dir
        self._find_transfer = find_transfer
        self._transfer: _Transfer | None = None
        self._worker_ip: str | None = None
        self._last_sync = -SYNC_PERIOD_S

    def set_worker_ip(self, worker_ip: str | None) -> None:
        """The node the trial runs on now."""
        self._worker_ip = worker_ip

    def sync_down_if_needed(self) -> bool:
        """Starts a pull if the last began 300 s ago; tells whether it did."""
        return time.monotonic() - self._last_sync >= SYNC_PERIOD_S and self.sync_down()

    def sync_down(self) -> bool:
        """Starts a pull now; tells whether it did."""
        if not self._is_remote(self._worker_ip):
            return False
        self._last_sync = time.monotonic()
        return self._start(_remote_path(self._worker_ip, self._local_dir), self._local_dir)

    def sync_to_new_location(self, worker_ip: str) -> bool:
        """Pushes the directory to another node and waits for it; tells whether it is there."""
        self._worker_ip = worker_ip
        if not self._is_remote(worker_ip):
            return True
        self.wait()
        target = _remote_path(worker_ip, self._local_dir)
        return self._start(os.path.join(self._local_dir, ""), target) and self.wait()

    def wait(self) -> bool:
        """Waits for the transfer under way, at most a minute after its start; tells whether it
        succeeded.
        """
        return self._transfer is None or self._transfer.wait(TRIAL_PATIENCE_S)

    @staticmethod
    def _is_remote(worker_ip: str | None) -> bool:
        return worker_ip is not None and worker_ip != node_ip()

    def _start(self, source: str, target: str) -> bool:
        self._transfer = self._transfer or self._find_transfer(self._local_dir)
        return self._transfer is not None and self._transfer.start(source, target)


class _Transfer:
    """A command or function (source, target), run in the background, once at a time."""

    def __init__(
        self,
        command: SyncFunction | Any,
        log_dir: str,
        fields: tuple[str, str] = ("{source}", "{target}"),
    ):
        if isinstance(command, str):
            for field in fields:
                if field not in command:
                    raise ValueError(f"The sync command {command!r} lacks {field}.")
        elif not callable(command):
            raise ValueError(f"A sync command is a text or a function, not {command!r}.")
        self._command, self._log_dir, self._fields = command, log_dir, fields
        self._log: str | None = None
        self._thread: threading.Thread | None = None
        self._succeeded = True
        self._begin = 0.0

    def start(self, source: str, target: str) -> bool:
        """Begins the transfer; False, with a warning, while another is under way."""
        if self._thread is not None and self._thread.is_alive():
            log.warning("A sync is skipped: the one before it still runs (%s).", self._command)
            return False
        self._begin = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(source, target), daemon=True)
        self._thread.start()
        return True

    def wait(self, patience: float | None = None) -> bool:
        """Whether it succeeded within `patience` seconds from its start; None: however long."""
        if self._thread is None:
            return True
        timeout = None
        if patience is not None:
            timeout = max(0.0, self._begin + patience - time.monotonic())
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.warning(
                "A sync has not ended within %g s: the run goes on without it (%s).",
                patience,
                self._command,
            )
        return self._succeeded

    def _run(self, source: str, target: str) -> None:
        self._succeeded = False
        try:
            if isinstance(self._command, str):
                self._run_command(self._command, source, target)
            else:
                self._command(source, target)
        except Exception:
            log.exception("Syncing %s to %s failed; the run goes on.", source, target)
        else:
            self._succeeded = True

    def _run_command(self, template: str, source: str, target: str) -> None:
        command = template
        for field, path in zip(self._fields, (source, target), strict=True):
            command = command.replace(field, shlex.quote(path))
        with self._open_log() as output:
            code = subprocess.run(command, shell=True, stdout=output, stderr=output).returncode
        if code:
            raise TuneError(f"`{command}` ended with status {code}; its output is in {self._log}.")

    def _open_log(self) -> IO[bytes]:
        os.makedirs(self._log_dir, exist_ok=True)
        if self._log is None:
            descriptor, self._log = tempfile.mkstemp(".log", "log_sync", self._log_dir)
            os.close(descriptor)
        return open(self._log, "ab")


def _default_cloud_command(remote_dir: str) -> str:
    for prefix, command in CLOUD_COMMANDS.items():
        if remote_dir.startswith(prefix):
            tool = command.split()[0]
            if not shutil.which(tool):
                raise TuneError(f"Uploading to {prefix} needs `{tool}`, which is not installed.")
            return command
    raise TuneError(
        f"How to upload to {remote_dir!r}? Known are {', '.join(CLOUD_COMMANDS)}; "
        "for anything else give sync_to_cloud."
    )


def _default_node_transfer(local_dir: str) -> _Transfer | None:
    command = _default_node_command()
    return _Transfer(command, local_dir) if command else None


@cache
def _default_node_command() -> str | None:
    """rsync over ssh, or None, with an error message once per process."""
    key = os.path.expanduser(os.environ.get(KEY_VARIABLE) or DEFAULT_KEY)
    if shutil.which("rsync") and os.path.exists(key):
        return RSYNC.replace("{key}", shlex.quote(key))
    log.error(
        "Results of trials on other nodes stay there: this needs rsync and an ssh key "
        "(%s, or the path in %s), or sync_to_driver.",
        DEFAULT_KEY,
        KEY_VARIABLE,
    )
    return None


def _remote_path(worker_ip: str | None, directory: str) -> str:
    return f"{getpass.getuser()}@{worker_ip}:{directory}/"
