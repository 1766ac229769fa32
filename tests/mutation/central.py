# ruff: noqa: E501 - a mutant quotes lines of the product
"""Mutants of the script that appends, the chain, the leader and the domain."""

from tests.mutation.mutant import Mutant

APPEND = "lease_core/log/append.lua"
CLAIM = "lease_core/log/claim.lua"
READER = "lease_core/log/reader.py"
DECIDE = "lease_core/domain/decide.py"
DESK = "lease_core/domain/desk.py"
LEDGER = "lease_core/domain/ledger.py"
LEADER = "lease_core/service/leader.py"
WARM = "lease_core/service/warm.py"
WIRE = "lease_core/log/wire.py"

SCRIPT = ("tests/contract/test_append.py", "tests/contract/test_leadership.py", "-k", "fakeredis")
READING = ("tests/unit/sync/test_follower.py", "tests/property/test_damage.py")
DOMAIN = (
    "tests/unit/domain",
    "tests/unit/service/test_site_allocator.py",
    "tests/property/test_ledger_machine.py",
)
RULES = ("tests/unit/domain/test_contradictions.py",)
SERVICE = ("tests/unit/service/test_leader.py", "tests/unit/service/test_snapshots.py")


def _m(name: str, attacks: str, path: str, find: str, put: str, tests: tuple[str, ...]) -> Mutant:
    return Mutant(name, attacks, path, find, put, tests)


