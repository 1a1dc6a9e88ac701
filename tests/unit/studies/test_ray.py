"""Studies, measures and corpus builds on a Ray cluster of two machines, which are processes here."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

import howfar
from howfar.corpus.build import build_corpus
from howfar.corpus.sources import parse_source
from howfar.errors import StudyError
from howfar.measures.contexts import contexts
from howfar.measures.neutrality import neutrality
from howfar.reading.reader import Reader
from howfar.reading.workers import in_order
from howfar.studies.on_ray import RayReaders
from howfar.studies.study import Study

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.xdist_group("ray"),
]
LONG = {"max_steps": 24, "save_steps": 2}
PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two machines with one CPU each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    machine = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=machine)
    machine.pop("include_dashboard")
    cluster.add_node(**machine)
    yield cluster.address
    cluster.shutdown()


def assert_same(first: Path, second: Path) -> None:
    weights = [load_file(folder / "model.safetensors") for folder in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    assert [name for name, tensor in weights[0].items() if not torch.equal(tensor, weights[1][name])] == []


def test_a_study_on_a_cluster_is_the_local_one_though_a_worker_is_killed(
    asked: Any, tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # workers are in another folder
    values = asked(set=LONG, grid={"seed": [0, 1]})
    there, here = tmp_path / "there", tmp_path / "here"
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not killed and time.monotonic() < end:
            for record in there.glob("runs/*/checkpoint-4/training.json"):
                lock = there / "runs" / f"{record.parent.parent.name}.lock"
                if lock.exists():
                    killed.append(json.loads(lock.read_text())["pid"])
                    os.kill(killed[0], signal.SIGKILL)
                    return
            time.sleep(0.005)

    killing = threading.Thread(target=kill)
    killing.start()
    # Its checkpoints go by fsspec.
    on_ray = howfar.study(values, there.name, ray=cluster, retries=0, progress=False)
    killing.join()
    local = howfar.study(values, here, at_once=2, progress=False)
    assert killed
    assert [state.state for state in on_ray.states()] == ["finished"] * 2
    for first, second in zip(on_ray.rows(), local.rows(), strict=True):
        assert {**first, "seconds": None} == {**second, "seconds": None}
        assert_same(there / "runs" / first["run"], here / "runs" / second["run"])


def corpus_files(folder: Path) -> dict[str, bytes]:
    """The files of a corpus with a tokenizer, from a text beside it."""
    text = folder.parent / "a.txt"
    text.write_text("\n\n".join(f"{number} roads diverged" for number in range(200)))
    backend = Tokenizer(WordLevel({"<unk>": 0, "roads": 1, "</s>": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    build_corpus(folder, [parse_source(str(text))], tokenizer=tokenizer, progress=False)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_measures_and_corpora_by_a_cluster_are_those_of_one_process_though_a_worker_is_killed(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howfar.reading.reader.MAX_TOKENS", 256)  # so that there is something to divide
    monkeypatch.setattr("howfar.corpus.readers._BLOCK", 400)
    monkeypatch.setattr("howfar.corpus.preparing._JOB_BYTES", 400)
    handed, submit = Counter[str](), RayReaders.submit

    def counted(readers: RayReaders, function: Callable[..., Any], *arguments: Any) -> Any:
        handed[function.__name__] += 1
        return submit(readers, function, *arguments)

    monkeypatch.setattr(RayReaders, "submit", counted)
    model, texts = howfar.load(), [f"{number} roads diverged in a wood, and I took {number}." for number in range(12)]

    def measured() -> list[pl.DataFrame]:
        return [contexts(model, texts, num_passages=3), neutrality([model], {"itself": [model]}, texts)]

    def killed_once(reader: Reader, number: int) -> int:
        if number == 3 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number * reader.context

    alone = measured()
    with howfar.workers(ray=cluster):
        assert [table.equals(own) for table, own in zip(measured(), alone, strict=True)] == [True, True]
        found = list(in_order(Reader(model, context=64), killed_once, ((number, (number,)) for number in range(6))))
        by_cluster = corpus_files(tmp_path / "by_cluster")
    assert handed["prepare"] > 5
    assert by_cluster == corpus_files(tmp_path / "alone")
    assert found == [(number, 64 * number) for number in range(6)]
    assert (tmp_path / "killed").exists()


def test_a_run_that_fails_there_is_told_here(asked: Any, tmp_path: Path, cluster: str) -> None:
    values = asked(set={"max_steps": 1}, grid={"max_position_embeddings": [100_000]})
    study = howfar.study(values, f"file://{tmp_path / 'study'}", ray=cluster, retries=0, progress=False)
    assert "one window needs 100000" in str(study.states()[0].error)
    with pytest.raises(StudyError, match="1 of 1 runs failed"):
        Study.open(study.place.location).check_finished()


def test_an_address_that_does_not_answer_is_one_line(asked: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for given, message in (
        (address, f"no Ray cluster answers at {address} .*; start one, or leave out --ray"),
        (f"ray://{address}", "no Ray cluster answers at ray://"),
        ("nowhere", "is not an address; give HOST:PORT"),
    ):
        with pytest.raises(StudyError, match=message):
            howfar.study(asked(), tmp_path / "study", ray=given, progress=False)
        with pytest.raises(StudyError, match=message), howfar.workers(ray=given):
            pass
    assert not (tmp_path / "study").exists()


def test_a_session_that_the_process_has_already_is_used_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Session:
        is_initialized = staticmethod(lambda: True)
        init = staticmethod(lambda **_: done.append("init"))
        shutdown = staticmethod(lambda: done.append("shutdown"))
        cluster_resources = staticmethod(dict)

    monkeypatch.setitem(sys.modules, "ray", Session)
    with RayReaders(""):
        pass
    assert done == []
    with pytest.raises(StudyError, match="has a Ray session already; leave out the address to use it"):
        RayReaders("127.0.0.1:6379")


def test_nothing_imports_ray_unless_asked() -> None:
    modules = "cli", "corpus.build", "studies.driving", "studies.reading", "studies.worker"
    code = "".join(f"import howfar.{module}; " for module in modules) + "import sys; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
