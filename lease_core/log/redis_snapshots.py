"""Snapshots in Redis: one hash each, its description written last, and a set that names them."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from redis.asyncio import Redis

from lease_core.log.errors import ForeignLogError, TrimRefusedError
from lease_core.log.hashes import forms_of
from lease_core.log.held import HeldConnection
from lease_core.log.keys import Keys
from lease_core.log.redis_client import awaited, load_script, translated
from lease_core.log.snapshot_port import (
    LOST_THE_LOG,
    MAX_CHUNK_OCTETS,
    MAX_CHUNKS,
    Archived,
    Cut,
    SnapshotMeta,
)

_META: Final = tuple(field.name for field in fields(SnapshotMeta))
"""The last one, `octets`, older programs did not write."""
_ARCHIVED: Final = tuple(field.name for field in fields(Archived))
_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,17}")
_TEXT: Final = re.compile(rb"[ -~]{1,160}")


class RedisSnapshots:
    """`SnapshotStore` over the client that never repeats a call; every call here may be."""

    def __init__(self, writer: Redis, calling: HeldConnection, keys: Keys) -> None:
        """What every process asks goes over `calling`, so it opens no connection of the client."""
        self._writer = writer
        self._calling = calling
        self._keys = keys
        self._trim = load_script(writer, "trim")

    async def begin_snapshot(self, seq: int) -> None:
        with translated():
            async with self._writer.pipeline(transaction=True) as pipe:
                pipe.unlink(self._keys.snapshot(seq))
                pipe.sadd(self._keys.snapshots, seq)
                await pipe.execute()

    async def put_chunk(self, seq: int, number: int, octets: bytes) -> None:
        with translated():
            await awaited(self._writer.hset(self._keys.snapshot(seq), str(number), octets))

    async def publish_snapshot(self, meta: SnapshotMeta) -> None:
        described: dict[Any, Any] = {name: str(getattr(meta, name)) for name in _META}
        with translated():
            await awaited(self._writer.hset(self._keys.snapshot(meta.seq), mapping=described))

    async def snapshots(self) -> list[SnapshotMeta]:
        with translated():
            seqs = await self._seqs()
            stored = await asyncio.gather(
                *(self._calling.call("HMGET", self._keys.snapshot(seq), *_META) for seq in seqs)
            )
        found = (_meta(values) for values in stored)
        return [meta for seq, meta in zip(seqs, found, strict=True) if meta and meta.seq == seq]

    async def _seqs(self) -> list[int]:
        """Newest first."""
        named = await self._calling.call("SMEMBERS", self._keys.snapshots)
        return sorted((int(name) for name in named if _NUMBER.fullmatch(name)), reverse=True)

    async def chunk(self, seq: int, number: int) -> bytes | None:
        key, name = self._keys.snapshot(seq), str(number)
        with translated():
            if await awaited(self._writer.hstrlen(key, name)) > MAX_CHUNK_OCTETS:
                return None
            octets: bytes | None = await awaited(self._writer.hget(key, name))
        return octets

    async def drop_snapshots(self, below: int, but: Collection[int]) -> None:
        with translated():
            for seq in await self._seqs():
                if seq < below and seq not in but:
                    async with self._writer.pipeline(transaction=True) as pipe:
                        pipe.unlink(self._keys.snapshot(seq))
                        pipe.srem(self._keys.snapshots, seq)
                        await pipe.execute()

    async def set_archived(self, archived: Archived) -> None:
        described: dict[Any, Any] = {name: str(getattr(archived, name)) for name in _ARCHIVED}
        with translated():
            await awaited(self._writer.hset(self._keys.archive, mapping=described))

    async def archived(self) -> Archived | None:
        with translated():
            values = await awaited(self._writer.hmget(self._keys.archive, _ARCHIVED))
        found = _read(_ARCHIVED, values, numbers=("seq",))
        return Archived(**found) if found else None

    async def trim(self, cut: Cut, lost: Collection[str] = (), *, dry_run: bool = False) -> int:
        keys = self._keys
        with translated():
            edges = sorted(map(bytes.decode, await awaited(self._writer.smembers(keys.edges))))
            arguments: list[Any] = [
                *(cut.genesis, cut.seq, *forms_of(cut.h)),
                *(cut.entry_id, cut.taken_id, cut.verified_id),
                *(int(dry_run), len(edges), *edges, len(LOST_THE_LOG), *LOST_THE_LOG),
                *sorted(lost),
            ]
            reply = await self._trim(
                [keys.events, keys.head, keys.snapshot(cut.seq), keys.archive, keys.edges]
                + [keys.edge(name) for name in edges],
                arguments,
            )
        match list(map(bytes.decode, reply)):
            case ["OK", count]:
                return int(count)
            case ["REFUSED", *reasons]:
                raise TrimRefusedError(reasons)
            case [_, what]:
                raise ForeignLogError(what)
        raise AssertionError(reply)


def _meta(values: Sequence[bytes | None]) -> SnapshotMeta | None:
    found = _read(_META[:-1], values[:-1], numbers=("seq", "commit_ms", "epoch", "chunks"))
    octets = _read(_META[-1:], values[-1:], numbers=()) or {}
    return SnapshotMeta(**found, **octets) if found and found["chunks"] <= MAX_CHUNKS else None


def _read(
    names: Sequence[str], values: Sequence[bytes | None], numbers: Collection[str]
) -> Mapping[str, Any] | None:
    """The fields of a hash; None where one is missing or malformed."""
    found: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        form = _NUMBER if name in numbers else _TEXT
        if value is None or not form.fullmatch(value):
            return None
        found[name] = int(value) if name in numbers else value.decode()
    return found