MUTANTS = (
    # --- append.lua, claim.lua ---
    _m("append-any-genesis", "I5", APPEND, "if head[1] ~= genesis then", "if false then", SCRIPT),
    _m("append-any-epoch", "I5", APPEND, "if head[2] ~= epoch then", "if false then", SCRIPT),
    _m("append-any-seq", "I4", APPEND, "head[3] ~= seq or head[4]", "head[4]", SCRIPT),
    _m("append-any-hash", "I4", APPEND, "head[3] ~= seq or head[4] ~= hash", "head[3] ~= seq",
       SCRIPT),
    _m("append-twice", "I4", APPEND, "if batch ~= '' and head[6] == batch then", "if false then",
       SCRIPT),
    _m("append-behind-a-stray-tail", "I4", APPEND, "if tail[1] and tail[1][1] ~= last_id then",
       "if false then", SCRIPT),
    _m("append-without-its-events", "I3", APPEND, "elseif events_type ~= 'none' or seq ~= '0' then",
       "elseif false then", SCRIPT),
    _m("append-back-in-time", "I4", APPEND, "local wanted = math.max(now, last_ms)",
       "local wanted = now", SCRIPT),
    _m("append-at-any-time", "I11", APPEND, "math.abs(tonumber(ms) - wanted) > skew", "false",
       SCRIPT),
    _m("append-cursor-back", "I4", APPEND, "or is_before(cursor, head[7])", "", SCRIPT),
    _m("append-keeps-cursor", "I4", APPEND, "'batch', batch,\n    'cursor', cursor)",
       "'batch', batch)", SCRIPT),
    _m("append-forgets-batch", "I4", APPEND, "last_id, 'batch', batch,", "last_id,", SCRIPT),
    _m("append-keeps-hash", "I4", APPEND, "'hash', hash_after,", "'hash', hash,", SCRIPT),
    _m("append-writes-before-counting", "I4", APPEND, "if at ~= #ARGV then", "if false then",
       SCRIPT),
    _m("claim-any-genesis", "I5", CLAIM, "if head[1] ~= ARGV[3] then", "if false then", SCRIPT),
    _m("claim-over-a-leader", "I5", CLAIM, "if leader and leader ~= ARGV[1] then", "if false then",
       SCRIPT),
    _m("claim-same-epoch", "I5", CLAIM, "redis.call('HINCRBY', KEYS[2], 'epoch', 1)", "head[2]",
       SCRIPT),
    _m("claim-lapsed-goes-on", "I5", CLAIM, "if leader and head[3] == ARGV[1] then",
       "if head[3] == ARGV[1] then", SCRIPT),
    # --- reader and chain ---
    _m("reader-any-genesis", "I3", READER, "head is None or head.genesis != position.genesis",
       "head is None", READING),
    _m("reader-head-back", "I4", READER, "if head.seq < position.seq or (", "if (", READING),
    _m("reader-other-end", "I3", READER, " or (head.seq == position.seq and head.h != position.h)",
       "", READING),
    _m("reader-stale-head", "I5", READER, "if head.epoch < position.epoch:", "if False:", READING),
    _m("reader-over-a-gap", "I4", READER, "record.seq != seq + 1 or", "record.seq < seq + 1 or", READING),
    _m("reader-old-epoch", "I5", READER, "record.seq != seq + 1 or record.epoch < epoch:", "record.seq != seq + 1:", READING),
    _m("reader-any-hash", "I3", READER, "if record.h != h.hex():", "if False:", READING),
    _m("chain-without-previous", "I3", WIRE, "blake2b(previous + octets,", "blake2b(octets,", ("tests/unit/log", "tests/property/test_damage.py")),
    # --- leader ---
    _m("leader-decides-on-a-regressed-log", "I1", WARM, "if self.position.seq >= self._seen.seq:",
       "if True:", SERVICE),
    _m("leader-another-history", "I1", WARM,
       "if position.seq == self._seen.seq and position.h != self._seen.h:", "if False:", SERVICE),
    _m("leader-head-elsewhere", "I5", LEADER, "if head.epoch != claimed.epoch:", "if False:",
       SERVICE),
    _m("leader-never-fenced-by-renewal", "I5", LEADER, "if not isinstance(claim, Claimed) or",
       "if isinstance(claim, Claimed) and", SERVICE),
    # --- decide ---
    _m("offer-a-bound-address", "I1", DECIDE, "if ip in ledger.bound or desk", "if desk", DOMAIN),
    _m("offer-an-offered-address", "I1", DECIDE,
       "if ip in ledger.bound or desk.is_offered_to_other(ip, mac, line):",
       "if ip in ledger.bound:", DOMAIN),
    _m("offer-out-of-quarantine", "I1", DECIDE, "    return removal is None or (",
       "    return True or removal is None or (", RULES),
    _m("last-holder-on-any-line", "I1", DECIDE,
       "(removal.binding.mac, removal.binding.line) == (mac, line)",
       "removal.binding.mac == mac", RULES),
    _m("declined-comes-back", "I7", DECIDE, " and removal.declined_s is None\n", "\n", RULES),
    _m("unknown-client-renews", "I11", DECIDE,
       "if command.kind != SELECTING and ledger.former_ip(mac, line) != ip:", "if False:", DOMAIN),
    _m("second-address", "I11", DECIDE, "        if binding.ip == ip:\n", "        if True:\n", DOMAIN),
    _m("anybody-releases", "I11", DECIDE,
       "return (binding.mac, binding.line) == (command.mac, command.line)", "return True", DOMAIN),
    _m("expiry-of-an-older-lease", "I7", DECIDE,
       "(binding.mac, binding.seq) == (command.mac, command.ref)", "binding.mac == command.mac",
       DOMAIN),
    _m("any-ack-will-do", "I7", DECIDE, "removal is None or removal.seq != command.ref or",
       "removal is None or", DOMAIN),
    _m("ack-again", "I7", DECIDE, " or removal.quarantine_s is not None:", ":", DOMAIN),
    _m("negative-remainder", "I7", DECIDE, "remaining_s = max(0, command.remaining_s)",
       "remaining_s = command.remaining_s", RULES),
    _m("former-life-forgotten", "I1", DECIDE, "remaining_s = max(remaining_s, former_s)", "pass",
       DOMAIN),
    _m("no-guard", "I7", DECIDE, "max(remaining_s + desk.timing.reuse_guard_s,", "max(remaining_s,",
       DOMAIN),
    _m("no-remainder", "I1", DECIDE, "max(remaining_s + desk.timing", "max(desk.timing", DOMAIN),
    _m("horizon-not-raised", "I6", DECIDE, "    desk.raise_horizon(now_ns)\n", "", RULES),
    _m("retired-life-served", "I1", DECIDE, "if command.incarnation in ledger.retired:", "if False:",
       DOMAIN),
    _m("another-edge-at-once", "I1", DECIDE,
       "if command.edge != life.edge and not desk.is_site_silent(now_ns):", "if False:", DOMAIN),
    _m("life-not-retired", "I1", DECIDE, "        desk.retire_life()\n", "", DOMAIN),
    _m("own-snapshot-confirmed", "I3", DECIDE, "if mark.taker == command.verifier:", "if False:",
       DOMAIN),
    _m("any-digest-confirmed", "I3", DECIDE, "if mark.digest != command.digest:", "if False:",
       DOMAIN),
    _m("declines-without-a-cap", "I12", DECIDE, "if ledger.resting.get(pool.pool, 0) >=",
       "if ledger.resting.get(pool.pool, 0) < 0 and 0 >=", DOMAIN),
    # --- desk ---
    _m("takeover-without-extension", "I6", DESK,
       "now_ns + (timing.horizon_s + timing.deposed_writer_s) * SECOND", "now_ns", DOMAIN),
    _m("takeover-without-deposed-writer", "I6", DESK,
       "(timing.horizon_s + timing.deposed_writer_s)", "(timing.horizon_s)", DOMAIN),
    _m("takeover-forgets-former-life", "I1", DESK,
       "self.horizon_ns if ledger.retired else now_ns", "now_ns", RULES),
    _m("takeover-forgets-quarantine", "I10", DESK,
       "                self._keep_apart(removal.binding.ip, removal.quarantine_s, now_ns)\n",
       "                pass\n", DOMAIN),
    _m("horizon-lowered", "I6", DESK,
       "max(self.horizon_ns, now_ns + self.timing.horizon_s * SECOND)",
       "now_ns + self.timing.horizon_s * SECOND // 2", DOMAIN),
    _m("quarantine-of-an-older-removal", "I7", DESK, "if removal and removal.seq == ref:",
       "if removal:", DOMAIN),
    _m("silent-without-guard", "I7", DESK, "+ self.timing.reuse_guard_s * SECOND", "", DOMAIN),
    _m("stale-offers-stay", "I10", DESK, "if oldest.until_ns > now_ns:", "if True:", DOMAIN),
    _m("offer-frees-a-removed-address", "I1", DESK,
       "if offer.ip != but and offer.ip not in self.ledger.removed:", "if offer.ip != but:",
       DOMAIN),
    # --- ledger ---
    _m("ledger-over-a-gap", "I4", LEDGER, "if seq != self.seq + 1:", "if False:", RULES),
    _m("ledger-old-epoch", "I5", LEDGER, "if epoch < self.epoch:", "if False:", RULES),
    _m("ledger-second-address", "I11", LEDGER, "        if self.binding_of(*key):", "        if False:",
       RULES),
    _m("ledger-ack-of-another-end", "I7", LEDGER, "removal is None or removal.seq != event.ref",
       "removal is None", RULES),
    _m("ledger-frees-what-was-not-removed", "I7", LEDGER,
       "        if removal is None:\n            raise LedgerError(\n"
       "                f\"event {seq} frees",
       "        if removal is None:\n            return\n            raise LedgerError(\n"
       "                f\"event {seq} frees", DOMAIN),
    _m("ledger-younger-than-he-is", "I7", LEDGER,
       "return self.held_since.get(binding.ip, binding.seq)", "return binding.seq", DOMAIN),
    _m("ledger-former-stays", "I11", LEDGER,
       "            del self.former[last.mac, last.line]", "            pass", DOMAIN),
)  # fmt: skip
