"""The log of one site in Redis, over the clients that `connecting` makes."""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from lease_core.domain.commands import Command, Sent, may_be_forgotten
from lease_core.domain.events import Record
from lease_core.log.decoding import answered_of, sent_of
from lease_core.log.errors import (
    ClockError,
    ConflictError,
    FencedError,
    ForeignLogError,
    LogUnavailableError,
)
from lease_core.log.held import HeldConnection, HeldScript
from lease_core.log.keys import Keys
from lease_core.log.layout import flat_of
from lease_core.log.port import (
    MAX_ANSWERS,
    MAX_COUNT,
    MAX_SENT,
    MAX_SKEW_MS,
    ZERO_HASH,
    ZERO_ID,
    Ahead,
    Answered,
    Appended,
    Batch,
    Claimed,
    Followed,
    Head,
    HeldBy,
    Unreadable,
)
from lease_core.log.redis_client import (
    awaited,
    by_form,
    counted,
    forsake,
    load_script,
    pairs_of,
    settings_faults,
    translated,
)
from lease_core.log.redis_snapshots import RedisSnapshots
from lease_core.log.replicas import ReplicatedScript
from lease_core.log.runs import records_of
from lease_core.log.streams import After, Page, Streams, ends_of
from lease_core.log.wire import encode_commands


