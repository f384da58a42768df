"""Where workers come from: this machine, a scheduler that runs, Slurm."""

from __future__ import annotations

import logging
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from distributed import Client

from tests.dask_processes import dask_processes
from wsiamf.cohort.cluster import cluster, dashboard_address, slurm_cluster
from wsiamf.config import configs_folder, find_config, load_cluster_config
from wsiamf.errors import CohortError, ConfigError

GIVEN = {"kind": "slurm", "jobs": 2, "memory": "8GB", "walltime": "01:00:00"}


def worker_facts() -> tuple[int, int]:
    """The worker process, and its parent."""
    return os.getpid(), os.getppid()


def fetched(link: str) -> bytes:
    """What stands at an address of this machine, whatever proxy the environment names."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(link, timeout=60) as page:
        return bytes(page.read())


def served_dashboard(client: Client) -> str:
    """The address of a cluster's dashboard, whose pages are there."""
    link = dashboard_address(client)
    assert link is not None
    assert b"bokeh" in fetched(link.replace("/status", "/individual-workers")).lower()
    return link


@pytest.fixture
def taken_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """``:PORT`` of the dashboard, where another listens already."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("wsiamf.cohort.cluster._DASHBOARD", f"127.0.0.1:{port}")
        yield f":{port}"


class TestLocal:
    def test_workers_are_processes_of_one_thread_and_end_with_the_block(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with cluster(2, 3) as client:
            assert list(client.nthreads().values()) == [1, 1]
            assert all(address.startswith("tcp://127.0.0.1:") for address in client.nthreads())
            workers = [pid for pid, parent in client.run(worker_facts).values() if parent == os.getpid()]
            assert len(workers) == 2
            assert served_dashboard(client).startswith("http://127.0.0.1:")
        assert not any(psutil.pid_exists(pid) for pid in workers)
        assert capfd.readouterr() == ("", "")

    def test_a_dead_worker_is_replaced_without_a_word(self, capfd: pytest.CaptureFixture[str]) -> None:
        with cluster(1, 1) as client:
            ((first, _),) = client.run(worker_facts).values()
            psutil.Process(first).kill()
            while (found := [pid for pid, _ in client.run(worker_facts, on_error="ignore").values()]) in ([], [first]):
                pass
            assert len(found) == 1
        assert capfd.readouterr() == ("", "")

    def test_nothing_listens_beyond_this_machine(self) -> None:
        with cluster(1, 1) as client:
            workers = [pid for pid, _ in client.run(worker_facts).values()]
            processes = [psutil.Process(), *map(psutil.Process, workers)]
            ends = [end for process in processes for end in process.net_connections("inet")]
            assert {end.laddr.ip for end in ends if end.status == psutil.CONN_LISTEN} == {"127.0.0.1"}

    def test_a_taken_dashboard_port_is_no_trouble(self, taken_port: str) -> None:
        with cluster(1, 1) as client:
            assert taken_port not in served_dashboard(client)

    def test_an_error_inside_passes_through(self) -> None:
        with pytest.raises(KeyError, match="inside"), cluster(1, 1):
            raise KeyError("inside")


class TestRunning:
    def test_a_scheduler_by_address_and_by_file_outlives_us(self, tmp_path: Path) -> None:
        with dask_processes(tmp_path, 1) as processes:
            for where in ({"scheduler": processes.address}, {"scheduler_file": processes.scheduler_file}):
                with cluster(9, 1, **where) as client:
                    client.wait_for_workers(1, timeout=60)
                    assert list(client.nthreads().values()) == [1]
                    assert client.run(worker_facts)
            assert processes.scheduler.poll() is None

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ({"scheduler": "tcp://127.0.0.1:9"}, r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"),
            ({"scheduler": "nonsense://x"}, "nonsense://x: no Dask scheduler answers"),
            ({"scheduler_file": Path("/nowhere/s.json")}, r"--scheduler-file /nowhere/s\.json: there is no such file"),
        ],
    )
    def test_one_that_does_not_answer_is_named(
        self, where: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("wsiamf.cohort.cluster._CONNECT_S", 0.5)
        with pytest.raises(CohortError, match=message), cluster(1, 1, **where):  # type: ignore[arg-type]
            pass


class TestSlurm:
    def test_every_shipped_configuration_renders_a_job(self) -> None:
        files = list((configs_folder() / "cluster").rglob("*.yaml"))
        assert files
        for file in files:
            config = load_cluster_config(file)
            with slurm_cluster(config, 3) as started:
                script = started.job_script()
            assert f"--cpus-per-task={config.processes * 3}" in script
            assert "--nthreads 1 " in script
            assert f"--nworkers {config.processes} " in script
            assert f"-t {config.walltime}" in script
            assert "--mem=30G" in script
            assert "export MALLOC_ARENA_MAX=2" in script

    def test_what_is_given_reaches_the_job(self, tmp_path: Path) -> None:
        path = tmp_path / "own.yaml"
        extra = {"gpus": True, "queue": "long", "account": "p1", "job_extra_directives": ["--gres=gpu:1"]}
        path.write_text(yaml.safe_dump(GIVEN | extra))
        with slurm_cluster(load_cluster_config(path), 4) as started:
            script = started.job_script()
        for part in ("-p long", "-A p1", "--gres=gpu:1", "--cpus-per-task=4", "--resources GPU=1", "--nthreads 1"):
            assert part in script

    def test_the_dashboard_of_our_scheduler_is_found(self, taken_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dask_jobqueue.SLURMCluster.scale", lambda _self, jobs: None)  # there is no Slurm here
        with cluster(1, 1, config=load_cluster_config(find_config("cluster/slurm"))) as client:
            assert taken_port not in served_dashboard(client)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kind": "pbs"}, "own.yaml: kind: Input should be 'slurm'"),
            ({"cores": 4}, "own.yaml: cores: Extra inputs are not permitted"),
            ({"jobs": 0}, "own.yaml: jobs: Input should be greater than 0"),
            ({"memory": None}, "own.yaml: memory: Input should be a valid string"),
        ],
    )
    def test_wrong_values_are_named(self, changes: dict[str, object], message: str, tmp_path: Path) -> None:
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(GIVEN | changes))
        with pytest.raises(ConfigError, match=message):
            load_cluster_config(path)

    def test_it_is_found_by_name(self) -> None:
        assert find_config("cluster/slurm").name == "slurm.yaml"

    def test_dask_jobqueue_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def absent(_name: str) -> None:
            raise ImportError

        monkeypatch.setattr("wsiamf.cohort.cluster.import_module", absent)
        with pytest.raises(ConfigError, match=r"pip install 'wsiamf\[slurm\]'"):
            slurm_cluster(load_cluster_config(find_config("cluster/slurm")), 1)


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Dask's loggers as they were."""
    names = ("distributed", "distributed.client", "distributed.nanny", "distributed.worker", "tornado")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
