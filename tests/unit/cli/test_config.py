"""Configuration: every fault in one message, with path, value and remedy, and without secrets."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent.agent.config import EdgeConfig
from lease_core.cli.main import main
from lease_core.config import ConfigError, Settings, load, without_secret
from lease_core.service.config import AllocatorConfig

GOOD_EDGE = 'site = "ams01"\nedge = "bng1"\ninterfaces = ["access0"]\n'


def faults_of(tmp_path: Path, kind: type[Settings], text: str) -> list[str]:
    """The lines of the one message, first the summary."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, kind)
    return str(caught.value).splitlines()


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """Defaults fill in what is left out; values are kept as they stand."""
    path = tmp_path / "edge.toml"
    path.write_text(GOOD_EDGE + "heartbeat_s = 5.5\n")
    config = load(path, EdgeConfig)
    allocator = AllocatorConfig(replica_lag_max_s=3)

    assert (config.site, config.interfaces, config.heartbeat_s) == ("ams01", ("access0",), 5.5)
    assert config.max_subscribers == 1_000_000
    assert config.pins.name == "ams01"
    assert allocator.deposed_writer_s == 8
    assert AllocatorConfig().deposed_writer_s == 0


def test_all_faults_of_an_edge_come_together(tmp_path: Path) -> None:
    """Seven faults of every sort are told at once, each with its path, its value and a remedy."""
    summary, *faults = faults_of(
        tmp_path,
        EdgeConfig,
        'site = "AMS 01"\nredis = "http://x"\ninterfaces = ["a", "a"]\ndatapath = "magic"\n'
        "max_subscribers = 3\nheartbeat = 5\n",
    )
    told = "\n".join(faults)

    assert summary.endswith("7 fault(s)")
    assert len(faults) == 7
    for words in (
        "site = 'AMS 01': 'AMS 01' is no name; use 1-31 of a-z, 0-9 and '-'",
        "edge: required; add it",
        "redis = 'http://x': no address of a Redis; write it like redis://127.0.0.1:6379/0",
        "interfaces = ['a', 'a']: one is named twice; name each once",
        "datapath = 'magic': Input should be 'auto', 'xdp' or 'user'",
        "max_subscribers = 3: Input should be greater than or equal to 16",
        "heartbeat = 5: no such setting; remove it or correct its name",
    ):
        assert words in told


def test_all_faults_of_an_allocator_come_together(tmp_path: Path) -> None:
    """The same for the allocator's file."""
    summary, *faults = faults_of(
        tmp_path, AllocatorConfig, 'name = ""\nredis = ""\nreplica_lag_max_s = -1\nx = 1\n'
    )

    assert summary.endswith("4 fault(s)")
    assert [fault.split(" = ")[0].strip() for fault in faults] == [
        "redis", "name", "replica_lag_max_s", "x",
    ]  # fmt: skip


def test_settings_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    """Faults of several settings together are one sentence, without the whole file in it."""
    text = 'site="a"\nedge="b"\nredis="redis://x:hunter2@h"\n'
    twice = 'interfaces=["eth0"]\n[[port]]\ninterface="eth0"\n'

    assert faults_of(tmp_path, EdgeConfig, text + twice)[1:] == [
        "  an interface is named twice; name each once"
    ]
    assert faults_of(tmp_path, EdgeConfig, text)[1].startswith("  no interface; add")


def test_an_interface_is_told_by_its_place(tmp_path: Path) -> None:
    """Of several interfaces the wrong one is named."""
    _, fault = faults_of(
        tmp_path, EdgeConfig, 'site="a"\nedge="b"\ninterfaces=["eth0", "no interface"]\n'
    )

    assert fault.strip().startswith("interfaces.1 = 'no interface'")


def test_no_message_shows_a_password(tmp_path: Path) -> None:
    """A fault in an address is told without user and password."""
    text = "\n".join(
        faults_of(tmp_path, AllocatorConfig, 'redis = "http://anna:hunter2@host"\nname="X Y"\n')
    )

    assert "hunter2" not in text
    assert "anna" not in text
    assert without_secret("redis://:p@w@h:1/0 and redis://h") == "redis://***@h:1/0 and redis://h"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"site = ", "mend the TOML"), (b"\xff\xfe", "mend the TOML"), (None, "--config")],
)
def test_a_file_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Missing, not TOML, not text: said with the path and what to do."""
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        load(path, AllocatorConfig)

    assert str(path) in str(caught.value)


def test_the_allocator_command_tells_all_faults(tmp_path: Path) -> None:
    """`leasectl allocator` ends with 78 before it starts anything."""
    path = tmp_path / "allocator.toml"
    path.write_text('name = "A B"\nreplica_lag_max_s = 9999\n')
    result = CliRunner().invoke(main, ["allocator", "--config", str(path)])

    assert result.exit_code == 78
    assert "2 fault(s)" in result.stderr
