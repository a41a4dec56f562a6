"""``strapwatch alerts`` as a user runs it: what it prints, and its exit codes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.cli.server import opened
from monitor.contract import Alarm
from monitor.embedded import GuardedServer
from monitor.errors import ServerError
from monitor.sinks import known_alarms, open_redis
from tests.monitor.dashboard_team import TEAM, Team

COMMAND = [sys.executable, "-m", "monitor.cli", "alerts"]
ENVIRONMENT = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT
    )


def _with_team(url: str, work: Callable[[Team], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        client = open_redis(url)
        try:
            return await work(Team(client, 3))
        finally:
            await client.aclose()

    return asyncio.run(run())


@pytest.fixture
def alarms(redis_server: GuardedServer) -> list[str]:
    """Two active alarms: an asystole and a strap that has lost the skin."""

    async def raise_them(team: Team) -> list[str]:
        found = [await team.alarm("a01", "asystole"), await team.alarm("a02", "lead_off")]
        await team.write()
        return found

    found: list[str] = _with_team(redis_server.url, raise_them)
    return found


def test_the_list_says_all_a_receiver_needs(redis_server: GuardedServer, alarms: list[str]) -> None:
    """Athlete, priority, what, what to do, state and ID of every alarm, as a table and as JSON alone."""
    shown = _run("--redis", redis_server.url)
    assert shown.returncode == 0, shown.stderr
    for words in (*alarms, "a01", "high", "Asystole", "STOP and CALL", "active", "CHECK STRAP"):
        assert words in shown.stdout
    told = _run("--redis", redis_server.url, "--json")
    objects = [json.loads(line) for line in told.stdout.splitlines()]
    assert [o["identity"] for o in objects] == alarms
    assert {o["state"] for o in objects} == {"active"}
    assert objects[0]["action"].startswith("STOP and CALL")


def test_names_come_from_the_readers_roster(
    redis_server: GuardedServer, alarms: list[str], tmp_path: Path
) -> None:
    """With a roster the list names who it is; Redis holds no name."""
    roster = tmp_path / "roster.csv"
    roster.write_text(f"team,athlete,name,bib\n{TEAM},a01,Anna Berg,7\n")
    shown = _run("--redis", redis_server.url, "--roster", str(roster)).stdout
    assert "7 Anna Berg" in shown
    assert "a02" in shown
    told = _run("--redis", redis_server.url, "--json", "--roster", str(roster)).stdout.splitlines()
    assert [json.loads(line)["name"] for line in told] == ["7 Anna Berg", "a02"]
    assert [json.loads(line)["identity"] for line in told] == alarms
    assert "name" not in json.loads(_run("--redis", redis_server.url, "--json").stdout.splitlines()[0])
    assert redis_server._directory is None or not any(
        b"Anna Berg" in file.read_bytes() for file in redis_server._directory.rglob("*") if file.is_file()
    )


def test_count_limits_what_is_over_never_what_is_active(
    redis_server: GuardedServer, alarms: list[str]
) -> None:
    """With --count 0 only active alarms are left; those of another team are not listed."""

    async def end_one(team: Team) -> None:
        await team.transition("a02", "lead_off", 2000, "cleared")

    _with_team(redis_server.url, end_one)
    everything = _run("--redis", redis_server.url, "--json").stdout.splitlines()
    active = _run("--redis", redis_server.url, "--json", "--count", "0").stdout.splitlines()
    assert len(everything) == 2
    assert [json.loads(line)["identity"] for line in active] == alarms[:1]
    other = _run("--redis", redis_server.url, "--json", "--team", "hawks")
    assert (other.returncode, other.stdout) == (0, "")


def test_acknowledging_ends_with_the_transition_in_the_stream(
    redis_server: GuardedServer, alarms: list[str]
) -> None:
    """The Stream holds who acknowledged; a second time adds nothing and is no mistake."""
    first = _run("acknowledge", alarms[0], "--by", "Dr. Meyer", "--redis", redis_server.url)
    assert first.returncode == 0, first.stderr
    assert "Dr. Meyer" in first.stdout
    again = _run("--redis", redis_server.url, "acknowledge", alarms[0])
    assert again.returncode == 0, again.stderr

    async def read(team: Team) -> list[Alarm]:
        return await known_alarms(team.client, TEAM)

    found = [a for a in _with_team(redis_server.url, read) if a.transition == "acknowledged"]
    assert [(a.identity, a.by) for a in found] == [(alarms[0], "Dr. Meyer")]
    listed = _run("--redis", redis_server.url).stdout
    assert "acknowledged by Dr. Meyer" in " ".join(listed.split())


@pytest.mark.parametrize("unknown", ["falcons.a01.1.asystole.999999", "nonsense"])
def test_an_unknown_alarm_names_those_that_are_active(
    redis_server: GuardedServer, alarms: list[str], unknown: str
) -> None:
    """Exit 1 and one line with the value and the active alarms."""
    answer = _run("acknowledge", unknown, "--redis", redis_server.url)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert unknown in answer.stderr
    assert all(identity in answer.stderr for identity in alarms)


def test_an_id_that_is_none_is_said_to_be(redis_server: GuardedServer, alarms: list[str]) -> None:
    """How an ID is made up and where to find one, as with the other commands, and some that are active."""
    answer = _run("acknowledge", "foo", "--redis", redis_server.url)
    assert answer.returncode == 1
    assert (
        "team.athlete.strap.boot.kind.episode, as `strapwatch alerts` prints it in the last column"
        in answer.stderr
    )
    assert answer.stderr.count("foo") == 1
    assert all(identity in answer.stderr for identity in alarms)


@pytest.mark.usefixtures("alarms")
def test_a_mistyped_team_is_no_good_news(redis_server: GuardedServer) -> None:
    """What was asked of a team never seen ends with 1 and names those that were; JSON stays empty and says so."""
    said = f"team 'falcon' is not known; did you mean {TEAM}? teams seen: {TEAM}"
    for words in (
        ("--team", "falcon"),
        ("audit", "falcon"),
        ("pause", "falcon"),
        ("--json", "--team", "falcon"),
    ):
        answer = _run("--redis", redis_server.url, *words)
        assert (answer.returncode, answer.stdout) == (int("--json" not in words), ""), words
        assert said in answer.stderr, words
    quiet = _run("audit", TEAM, "--redis", redis_server.url)
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert f"nothing yet for team {TEAM}" in quiet.stderr


async def test_a_server_that_refuses_us_is_not_away(redis_server: GuardedServer) -> None:
    """A password that is missing or wrong, and a database that is not there, are told apart from a server that is."""
    url = redis_server.url
    behind = url.partition("://")[2]
    client: Any = open_redis(url)
    with pytest.raises(ServerError, match=r"has no database 99$"):
        await _open(f"{url}/99")
    await client.config_set("requirepass", "sesame")
    for keep_trying in (False, True):
        with pytest.raises(
            ServerError, match=r"wants a password: redis://:PASSWORD@host:port, with --redis or in"
        ):
            await _open(url, keep_trying=keep_trying)
    with pytest.raises(ServerError, match=r"does not take this user or password"):
        await _open(f"redis://:wrong@{behind}")
    await _open(f"redis://:sesame@{behind}")
    # The test's own server is stopped without one.
    await client.config_set("requirepass", "")
    await client.aclose()


async def _open(url: str, *, keep_trying: bool = False) -> None:
    async with opened(url, keep_trying=keep_trying):
        pass


def test_mistakes_end_in_one_line() -> None:
    """A server that is away is exit 1, a wrong address or name exit 2: one line, no traceback, no password."""
    away = _run("--redis", "redis://:secret@127.0.0.1:9")
    assert away.returncode == 1
    assert "127.0.0.1:9 cannot be reached" in away.stderr
    wrong = _run("--redis", "http://:secret@nowhere")
    assert wrong.returncode == 2
    nameless = _run("acknowledge", "a.b.1.pause.2", "--by", "\n", "--redis", "redis://127.0.0.1:9")
    assert nameless.returncode == 2
    for answer in (away, wrong, nameless):
        assert len(answer.stderr.splitlines()) == 1
        assert "secret" not in answer.stderr
        assert answer.stdout == ""


@pytest.fixture
def following(redis_server: GuardedServer, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """``alerts --follow --json``, writing into a file."""
    out = tmp_path / "out.jsonl"
    with out.open("w") as stdout:
        process = subprocess.Popen(
            [*COMMAND, "--redis", redis_server.url, "--follow", "--json"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process, out
    finally:
        process.kill()
        process.communicate()


def _lines(path: Path, number: int, within_s: float = 20.0) -> list[dict[str, Any]]:
    end = time.monotonic() + within_s
    while len(lines := path.read_text().splitlines()) < number:
        assert time.monotonic() < end, f"only {len(lines)} lines of {number}"
        time.sleep(0.05)
    return [json.loads(line) for line in lines]


def test_follow_tells_every_transition_and_ends_with_ctrl_c(
    redis_server: GuardedServer, alarms: list[str], following: tuple["subprocess.Popen[str]", Path]
) -> None:
    """First what is there, then what comes, also after the server was away; Ctrl-C is exit 130 within 2 s."""
    process, out = following
    assert [o["identity"] for o in _lines(out, 2)] == alarms

    async def more(team: Team) -> None:
        await team.transition("a01", "asystole", 1000, "acknowledged", by="Dr. M")
        await team.transition("a01", "asystole", 1000, "cleared")

    _with_team(redis_server.url, more)
    told = _lines(out, 4)[2:]
    assert [(o["transition"], o["acknowledged_by"], o["active"]) for o in told] == [
        ("acknowledged", "Dr. M", True),
        ("cleared", "Dr. M", False),
    ]
    redis_server.stop()
    time.sleep(0.5)
    redis_server.start()

    async def afterwards(team: Team) -> None:
        team._episode = 50_000
        await team.alarm("a03", "tachycardia")

    _with_team(redis_server.url, afterwards)
    assert _lines(out, 5)[4]["kind"] == "tachycardia"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert time.monotonic() - begun < 2
    assert "Traceback" not in stderr


def test_a_reader_who_leaves_while_following_is_no_failure(
    redis_server: GuardedServer, alarms: list[str]
) -> None:
    """`strapwatch alerts --follow | head` ends quietly with the next transition."""
    with subprocess.Popen(
        [*COMMAND, "--redis", redis_server.url, "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        while alarms[-1] not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        _with_team(redis_server.url, lambda team: team.transition("a01", "asystole", 1000, "cleared"))
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(20.0) == 0


def test_help_shows_an_example() -> None:
    """Help is quick, complete, and shows how it is used."""
    for arguments in (["--help"], ["acknowledge", "--help"]):
        answer = _run(*arguments)
        assert answer.returncode == 0
        assert "Example" in answer.stdout


def test_the_dashboard_wants_a_terminal() -> None:
    """Without a terminal the dashboard says what does without one: exit 2, one line."""
    answer = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "dashboard"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert answer.returncode == 2
    assert "alerts --follow" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_the_dashboard_wants_to_draw_on_a_terminal() -> None:
    """It draws on standard error: with that elsewhere there would be nothing to see."""
    controller, terminal = os.openpty()
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "monitor.cli", "dashboard"],
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(controller)
    assert answer.returncode == 2
    assert "standard error too" in answer.stderr
