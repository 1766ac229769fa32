"""Who may do what in Redis: a user for the allocators, one for each edge, one for auditors.

Scripts run with the rights of who calls them, so an edge that is broken into can ask and report in
its own name and read its own site, and nothing else. Nobody here may configure, flush or debug.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lease_core.log.keys import Keys

_ALWAYS = ("ping", "hello", "select", "multi", "exec", "time", "cluster|slots")
_SCRIPTS = ("evalsha", "script|load")
_READ = (
    *("xread", "xrange", "xrevrange", "xlen", "hget", "hgetall", "hmget", "hstrlen", "smembers"),
    "zrangebyscore",
)
_WRITE = (
    *("xadd", "xtrim", "hset", "hincrby", "del", "unlink", "sadd", "srem", "set", "get"),
    *("pttl", "type", "exists", "hexists", "config|get", "info"),
    *("zadd", "zrange", "zremrangebyscore", "wait", "pexpire", "hdel"),
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A password as Redis keeps it; the password itself is not kept."""

    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read from a file, without white space around it. Raises OSError, ValueError if empty."""
        password = path.read_bytes().strip()
        if not password:
            raise ValueError("the file is empty")
        return cls(hashlib.sha256(password).hexdigest())


def allocator(secret: Secret) -> str:
    """Decides for every site; also for `leasectl`, where it plans, revokes or trims."""
    rules = _may(*_ALWAYS, *_SCRIPTS, *_READ, *_WRITE)
    return f"{_begin('allocator', secret)} ~lease:* {rules}"


def edge(site: str, name: str, secret: Secret) -> str:
    """Reads its site's log, adds commands for it, and writes its own report."""
    keys = Keys(site)
    read = (keys.events, keys.head, keys.answers, keys.snapshots, f"lease:{{{site}}}:snapshot:*")
    return " ".join(
        [
            _begin(f"edge-{name}", secret),
            *(f"%R~{key}" for key in read),
            _may(*_ALWAYS, *_SCRIPTS, *_READ),
            f"(~{keys.commands} {_may('evalsha', 'xadd', 'xlen')})",
            f"(~{keys.edge(name)} {_may('del', 'hset')})",
            f"(~{keys.edges} {_may('sadd')})",
        ]
    )


def auditor(secret: Secret) -> str:
    """Reads everything that is the service's, and changes nothing."""
    return f"{_begin('auditor', secret)} %R~lease:* {_may(*_ALWAYS, *_READ, 'config|get')}"


NOBODY_ELSE = "user default off resetpass -@all"


def _begin(user: str, secret: Secret) -> str:
    return f"user {user} on #{secret.sha256} resetchannels -@all"


def _may(*commands: str) -> str:
    return " ".join(f"+{command}" for command in commands)