class RedisLog(RedisSnapshots):
    """`SiteLog` over two clients; `connect` makes it."""

    def __init__(
        self,
        writer: Redis,
        reader: Redis,
        site: str,
        replicas: int = 0,
        shared: HeldConnection | None = None,
    ) -> None:
        super().__init__(writer, shared or HeldConnection(writer), Keys(site))
        self._reader = reader
        self._replicas = replicas
        reader.response_callbacks.pop("XREAD", None)  # our own reading of the reply is faster
        writer.response_callbacks.pop("XREAD", None)
        self._streams = Streams(HeldConnection(reader), self._calling)

        def script(name: str) -> HeldScript:
            return HeldScript(self._calling, load_script(writer, name))

        self._append = (
            ReplicatedScript(writer, load_script(writer, "append"), replicas)
            if replicas
            else script("append")
        )
        self._committed = script("committed")
        self._claim = script("claim")
        self._create = script("create")
        self._send = script("send")
        self._tell = script("status")

    @property
    def site(self) -> str:
        return self._keys.site

    async def close(self) -> None:
        await self._writer.aclose()
        await self._reader.aclose()

    async def reconnect(self) -> None:
        with translated():
            await forsake(self._writer)
            await forsake(self._reader)

    async def now_ms(self) -> int:
        with translated():
            seconds, microseconds = await self._calling.call("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def head(self) -> Head | None:
        with translated():
            stored = pairs_of(await self._calling.call("HGETALL", self._keys.head))
        if not stored:
            return None
        try:
            text = {name.decode(): value.decode() for name, value in stored.items()}
            return Head(
                genesis=text["genesis"],
                epoch=int(text["epoch"]),
                seq=int(text["seq"]),
                h=text["hash"],
                last_id=text["last_id"],
                batch=text["batch"],
                cursor=text["cursor"],
                owner=text["owner"],
                committed=int(text["committed"]) if "committed" in text else None,
                committed_h=text.get("committed_hash", ""),
            )
        except (KeyError, ValueError) as error:
            raise ForeignLogError(f"its head is damaged: {error!r}") from error

    async def create(self, genesis: str) -> str:
        with translated():
            reply = await self._create([self._keys.head, self._keys.events], [genesis, ZERO_HASH])
        status, text = map(bytes.decode, reply)
        if status != "OK":
            raise ForeignLogError(text)
        return text

    async def claim(
        self, owner: str, ttl_ms: int, genesis: str, above: int = 0, dead: str = ""
    ) -> Claimed | HeldBy:
        with translated():
            reply = await self._claim(
                [self._keys.leader, self._keys.head, self._keys.events],
                [owner, ttl_ms, genesis, above, dead, self._replicas],
            )
        match list(map(bytes.decode, reply)):
            case ["OK", epoch, is_new]:
                return Claimed(epoch=int(epoch), is_new=is_new == "1")
            case ["HELD", other, ttl]:
                return HeldBy(owner=other, ttl_ms=int(ttl))
            case [_, what]:
                raise ForeignLogError(what)
        raise AssertionError(reply)

    async def append(self, batch: Batch) -> Appended:
        keys = self._keys
        with translated(is_append=True):
            reply = await self._append(
                [keys.events, keys.head, keys.answers, keys.commands], _append_arguments(batch)
            )
        appended = _appended(list(map(bytes.decode, reply)), batch)
        if self._replicas:
            await self._commit(batch)
        return appended

    async def _commit(self, batch: Batch) -> None:
        """Replicas hold the batch: let edges act on it."""
        after = batch.after
        with translated(is_append=True):
            reply = await self._committed(
                [self._keys.head], [after.genesis, after.epoch, after.seq, after.h]
            )
        match list(map(bytes.decode, reply)):
            case ["FENCED", epoch]:
                raise FencedError(int(epoch))
            case ["FOREIGN", what]:
                raise ForeignLogError(what)

    async def send(self, command: Command, by: str) -> str:
        return await self.send_many([command], by)

    async def send_many(self, commands: Sequence[Command], by: str) -> str:
        if not commands:
            return ""
        entries = counted(encode_commands(commands, by))
        is_fleeting = may_be_forgotten(commands)
        with translated():
            entry_id = await self._send(
                [self._keys.commands], [MAX_SENT, int(is_fleeting), self._keys.head, *entries]
            )
        if not entry_id:
            raise LogUnavailableError(f"{MAX_SENT} batches of commands wait for an allocator")
        return entry_id.decode()  # type: ignore[no-any-return]

    async def read(self, after_id: str, count: int = 500, block_ms: int = 0) -> Sequence[Record]:
        got = await self._streams.read({self._keys.events: after_id}, count, block_ms)
        return records_of(got[self._keys.events])

    async def commands(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Sent | Unreadable]:
        got = await self._streams.read({self._keys.commands: after_id}, count, block_ms)
        return sent_of(got[self._keys.commands])

    async def answers(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Answered | Unreadable]:
        got = await self._streams.read({self._keys.answers: after_id}, count, block_ms)
        return answered_of(got[self._keys.answers])

    async def follow(
        self, events_after: str, answers_after: str, block_ms: int = 0, count: int = 500
    ) -> Followed:
        after = {self._keys.events: events_after, self._keys.answers: answers_after}
        return self._followed(await self._streams.read(after, count, block_ms), after, count)

    def _followed(self, page: Page, after: After, count: int) -> Followed:
        """What came; behind a full page the next is asked for before this one is decoded."""
        events, answers = (page[key] for key in after)
        is_full = len(events) == min(count, MAX_COUNT)
        ahead = self._read_ahead(ends_of(page, after), count) if is_full else None
        records = records_of(events)
        is_whole = len(records) == len(events)
        return Followed(
            records=records, answers=answered_of(answers), ahead=ahead if is_whole else None
        )

    def _read_ahead(self, after: After, count: int) -> Ahead | None:
        reply = self._streams.read_ahead(after, count)
        if reply is None:
            return None

        async def ahead() -> Followed:
            return self._followed(await reply(), after, count)

        return ahead

    async def last_answer_id(self) -> str:
        with translated():
            last = await self._calling.call("XREVRANGE", self._keys.answers, "+", "-", "COUNT", 1)
        return last[0][0].decode() if last else ZERO_ID

    async def report(self, edge: str, report: Mapping[str, str]) -> None:
        key, words = self._keys.edge(edge), flat_of(report)
        with translated():
            async with self._writer.pipeline(transaction=True) as pipe:
                pipe.delete(key)
                if report:
                    pipe.hset(key, items=words)
                pipe.sadd(self._keys.edges, edge)
                await pipe.execute()

    async def reports(self) -> dict[str, dict[str, str]]:
        with translated():
            names = sorted(
                map(bytes.decode, await awaited(self._writer.smembers(self._keys.edges)))
            )
            async with self._writer.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(self._keys.edge(name))
                stored = await pipe.execute()
        return {
            name: {field.decode(): value.decode() for field, value in report.items()}
            for name, report in zip(names, stored, strict=True)
        }

    async def set_status(self, status: Mapping[str, str], ttl_ms: int) -> None:
        with translated():
            await self._tell([self._keys.status], [ttl_ms, *flat_of(status)])

    async def status(self) -> dict[str, str]:
        with translated():
            stored = await awaited(self._writer.hgetall(self._keys.status))
        return {field.decode(): value.decode() for field, value in stored.items()}

    async def settings_faults(self) -> list[str]:
        return await settings_faults(self._calling.call, self._replicas)


def _append_arguments(batch: Batch) -> list[int | str | bytes]:
    """In the order that append.lua documents."""
    before, after = batch.before, batch.after
    return [
        *(before.genesis, after.epoch, before.seq, before.h),
        *(batch.batch_id, batch.cursor, batch.commit_ms, after.h),
        *(MAX_SKEW_MS, MAX_ANSWERS, len(batch.event_fields), len(batch.answer_fields)),
        *by_form([*batch.event_fields, *batch.answer_fields]),
    ]


def _appended(reply: list[str], batch: Batch) -> Appended:
    match reply:
        case ["OK" | "DUPLICATE" as status, seq, h, last_id]:
            if h != batch.after.h:
                raise ConflictError(int(seq), h)
            return Appended(seq=int(seq), h=h, last_id=last_id, is_duplicate=status == "DUPLICATE")
        case ["FENCED", epoch]:
            raise FencedError(int(epoch))
        case ["CONFLICT", seq, h]:
            raise ConflictError(int(seq), h)
        case ["CLOCK", commit_ms]:
            raise ClockError(int(commit_ms))
        case ["FOREIGN", what]:
            raise ForeignLogError(what)
    raise ValueError(f"inconsistent batch: {reply}")
