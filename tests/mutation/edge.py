# ruff: noqa: E501 - a mutant quotes lines of the product
"""Mutants of the edge: horizon, projection, removals, the judgement and its twin in the kernel."""

from tests.mutation.mutant import Mutant

HORIZON = "edge_agent/sync/horizon.py"
PROJECTION = "edge_agent/sync/projection.py"
REMOVALS = "edge_agent/sync/removals.py"
FOLLOWER = "edge_agent/sync/follower.py"
EDGE = "edge_agent/agent/edge.py"
DUTIES = "edge_agent/agent/duties.py"
FASTPATH = "edge_agent/dhcp/fastpath.py"
BINDING = "bpf/binding.h"
PARSE = "bpf/parse.h"
RELAY = "bpf/relay.h"
MAIN = "bpf/dhcp_fastpath.c"

SYNC = ("tests/unit/sync", "tests/unit/agent")
JUDGE = ("tests/unit/dhcp",)
KERNEL = ("tests/kernel/test_verdicts.py", "tests/kernel/test_replies.py",
          "tests/kernel/test_access.py")  # fmt: skip


def _m(name: str, attacks: str, path: str, find: str, put: str, tests: tuple[str, ...]) -> Mutant:
    return Mutant(name, attacks, path, find, put, tests)


MUTANTS = (
    # --- horizon ---
    _m("horizon-without-rho", "I6", HORIZON, "SECOND_NS * (1 - RATE_ERROR))", "SECOND_NS)", SYNC),
    _m("horizon-of-any-nonce", "I6", HORIZON,
       "        if sent_ns is None:\n            return False\n",
       "        if sent_ns is None:\n            sent_ns = self._end_elapsed_ns\n", SYNC),
    _m("horizon-lowered-by-a-grant", "I13", HORIZON,
       "max(self._end_elapsed_ns, sent_ns + usable_ns)", "sent_ns + usable_ns", SYNC),
    _m("horizon-stretched-by-slewing", "I6", HORIZON,
       "max(0, touched_elapsed_ns + end_boot_ns - touched_boot_ns)", "end_boot_ns", SYNC),
    _m("horizon-kept-by-another-life", "I1", HORIZON,
       "end_ns, self._end_elapsed_ns = self._end_elapsed_ns, 0", "end_ns = self._end_elapsed_ns",
       SYNC),
    _m("horizon-grants-under-way-kept", "I1", HORIZON,
       "        self._sent.clear()\n        return end_ns", "        return end_ns",
       ("tests/unit/sync/test_horizon.py",)),
    # --- follower, edge ---
    _m("follower-regressed-goes-on", "I4", FOLLOWER, "                return False\n"
       "        self._behind_at", "                return True\n        self._behind_at", SYNC),
    _m("follower-blind-to-a-cut-tail", "I4", FOLLOWER, "if self._behind_at == self.position:",
       "if False:", SYNC),
    _m("follower-skips-the-contradiction", "I4", FOLLOWER,
       "                self.position = error.position\n", "", SYNC),
    _m("edge-cursor-before-tables", "I4", EDGE,
       "        self._state = replace(self._state, cursor_hi=end.seq)\n",
       "        self._state = replace(self._state, cursor_lo=end.seq, cursor_hi=end.seq)\n", SYNC),
    _m("edge-other-interfaces", "I8", EDGE,
       "any(self._state.genesis) and self._state.lines != self._lines", "False", SYNC),
    _m("edge-gate-stays-open", "I9", EDGE, "gate=state.gate and is_whole", "gate=state.gate", SYNC),
    _m("edge-heeds-no-other-life", "I1", EDGE, "            self.horizon.forfeit()\n", "", SYNC),
    # --- projection, removals, duties ---
    _m("projection-older-end", "I4", PROJECTION,
       "if found and found[1].ip == event.ip and found[1].seq < seq:",
       "if found and found[1].ip == event.ip:", SYNC),
    _m("projection-ends-another-address", "I4", PROJECTION,
       "if found and found[1].ip == event.ip and found[1].seq < seq:",
       "if found and found[1].seq < seq:", SYNC),
    _m("projection-assigns-what-ended", "I2", PROJECTION,
       "if owed and owed.ref > seq:  # applied again, and ended since", "if False:", SYNC),
    _m("projection-without-promise", "I1", PROJECTION,
       "            self.datapath.raise_promise(slot, promised_ns)\n",
       "            pass\n", SYNC),
    _m("projection-promise-left-behind", "I1", PROJECTION,
       "            self.carry_promise(older.slot, assignment.slot)\n", "", SYNC),
    _m("projection-remainder-rounded-down", "I7", PROJECTION,
       "return max(0, -((now_boot_ns - self.datapath.promise(removal.slot)) // SECOND_NS))",
       "return max(0, (self.datapath.promise(removal.slot) - now_boot_ns) // SECOND_NS)", SYNC),
    _m("removals-settled-too-early", "I7", REMOVALS, "if removal is None or removal.ref > up_to:",
       "if removal is None:", SYNC),
    _m("removals-of-two-the-older", "I7", REMOVALS, "self._owed[removal.ip] = newer\n"
       "                datapath.remove(older.key)", "self._owed[removal.ip] = older\n"
       "                datapath.remove(newer.key)", SYNC),
    _m("duties-before-horizon", "I1", DUTIES,
       "return is_known and now.elapsed_ns", "return now.elapsed_ns", SYNC),
    _m("duties-ack-what-changed", "I7", DUTIES,
       "if self._projection.removals.of(removal.ip) != removal:", "if False:", SYNC),
    _m("duties-expiry-without-promise", "I1", DUTIES,
       "return np.where(ends, ends, unknown)", "return ends", SYNC),
    # --- the judgement in Python ---
    _m("twin-beyond-horizon", "I6", FASTPATH,
       "grant = min(lease_time_s, (horizon_boot_ns - now_boot_ns) // _SECOND_NS)",
       "grant = lease_time_s", JUDGE),
    _m("twin-short-grants", "I6", FASTPATH, "return grant if grant >= MIN_GRANT_S else 0",
       "return max(grant, 0)", JUDGE),
    _m("twin-ack-without-promise", "I2", FASTPATH,
       "if not tables.raise_promise(binding.assignment.slot, now_boot_ns + grant * _SECOND_NS):",
       "if False:", JUDGE),
    _m("twin-dead-agent", "I9", FASTPATH,
       "if now_boot_ns - state.touched_boot_ns > DEAD_MAN_NS:", "if False:", JUDGE),
    _m("twin-gate", "I9", FASTPATH, "    if not state.gate:", "    if False:", JUDGE),
    _m("twin-abi", "I9", FASTPATH, "    if not state.abi_ok:", "    if False:", JUDGE),
    _m("twin-check-word", "I1", FASTPATH, "    if not assignment.check_ok:", "    if False:", JUDGE),
    _m("twin-any-line", "I8", FASTPATH, " or assignment.line != line:", ":", JUDGE),
    _m("twin-any-address", "I2", FASTPATH,
       "        or claimed_ip(message) != binding.assignment.ip\n", "", JUDGE),
    _m("twin-other-server", "I9", FASTPATH,
       "if message.options.server_id not in (None, server_id):", "if False:", JUDGE),
    _m("twin-stale-nak", "I9", FASTPATH,
       "and min(state.current_until_boot_ns, state.horizon_boot_ns) > now_boot_ns",
       "and state.horizon_boot_ns > now_boot_ns", JUDGE),
    _m("edge-nak-in-recovery", "I9", EDGE,
       "self.following is Following.LIVE and not self._state.recovering",
       "self.following is Following.LIVE", ("tests/unit/agent/test_story.py",)),
    # --- the judgement in the kernel ---
    _m("kernel-beyond-horizon", "I6", BINDING,
       "	lease_s = (horizon_boot_ns - now_boot_ns) / NS_PER_S;\n",
       "	lease_s = grant->pool->lease_time_s;\n", KERNEL),
    _m("kernel-short-grants", "I6", BINDING, "if (lease_s < DHCP_MIN_GRANT_S)", "if (!lease_s)",
       KERNEL),
    _m("kernel-horizon-over", "I6", BINDING, "if (horizon_boot_ns <= now_boot_ns)",
       "if (!horizon_boot_ns)", KERNEL),
    _m("kernel-promise-not-raised", "I2", BINDING,
       "return __sync_val_compare_and_swap(&promise->kernel_boot_ns, before,\n"
       "					   grant->end_boot_ns) == before;",
       "return true;", KERNEL),
    _m("kernel-promise-lowered", "I1", BINDING, "	if (before >= grant->end_boot_ns)\n"
       "		return true;\n", "", KERNEL),
    _m("kernel-ack-before-promise", "I2", MAIN,
       "if (READ_ONCE(notes->reply) == DHCP_ack && !raise_promise(&grant))", "if (0)", KERNEL),
    _m("kernel-dead-agent", "I9", BINDING,
       "now_boot_ns - touched_boot_ns > DHCP_DEAD_MAN_NS", "0", KERNEL),
    _m("kernel-gate", "I9", BINDING, "if (READ_ONCE(site->gate) != 1)", "if (0)", KERNEL),
    _m("kernel-abi", "I9", BINDING, "if (!site || READ_ONCE(site->abi_magic) != DHCP_ABI_MAGIC)",
       "if (!site)", KERNEL),
    _m("kernel-check-word", "I1", BINDING,
       "if (copy->check != dhcp_check_word(asker->key, copy))", "if (0)", KERNEL),
    _m("kernel-any-interface", "I8", BINDING, " || copy->ifindex != asker->ifindex)", ")", KERNEL),
    _m("kernel-any-vlan", "I8", BINDING,
       "return copy->s_vlan == place->s_vlan && copy->c_vlan == place->c_vlan;", "return copy->s_vlan == copy->s_vlan + 0 * place->s_vlan;",
       KERNEL),
    _m("kernel-any-circuit", "I8", BINDING, "return !difference;", "return difference + 1 != 0;", KERNEL),
    _m("kernel-other-server", "I9", BINDING,
       "if (notes->times[SLOT_SERVER_ID] && notes->server_be != server_be)", "if (0)", KERNEL),
    _m("kernel-stale-nak", "I9", BINDING,
       "	       horizon->current_until_boot_ns > horizon->now_boot_ns &&\n", "", KERNEL),
    _m("kernel-requested-address", "I2", BINDING,
       "if (frame->bootp->ciaddr || notes->requested_be != bound_be)", "if (frame->bootp->ciaddr)",
       KERNEL),
    _m("kernel-renewed-address", "I2", BINDING,
       "if (notes->times[SLOT_SERVER_ID] || frame->bootp->ciaddr != bound_be)",
       "if (notes->times[SLOT_SERVER_ID])", KERNEL),
    _m("kernel-fragments", "I9", PARSE,
       "if (frame->ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))", "if (0)",
       KERNEL),
    _m("kernel-udp-length", "I9", PARSE,
       "if (bpf_ntohs(frame->udp->len) != total - IP_HEADER_LEN)", "if (0)", KERNEL),
    _m("kernel-source-mac", "I8", PARSE,
       "(sender == client || (has_relays && is_station(sender)))", "(sender == client || is_station(sender) || has_relays)", KERNEL),
    _m("kernel-any-relay", "I8", RELAY, "(giaddr ? is_allowed(port, giaddr) :", "(giaddr ? is_allowed(port, giaddr) || giaddr :", KERNEL),
    _m("kernel-any-mark", "I8", RELAY,
       "(speaker != DHCP_ACCESS_NODE && notes->times[SLOT_RELAY_AGENT])", "0", KERNEL),
)  # fmt: skip
