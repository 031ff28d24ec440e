"""A rendered private environment to start single services in."""

import os
import subprocess
import time

import pytest

from launcher import processes, services, settings


@pytest.fixture
def env(tmp_path):
    """All variables of a stack below tmp_path, on free ports; nothing runs."""
    where = settings.Paths(tmp_path / "run", os.environ.get("ENMS_ENV_DIR"))
    settings.prepare_run_dir(where)
    return settings.build(where, {"PATH": os.environ["PATH"], "ENMS_HTTP_PORT": "0"}, tmp_path)


@pytest.fixture
def start(env):
    """start(name): starts one service as the supervisor would, waits until it is ready, returns the process."""
    running = []

    def begin(name, **more):
        service, variables = services.BY_NAME[name], {**env, **more}
        service.prepare(variables)
        command, rights = service.command(variables)
        log = services.where(env).log(name)
        with open(log, "ab") as output:
            child = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=services.environment(service, variables),
                cwd=service.cwd,
                **rights,
            )
        running.append(child)
        end = time.monotonic() + 10
        while problem := service.probe(variables):
            assert child.poll() is None and time.monotonic() < end, f"{name}: {problem}\n{log.read_text()}"
            time.sleep(0.02)
        return child

    yield begin
    for child in running:
        processes.stop_tree(processes.identity(child.pid), grace=2)
        child.wait(5)
