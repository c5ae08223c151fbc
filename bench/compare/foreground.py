"""Tools that are one process in the foreground, whose children serve."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from bench.compare.app import INSTANCES, PYTHON, START_S, App, argv
from bench.compare.commands import below, end_all, run
from rig.hosts.host import ROOT, SERVERS, Host
from rig.wait import answers, until

OTHERS = ROOT / "build" / "bench" / "bin"
END_S = 20.0


class Running:
    """A tool that is one process in the foreground, whose children serve."""

    command: tuple[str, ...] = ()

    def __init__(self, app: App) -> None:
        self.app = app
        self._host = Host(app.directory.parent)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self) -> list[str]:
        """Return the command of the tool, once what it reads is written."""
        return argv(self.command, self.app.port)

    def start(self) -> None:
        """Start the first version, and wait until it answers."""
        self._process = subprocess.Popen(
            self.configure(),
            cwd=self.app.directory,
            env=self._host.environment | self.app.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: answers(self.app.port), "the tool's app", START_S)

    @property
    def pid(self) -> int:
        """The tool's own process."""
        assert self._process is not None
        return self._process.pid

    def own(self) -> list[int]:
        """Return the tool's own process, and those that serve nothing."""
        return [self.pid, *(below(self.pid) - below(self.pid, serving=True))]

    def serving(self) -> set[int]:
        """Return the processes below the tool that serve."""
        return below(self.pid, serving=True)

    def release(self) -> int | None:
        """Send SIGHUP, if there is somebody to get it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        return None

    def close(self) -> None:
        """End everything."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        end_all(self._host)
        if self._process is not None:
            self._process.wait(END_S)


class Gunicorn(Running):
    """gunicorn with threads, which replaces its processes when it gets SIGHUP."""

    command = (
        *(str(SERVERS / "gunicorn"), "-b", "127.0.0.1:PORT", "--workers"),
        *(str(INSTANCES), "--threads", "8", "entry:app"),
    )


class Uvicorn(Running):
    """uvicorn, which replaces its processes when it gets SIGHUP."""

    command = (
        *(PYTHON, "-m", "uvicorn", "--port", "PORT", "--no-access-log"),
        *("--workers", str(INSTANCES), "entry:app"),
    )


class Granian(Running):
    """granian, which replaces its processes when it gets SIGHUP."""

    command = (
        *(str(SERVERS / "granian"), "--interface=asgi", "--port=PORT"),
        *("--no-access-log", f"--workers={INSTANCES}", "entry:app"),
    )


class Hypercorn(Running):
    """hypercorn, which replaces its processes when it gets SIGHUP."""

    command = (
        *(str(SERVERS / "hypercorn"), "-b", "127.0.0.1:PORT"),
        *("--workers", str(INSTANCES), "entry:app"),
    )


class Circus(Running):
    """circus, which holds the socket of uvicorn and reloads it."""

    def configure(self) -> list[str]:
        """Write its file."""
        own = self._host.directory
        file = own / "circus.ini"
        file.write_text(
            "[circus]\n"
            f"endpoint = {self._endpoint()}\n"
            f"pubsub_endpoint = ipc://{own}/events\n"
            "[watcher:app]\n"
            f"cmd = {PYTHON} -m uvicorn --fd $(circus.sockets.web) --no-access-log "
            "entry:app\n"
            f"working_dir = {self.app.directory}\n"
            f"numprocesses = {INSTANCES}\n"
            "use_sockets = True\ncopy_env = True\n"
            f"[socket:web]\nhost = 127.0.0.1\nport = {self.app.port}\n"
        )
        return [str(OTHERS / "circusd"), str(file)]

    def release(self) -> int | None:
        """Reload, and wait."""
        words = ["--endpoint", self._endpoint(), "reload", "app", "--waiting"]
        return run([str(OTHERS / "circusctl"), *words], self._host)

    def _endpoint(self) -> str:
        return f"ipc://{self._host.directory}/control"


class Supervisord(Running):
    """supervisord, which holds the socket of uvicorn and restarts it."""

    def configure(self) -> list[str]:
        """Write its file."""
        own = self._host.directory
        self._file().write_text(
            f"[unix_http_server]\nfile = {own}/control\n"
            f"[supervisord]\nnodaemon = true\nlogfile = {own}/log\n"
            f"pidfile = {own}/pid\nchildlogdir = {own}\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = "
            "supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl = unix://{own}/control\n"
            "[fcgi-program:app]\n"
            f"socket = tcp://127.0.0.1:{self.app.port}\n"
            f"command = {PYTHON} -m uvicorn --fd 0 --no-access-log entry:app\n"
            f"directory = {self.app.directory}\n"
            f"numprocs = {INSTANCES}\nprocess_name = app-%(process_num)d\n"
        )
        return [str(OTHERS / "supervisord"), "-c", str(self._file())]

    def release(self) -> int | None:
        """Restart."""
        words = ["-c", str(self._file()), "restart", "app:*"]
        return run([str(OTHERS / "supervisorctl"), *words], self._host)

    def _file(self) -> Path:
        return self._host.directory / "supervisord.conf"
