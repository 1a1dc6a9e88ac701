"""Peak memory of each measure on a large text, how it grows with the text, and its time.

A text of each size asked for is written: the beginnings of files that are given, in equal parts, or else English and
Chinese words at random, in documents of some two thousand bytes. Each measure then runs as `howfar measure` in a
process of its own, on a small sample where it takes one, and the process's largest resident memory is read off. The
bar: 4 GB on 100 MB of text. A measure that finds the text unfit after having read it exits with 2 (`pairs`: its
entities do not occur in made-up text).

    OMP_NUM_THREADS=1 python benchmarks/memory.py --megabytes 10 100 --text english.txt --text chinese.txt

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ENGLISH = "the keeper of an old lighthouse saw ships pass at night and wrote each name into her book"
_CHINESE = "居里夫人 是 第一 位 获得 诺贝尔奖 的 女性 北京 城市 天气 很 好 历史 研究 大学 他们 住在 海边"
ENGLISH, CHINESE = _ENGLISH.split(), _CHINESE.split()
BAR_MEGABYTES = 4000
MEASURES = {
    "increments": ["--sample", "64"],
    "boundaries": ["--sample", "2000", "--target", "words"],
    "boundaries, corpus": ["--sample", "2000", "--target", "words"],
    "pairs, corpus": [],
    "pairs, corpus, zh": ["--language", "zh"],
    "attention": ["--sample", "16"],
    "interventions": ["--sample", "12"],
    "gap_effects": ["--sample", "20"],
    "vocabulary, corpus": [],
    "extrapolation": ["--sample", "10"],
    "neutrality": ["--sample", "64", "--against", "{baseline}"],
    "contexts": ["--sample", "20"],
    "segmentation, corpus, gold": ["--sample", "2000"],
    "information, treebank": ["--sample", "2000"],
    "information, code": ["--sample", "2000", "--classes", "code"],
}
"""By name, with what is given to each. Corpus, gold, treebank and code are as large as the text."""

FUNCTION = (
    "def {name}(items, limit={number}):\n    # Keep {name}\n    return [item for item in items if item > limit]\n\n"
)


def write_text(path: Path, megabytes: float) -> None:
    generator = random.Random(0)
    documents = []
    for _ in range(500):
        sentences: list[str] = []
        while sum(map(len, sentences)) < 1200:
            words, space = (ENGLISH, " ") if generator.random() < 0.7 else (CHINESE, "")
            sentences.append(space.join(generator.choices(words, k=12)) + (". " if space else "。"))
        documents.append("".join(sentences))
    block = "\n\n".join(documents) + "\n\n"
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            file.write(block.replace("night", f"night {file.tell()}"))  # so that no document is another's duplicate


def write_gold(path: Path, megabytes: float) -> None:
    """Sentences of Chinese words, which spaces part."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            file.writelines(" ".join(generator.choices(CHINESE, k=12)) + "。\n" for _ in range(500))


def write_treebank(path: Path, megabytes: float) -> None:
    """Sentences in CoNLL-U, with parts of speech and heads at random."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            for number, word in enumerate(generator.choices(ENGLISH, k=12), start=1):
                kind, head = generator.choice(["NOUN", "VERB", "ADP"]), number - 1
                file.write(f"{number}\t{word}\t{word}\t{kind}\t_\t_\t{head}\t{'dep' if head else 'root'}\t_\t_\n")
            file.write("\n")


def write_code(path: Path, megabytes: float) -> None:
    """Python functions, which empty lines part."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            names = ("_".join(generator.choices(ENGLISH, k=3)) for _ in range(500))
            file.writelines(FUNCTION.format(name=name, number=generator.randrange(10**6)) for name in names)


def write_beginnings(path: Path, megabytes: float, sources: list[Path]) -> None:
    """Whole documents, which empty lines part, of as much of each file."""
    with path.open("wb") as file:
        for source in sources:
            with source.open("rb") as opened:
                beginning = opened.read(round(megabytes * 1e6 / len(sources)))
            file.write(beginning[: beginning.rindex(b"\n\n") + 2])


def run(arguments: list[str]) -> tuple[float, float, int]:
    """Peak megabytes, seconds and the exit code of a command."""
    started = time.perf_counter()
    code = f"import sys; from howfar.cli import main; sys.argv = ['howfar', *{arguments!r}]; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / 1024, time.perf_counter() - started, process.returncode


def measure_all(
    wanted: list[str], files: dict[str, list[str]], options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Run each measure on a text, on the corpus that is made of it here, on gold, a treebank or code."""
    if any("corpus" in name for name in wanted):
        run(["corpus", "build", files["corpus"][1], "--source", files["text"][1], "--held-out-documents", "200"])
    results: dict[str, dict[str, float]] = {}
    for name in wanted:
        measure, *given_kinds = name.split(", ")
        given = [word for kind, words in files.items() if kind in given_kinds for word in words] or files["text"]
        own = [option.format(baseline=options.baseline) for option in MEASURES[name]]
        if options.default_samples and "--sample" in own:
            del own[own.index("--sample") : own.index("--sample") + 2]
        megabytes, seconds, code = run(["measure", measure, *given, *own, "--model", options.model])
        results[name] = {"peak_megabytes": round(megabytes), "seconds": round(seconds, 1), "exit_code": code}
        print(f"  {name:26} {megabytes:7.0f} MB  {seconds:6.1f} s  exit code {code}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 100], help="of text; from small to large")
    parser.add_argument("--text", type=Path, action="append", help="take the text from this file; may be repeated")
    parser.add_argument("--model", default="bilingual-per-layer")
    parser.add_argument("--baseline", default="bilingual-rope", help="for neutrality")
    parser.add_argument("--measure", action="append", choices=MEASURES, help="only this one; may be repeated")
    parser.add_argument("--default-samples", action="store_true", help="of the measures' own size, which takes minutes")
    arguments = parser.parse_args()

    wanted = [name for name in MEASURES if arguments.measure is None or name in arguments.measure]
    by_size: dict[float, dict[str, dict[str, float]]] = {}
    for size in arguments.megabytes:
        print(f"{size:g} MB of text", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            names = ("text.txt", "gold.txt", "treebank.conllu", "code.txt")
            text, gold, treebank, code = (Path(folder, name) for name in names)
            for write, path in ((write_gold, gold), (write_treebank, treebank), (write_code, code)):
                write(path, size)
            if arguments.text:
                write_beginnings(text, size, arguments.text)
            else:
                write_text(text, size)
            files = {"text": ["--text", str(text)], "corpus": ["--corpus", f"{folder}/corpus"]}
            files |= {
                "gold": ["--gold", str(gold)],
                "code": ["--text", str(code)],
                "treebank": ["--gold", str(treebank)],
            }
            by_size[size] = measure_all(wanted, files, arguments)
    smallest, largest = min(by_size), max(by_size)
    results: dict[str, dict[str, float]] = by_size[largest]
    if largest > smallest:
        for name, result in results.items():
            grown = result["peak_megabytes"] - by_size[smallest][name]["peak_megabytes"]
            result["grown_megabytes_per_megabyte"] = round(grown / (largest - smallest), 2)
    met = all(result["peak_megabytes"] < BAR_MEGABYTES for result in results.values())
    print(json.dumps({"benchmark": "memory", "megabytes": largest, "measures": results, "met": met}))


if __name__ == "__main__":
    main()
