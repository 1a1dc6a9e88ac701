from pathlib import Path

import numpy as np
import pytest

from howfar.corpus.journal import DigestSet, Journal, Outcome, Record


def test_a_digest_set_holds_what_was_added_through_growth():
    generator = np.random.default_rng(0)
    drawn = [int(digest) for digest in generator.integers(0, 2**64, size=6000, dtype=np.uint64)]
    crowded = [0, *(number << 32 for number in range(1, 600))]  # one slot's worth, at any size of table
    for members, others in ((drawn[:5000], drawn[5000:]), (crowded, [number + 3 for number in crowded])):
        seen = DigestSet()
        assert not any(digest in seen for digest in members)
        for digest in members + members:
            seen.add(digest)
        assert all(digest in seen for digest in members)
        assert not any(digest in seen for digest in others)


def test_a_journal_cut_inside_a_record_goes_back_to_the_one_before(tmp_path: Path):
    records = [
        Record(0, Outcome.TRAIN, 7, 2, 3),
        Record(1, Outcome.EMPTY, 8, 0, 0),
        Record(0, Outcome.HELD_OUT, 9, 1, 2),
    ]
    with Journal(tmp_path, end_of_document=256) as journal:
        for record in records:
            journal.append(record, np.zeros(record.num_tokens, np.uint16) if record.num_tokens else None)
    path = tmp_path / "journal"
    path.write_bytes(path.read_bytes()[:-1])
    with Journal(tmp_path, end_of_document=256) as journal:
        assert list(journal) == records[:2]
    assert (tmp_path / "train.bin").stat().st_size == 2 * (1 + 3)
    assert (tmp_path / "held_out.bin").stat().st_size == 2


def test_all_files_are_closed_when_the_disk_is_full(tmp_path: Path):
    """One that is written later, when there is room, would add old documents to a build that goes on."""
    journal = Journal(tmp_path, end_of_document=256)
    journal._tokens["train"].close()
    journal._tokens["train"] = Path("/dev/full").open("ab")  # noqa: SIM115 - the journal closes it
    journal.append(Record(0, Outcome.TRAIN, 7, 2, 3), np.zeros(3, np.uint16))
    with pytest.raises(OSError, match="No space left"):
        journal.close()
    assert journal._records.closed
    assert all(file.closed for file in journal._tokens.values())
    with Journal(tmp_path, end_of_document=256) as journal:
        assert not list(journal)


def test_tokens_cut_short_take_their_record_and_all_later_ones_along(tmp_path: Path):
    with Journal(tmp_path, end_of_document=256) as journal:
        for number in range(4):
            outcome = Outcome.TRAIN if number % 2 else Outcome.HELD_OUT
            journal.append(Record(0, outcome, number, 1, 2), np.full(2, number, np.uint16))
    path = tmp_path / "train.bin"
    path.write_bytes(path.read_bytes()[:-3])
    with Journal(tmp_path, end_of_document=256) as journal:
        assert [record.digest for record in journal] == [0, 1, 2]
    assert np.fromfile(path, "<u2").tolist() == [256, 1, 1]
