"""The whole service as it should be run: TLS with certificates, and a Redis user for each part."""

import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.clients import lease_and_release, udhcpc
from scripts.lab import BIN, CORE_IP, REDIS_PORT, Lab, Site, call, wait_until
from tests import certificates
from tests.faults.checker import check, events_of

pytestmark = pytest.mark.net

USERS = {"allocator": ("allocator",), "edge-ams01-bng1": ("edge", "ams01", "ams01-bng1"),
         "auditor": ("auditor",)}  # fmt: skip


@dataclass
class Secured:
    """A lab, and what nobody may ever see."""

    lab: Lab
    passwords: dict[str, str]

    def endpoint(self, user: str) -> str:
        """`[redis]` of a configuration file."""
        files = self.lab.directory
        return (
            f'[redis]\nurl = "rediss://{CORE_IP}:{REDIS_PORT}/0"\nusername = "{user}"\n'
            f'password_file = "{files}/{user}.password"\nca = "{files}/ca.crt"\n'
            f'cert = "{files}/client.crt"\nkey = "{files}/client.key"\n'
        )

    def add_site(self) -> Site:
        site = self.lab.add_site("ams01", "100.64.0.0/22")
        kept = [x for x in site.config.read_text().splitlines() if not x.startswith("redis =")]
        site.config.write_text("\n".join(kept) + "\n" + self.endpoint("edge-ams01-bng1"))
        return site


@pytest.fixture
def secured(bare_lab: Lab) -> Secured:
    lab = bare_lab
    if not certificates.is_possible():
        pytest.skip("openssl is not installed")
    files = lab.directory
    certificates.make(files, "server", "client", address=CORE_IP)
    made = Secured(lab, {user: secrets.token_hex(16) for user in USERS})
    lines = []
    for user, words in USERS.items():
        password = files / f"{user}.password"
        password.write_text(made.passwords[user])
        password.chmod(0o400)
        lines += call(BIN / "leasectl", "acl", *words, "--password-file", password).splitlines()
        (files / f"{user}.toml").write_text(made.endpoint(user))
    (files / "users.acl").write_text("\n".join(lines) + "\n")
    tls = ("--tls", "--cacert", files / "ca.crt", "--cert", files / "client.crt", "--key",
           files / "client.key")  # fmt: skip
    lab.cli_options = (*tls, "--no-auth-warning", "--user", "auditor", "--pass",
                       made.passwords["auditor"])  # fmt: skip
    lab.url = str(files / "allocator.toml")
    lab.start_redis(
        port=0, tls_port=REDIS_PORT, aclfile=files / "users.acl", tls_ca_cert_file=files / "ca.crt",
        tls_cert_file=files / "server.crt", tls_key_file=files / "server.key",
    )  # fmt: skip
    return made


def test_everything_works_with_least_rights(secured: Secured) -> None:
    """Planning, leases, releases, snapshots' readers and verification need no more than their
    users may; nothing was refused on the way; no secret is in an argument or a line."""
    lab = secured.lab
    allocator = lab.start_allocator()
    site = secured.add_site()
    edge = lab.start_edge(site)
    assert udhcpc(lab, lab.add_home(site, "home-1"))
    assert lease_and_release(lab, lab.add_home(site, "home-2"))
    wait_until(lambda: any(e["type"] == "RemovalAcked" for e in events_of(lab, site)), "the ack")
    auditor = lab.directory / "auditor.toml"
    lab.leasectl("verify", "ams01", "--redis", auditor, "--read-only")
    lab.leasectl("lease", "list", "ams01", "--redis", auditor)
    site.router.run(BIN / "edgectl", "verify", "--config", site.config)

    assert check(lab, site) > 0
    assert "digest" in lab.redis_cli("HGETALL", "lease:{ams01}:edge:ams01-bng1"), "its report"
    assert "NOPERM" in lab.redis_cli("FLUSHALL")
    shown = "".join(path.read_text() for path in lab.directory.glob("*.log"))
    shown += "".join(
        Path(f"/proc/{process.pid}/{what}").read_text()
        for process in (allocator, edge)
        for what in ("cmdline", "environ")
    )
    assert "NOPERM" not in shown
    assert "NoPermission" not in shown
    assert not [user for user, password in secured.passwords.items() if password in shown]


def test_nobody_comes_in_without_name_and_certificate(secured: Secured) -> None:
    """Plain TCP, TLS without a certificate, and TLS without a user are all refused."""
    lab = secured.lab
    base = ("redis-cli", "-h", CORE_IP, "-p", REDIS_PORT)
    ca = ("--tls", "--cacert", lab.directory / "ca.crt")
    own = ("--cert", lab.directory / "client.crt", "--key", lab.directory / "client.key")
    for options in ((), ca, (*ca, *own)):
        answer = lab.core.run(*base, *options, "HGETALL", "lease:{plan}:head", check=False)
        assert "genesis" not in answer, options
