"""Processes that die or stop at bad moments, in a real lab; each test names what it attacks."""

import json
import signal
import subprocess

import pytest

from scripts.clients import Resident, udhcpc
from scripts.exchange import watch
from scripts.lab import BIN, Lab, Site, wait_until
from tests.faults.checker import events_of

pytestmark = pytest.mark.net


def status(site: Site) -> dict[str, object]:
    words = (BIN / "edgectl", "status", "--config", site.config, "--json")
    found: dict[str, object] = json.loads(site.router.run(*words))
    return found


def applied_seqs(lab: Lab, site: Site) -> list[int]:
    lines = lab.log_of(f"edge-{site.name}")
    return [int(x["event_id"].split("-")[1]) for x in lines if x.get("stage") == "applied"]


def kill(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    lab.stop(process, signal.SIGKILL)


def test_kernel_renews_while_the_agent_is_dead(lab: Lab, site: Site) -> None:
    """I4: without its agent the kernel goes on; the next agent resumes behind the cursor."""
    lab.start_allocator()
    edge = lab.start_edge(site)
    resident = Resident(lab, lab.add_home(site, "home-1"))
    before = status(site)
    kill(lab, edge)
    answers = watch(lab, resident.home, resident.is_renewed)
    applied = len(applied_seqs(lab, site))
    lab.start_edge(site)
    newcomer = udhcpc(lab, lab.add_home(site, "home-2"))
    after = status(site)

    assert [(a.reply, a.by) for a in answers] == [("ACK", "kernel")]
    assert newcomer
    assert after["incarnation"] == before["incarnation"]
    assert applied_seqs(lab, site)[applied:] == list(
        range(int(before["cursor"].split("-")[1]) + 1, int(after["cursor"].split("-")[1]) + 1)
    ), "each event is applied once, in order"


def test_what_ended_while_the_agent_was_dead_is_ended_after(lab: Lab, site: Site) -> None:
    """I7: a revoke during the agent's absence is acknowledged with what the kernel promised."""
    lab.start_allocator()
    edge = lab.start_edge(site)
    resident = Resident(lab, lab.add_home(site, "home-1"))
    kill(lab, edge)
    lab.leasectl("lease", "revoke", site.name, resident.address)
    wait_until(lambda: any(e["type"] == "LeaseRevoked" for e in events_of(lab, site)), "the revoke")
    assert resident.is_renewed(), "the kernel cannot know yet"
    lab.stop(resident.process, signal.SIGKILL)  # or it asks for its address before the agent acks
    lab.start_edge(site)
    wait_until(lambda: any(e["type"] == "RemovalAcked" for e in events_of(lab, site)), "the ack")
    [acked] = [e for e in events_of(lab, site) if e["type"] == "RemovalAcked"]

    assert acked["remaining_s"] > 3500, "the last renewal's promise is in the remainder"
    assert acked["quarantine_s"] == acked["remaining_s"] + 120


def _writers(lab: Lab, site: Site) -> dict[object, object]:
    """Who wrote in which epoch, as the events say that say it."""
    told = [(event["ep"], event["by"]) for event in events_of(lab, site) if "by" in event]
    assert len(dict(told)) == len(set(told)), "two wrote in one epoch"
    return dict(told)


def test_a_second_allocator_takes_over(lab: Lab, site: Site) -> None:
    """I5: when the leader dies a standby leads, in an epoch of its own."""
    leader = lab.start_allocator("allocator-1")
    lab.start_edge(site)
    first = udhcpc(lab, lab.add_home(site, "home-1"))
    lab.start_allocator("allocator-2")
    kill(lab, leader)
    wait_until(lambda: "allocator-2" in _writers(lab, site).values(), "the second one's epoch")
    second = udhcpc(lab, lab.add_home(site, "home-2"))

    assert len({first, second, None}) == 3
    assert list(_writers(lab, site).values()) == ["allocator-1", "allocator-2"]


def test_nothing_acked_is_lost_with_redis(lab: Lab, site: Site) -> None:
    """I2: after kill -9 of Redis every lease that a client was told is still in the log."""
    lab.start_allocator()
    lab.start_edge(site)
    told = {udhcpc(lab, lab.add_home(site, f"home-{n}")) for n in range(4)}
    kill(lab, lab.redis)
    lab.start_redis()
    newcomer = lab.add_home(site, "home-late")
    wait_until(lambda: udhcpc(lab, newcomer) is not None, "service for a new client", 30)
    assigned = {e["ip"] for e in events_of(lab, site) if e["type"] == "LeaseAssigned"}

    assert None not in told
    assert told <= assigned


def test_redis_flushed_is_a_foreign_log(lab: Lab) -> None:
    """I9: after FLUSHALL nobody starts over: known clients are renewed, new ones are not served."""
    site = lab.add_site("ams01", "100.64.0.0/22")
    lab.start_allocator()
    lab.start_edge(site)
    resident = Resident(lab, lab.add_home(site, "home-1"))
    lab.redis_cli("FLUSHALL")
    wait_until(
        lambda: any(
            x["event"] == "follower.state" and x["state"] == "foreign"
            for x in lab.log_of(f"edge-{site.name}")
        ),
        "the edge to notice",
    )
    answers = watch(lab, resident.home, resident.is_renewed)
    newcomer = udhcpc(lab, lab.add_home(site, "home-2"))

    assert [(a.reply, a.by) for a in answers] == [("ACK", "kernel")]
    assert newcomer is None
    assert lab.redis_cli("EXISTS", f"lease:{{{site.name}}}:events").strip() == "0"
