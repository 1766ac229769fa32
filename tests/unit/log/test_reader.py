"""What a reader takes for the next record, and how its position stands to a head."""

from dataclasses import replace

import pytest

from lease_core.domain.events import EpochStarted, Record
from lease_core.log.port import ZERO_HASH, ZERO_ID, Batch, Head
from lease_core.log.reader import (
    BrokenChainError,
    GapError,
    Position,
    Standing,
    advance,
    advance_all,
    standing,
)
from lease_core.log.runs import Records, Run
from lease_core.log.writer import build
from tests.histories import read_back

GENESIS = "0c" * 16
EMPTY = Head(
    genesis=GENESIS,
    epoch=2,
    seq=0,
    h=ZERO_HASH,
    last_id=ZERO_ID,
    batch="",
    cursor=ZERO_ID,
    owner="one",
)


def written_batch(head: Head, epoch: int, count: int) -> Batch:
    return build(
        head,
        [EpochStarted(cause="takeover")] * count,
        by="one",
        epoch=epoch,
        commit_ms=1_700_000_000_000,
        batch_id="b",
    )


def written(head: Head, epoch: int, count: int = 1) -> tuple[Head, tuple[Record, ...]]:
    batch = written_batch(head, epoch, count)
    return batch.after, batch.records


HEAD, RECORDS = written(EMPTY, 2, 3)
END = advance_all(Position(GENESIS), RECORDS)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (HEAD, Standing.LIVE),
        (written(HEAD, 3)[0], Standing.BEHIND),
        (None, Standing.FOREIGN),
        (replace(HEAD, genesis="0d" * 16), Standing.FOREIGN),
        (replace(HEAD, epoch=1), Standing.STALE),
        (replace(HEAD, seq=2), Standing.REGRESSED),
        (replace(HEAD, h="ff" * 8), Standing.REGRESSED),
    ],
)
def test_how_a_position_stands(head: Head | None, found: Standing) -> None:
    """I3, I4, I5: only the same log with the same past, of no older epoch, is gone on with."""
    assert standing(END, head) is found


OLDER_EPOCH = written(HEAD, 1)[1][0]
AFTER_NEXT = written(written(HEAD, 2)[0], 2)[1][0]
CHANGED: dict[str, tuple[Record, type[Exception]]] = {
    "the last one again": (RECORDS[-1], BrokenChainError),
    "the one after the next": (AFTER_NEXT, GapError),
    "an older epoch": (OLDER_EPOCH, BrokenChainError),
    "another hash": (replace(written(HEAD, 2)[1][0], h="ff" * 8), BrokenChainError),
}


@pytest.mark.parametrize("what", sorted(CHANGED))
def test_what_is_not_the_next_record(what: str) -> None:
    """I3, I4, I5: a record out of turn, of an older epoch or of another chain is not taken."""
    record, error = CHANGED[what]
    with pytest.raises(error):
        advance(END, record)


def _run(position: Position, epoch: int, count: int = 20, edited: int = -1) -> Records:
    """So many events behind a position as they are read, all in one run."""
    head = replace(HEAD, seq=position.seq, h=position.h, last_id=position.entry_id)
    records = read_back(written_batch(head, epoch, count), edited)
    assert [type(part) for part in records.parts] == [Run]
    return records


RUNS = {
    "the last ones again": _run(Position(GENESIS), 2),
    "those after the next": _run(replace(END, seq=END.seq + 1), 2),
    "an older epoch": _run(END, 1),
    "another past": _run(replace(END, h="ff" * 8), 2),
    "an edited first one": _run(END, 2, edited=0),
    "an edited one": _run(END, 2, edited=11),
    "an edited last one": _run(END, 2, edited=19),
}


@pytest.mark.parametrize("what", sorted(RUNS))
def test_a_run_is_refused_as_its_records_are(what: str) -> None:
    """I3, I4, I5: many together are held against the log before them as one is, with its words."""
    run = RUNS[what]
    with pytest.raises((GapError, BrokenChainError)) as alone:
        advance_all(END, list(run))
    with pytest.raises(type(alone.value)) as together:
        advance_all(END, run)

    assert str(together.value) == str(alone.value)


def test_a_run_leads_where_its_records_do() -> None:
    """The position behind a run is that of its last record."""
    run = _run(END, 3)

    assert advance_all(END, run) == advance_all(END, list(run))
    assert advance_all(END, run).seq == END.seq + 20


def test_a_newer_epoch_goes_on() -> None:
    """I5: an epoch may begin anywhere, and stands from then on."""
    head, (record,) = written(HEAD, 7)

    assert advance(END, record).epoch == head.epoch == 7
