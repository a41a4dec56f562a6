"""compose.yaml as far as it can be tried without an engine: its structure, and its very files and commands.

The configuration files are those that are shipped; only their paths, which are a container's, and their ports are
replaced.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiomqtt
import msgspec
import pytest
import redis
import yaml

from monitor.embedded import GuardedServer
from monitor.embedded.servers import installed
from monitor.errors import ServerError
from monitor.health import unhealthy_because
from monitor.live_state import MonitorState, beats_key, monitor_key
from monitor.settings import Settings
from tests.monitor.processes import Running, environment, run

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
PASSWORDS: Final = {
    name: f"{name.lower()}-7f"
    for name in ("MONITOR_PASSWORD", "SCORER_PASSWORD", "SIMULATOR_PASSWORD", "VALKEY_PASSWORD")
}


def _compose(name: str = "compose.yaml") -> dict[str, Any]:
    document = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


SERVICES: Final[dict[str, dict[str, Any]]] = _compose()["services"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _credentials(folder: Path, *arguments: str, **passwords: str) -> "subprocess.CompletedProcess[str]":
    """Run the shipped script as the one-shot service does."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed")
    return subprocess.run(
        ["sh", str(DEPLOY / "mosquitto" / "credentials"), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "AUTH_DIR": str(folder / "auth"),
            "CONFIG_DIR": str(DEPLOY / "mosquitto"),
            **passwords,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


class _Broker(GuardedServer):
    """Debian's Mosquitto with the shipped configuration."""

    def __init__(self, folder: Path, *, tls: Path | None = None) -> None:
        self.health_port = _free_port()
        self.tls_port = _free_port()
        site = folder / "conf.d"
        site.mkdir(exist_ok=True)
        # As root it would become a user who may not read a test's files.
        (site / "site.conf").write_text("user root\n" if os.geteuid() == 0 else "# nothing\n")
        if tls is not None:
            text = (DEPLOY / "mosquitto" / "tls" / "tls.conf").read_text()
            text = self._moved(text.replace("listener 8883", f"listener {self.tls_port} 127.0.0.1"), folder)
            (site / "tls.conf").write_text(text.replace("/mosquitto/certs", str(tls)))
        config = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        config = config.replace("listener 1883", "listener {port} 127.0.0.1")
        config = self._moved(config.replace("listener 1880", f"listener {self.health_port}"), folder)
        command = [installed("mosquitto"), "-c", "{directory}/mosquitto.conf"]
        request = {"server": "mosquitto", "command": command, "files": {"mosquitto.conf": config}}
        super().__init__(request=request, name="Mosquitto", scheme="mqtt", directory=folder)

    @staticmethod
    def _moved(text: str, folder: Path) -> str:
        places = {
            "/mosquitto/data": str(folder),
            "/mosquitto/config": str(DEPLOY / "mosquitto"),
            "/mosquitto/conf.d": str(folder / "conf.d"),
        }
        for place, path in places.items():
            text = text.replace(place, path)
        return text


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[_Broker]:
    """Return the broker with its roles and one strap, red/anna, whose password is in ``auth/anna``."""
    folder = tmp_path / "broker"
    folder.mkdir()
    assert _credentials(folder, "roles", **PASSWORDS).returncode == 0
    made = _credentials(folder, "strap", "red", "anna")
    (folder / "anna").write_text(made.stdout.split()[-1])
    try:
        server = _Broker(folder, tls=_certificates(folder))
    except ServerError as error:
        pytest.skip(str(error))
    with server:
        yield server


def _certificates(folder: Path) -> Path | None:
    if shutil.which("openssl") is None:
        return None
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return folder


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[GuardedServer]:
    """Return Debian's Redis with the shipped configuration and command."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    shell, option, command = SERVICES["valkey"]["command"]
    command = command.replace("$$", "$").replace("/etc/valkey", "{directory}")
    config = (DEPLOY / "valkey" / "valkey.conf").read_text().replace("dir /data", "dir {directory}")
    try:
        command = command.replace("valkey-server", installed("redis-server"))
    except ServerError as error:
        pytest.skip(str(error))
    assert "$VALKEY_PASSWORD" in command
    command = command.replace("$VALKEY_PASSWORD", PASSWORDS["VALKEY_PASSWORD"])
    here = f"{command} --bind 127.0.0.1 --port {{port}}"
    # Ready when it listens: it does not answer whoever has not said the password.
    request = {
        "server": "mosquitto",
        "command": [shell, option, here],
        "files": {"valkey.conf": config},
    }
    with GuardedServer(request=request, name="Redis", scheme="redis", directory=folder) as server:
        yield server


def _client(broker: _Broker, user: str | None, password: str | None, **options: Any) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1", options.pop("port", broker.port), username=user, password=password, **options
    )


def _anna(tmp_path: Path) -> str:
    return (tmp_path / "broker" / "anna").read_text()


# --- structure ------------------------------------------------------------------------------------------------------


def test_every_service_is_looked_after() -> None:
    """What runs on is started again, bounded in its log, without privileges, and has a health check where it serves."""
    for name, service in SERVICES.items():
        assert set(service) <= {
            *(
                "image",
                "build",
                "user",
                "entrypoint",
                "command",
                "environment",
                "volumes",
                "ports",
                "depends_on",
            ),
            *("healthcheck", "restart", "logging", "profiles", "cap_drop", "security_opt", "network_mode"),
            *("init", "read_only", "tmpfs"),
        }, name
        if name == "credentials":
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped"
        assert service["cap_drop"] == ["ALL"]
        assert service["logging"]["options"]["max-size"]
        check = service["healthcheck"]
        if not check.get("disable"):
            assert check["test"][0] in ("CMD", "CMD-SHELL")
            assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert {n for n, s in SERVICES.items() if s["healthcheck" if n != "credentials" else "image"]} == set(
        SERVICES
    )
    assert SERVICES["straps"]["profiles"] == ["simulate"]
    assert SERVICES["recorder"]["profiles"] == ["record"]


def test_dependencies_and_volumes_are_there() -> None:
    """Services wait for what they need, by a condition that exists; volumes are declared, files are shipped."""
    document = _compose()
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert condition in ("service_healthy", "service_completed_successfully")
            if condition == "service_healthy":
                assert "test" in SERVICES[needed]["healthcheck"], name
            assert "profiles" not in SERVICES[needed]
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), volume
                assert volume.endswith(":ro")
            else:
                assert source in document["volumes"], volume


def test_nobody_gets_in_from_outside_without_tls() -> None:
    """Ports are this machine's alone, but for TLS, which has to be asked for; and no secret has a default."""
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert _compose("deploy/compose.tls.yaml")["services"]["broker"]["ports"] == ["8883:8883"]
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    names = re.findall(r"(?<!\$)\$\{?(\w+)([^}]*)", text)
    assert {name for name, _ in names} == set(PASSWORDS)
    assert all(rest == ":?run deploy/make-secrets first" for _, rest in names)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """Every variable that compose.yaml asks for gets a long value of its own, for its owner's eyes; never twice."""
    file = tmp_path / ".env"
    command = ["sh", str(DEPLOY / "make-secrets"), str(file)]
    assert subprocess.run(command, check=False, timeout=10).returncode == 0
    made = dict(line.split("=") for line in file.read_text().splitlines())
    assert set(made) == set(PASSWORDS)
    assert len({value for value in made.values() if len(value) >= 32}) == len(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert subprocess.run(command, check=False, timeout=10, capture_output=True).returncode == 1
    assert "/.env" in (ROOT / ".gitignore").read_text().split()


def test_the_image_is_made_of_what_there_is() -> None:
    """The Dockerfile copies what exists and what .dockerignore lets in, ends as a user, and checks its health."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for name in line.split()
    }
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    last = text.split("\nFROM ")[-1]
    assert re.search(r"^USER strapwatch$", last, re.MULTILINE)
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["strapwatch"]
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", text, re.MULTILINE)
    assert yaml.safe_load(check) == SERVICES["monitor"]["healthcheck"]["test"][1:]


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "deploy/compose.tls.yaml")])
def test_compose_itself_takes_it(files: tuple[str, ...], tmp_path: Path) -> None:
    """Compose, where there is one, takes the files and reads the services that are meant; without secrets it stops."""
    command = _compose_command()
    if command is None:
        pytest.skip("neither docker compose nor docker-compose is installed")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for name in files:
        text = (ROOT / name).read_text(encoding="utf-8")
        if command == ("docker-compose",):
            # Compose 1 (Debian's) takes the project's name from the command line only.
            text = re.sub(r"^name: .*\n", "", text, flags=re.MULTILINE)
        (tmp_path / name).write_text(text, encoding="utf-8")
    chosen = [part for name in files for part in ("-f", name)]

    def configure(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, "-p", "strapwatch", *chosen, "--profile", "simulate", "--profile", "record", "config"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    taken = configure({**PASSWORDS, "CERTIFICATES": str(tmp_path)})
    assert taken.returncode == 0, taken.stderr
    assert yaml.safe_load(taken.stdout)["services"].keys() == SERVICES.keys()
    without = configure({})
    assert without.returncode != 0
    assert "run deploy/make-secrets first" in without.stderr


def _compose_command() -> tuple[str, ...] | None:
    """Return how compose is called here: Docker's plugin, or the program of its own that Debian has."""
    plugin = ("docker", "compose")
    if (
        shutil.which("docker")
        and not subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode
    ):
        return plugin
    return ("docker-compose",) if shutil.which("docker-compose") else None


# --- broker ---------------------------------------------------------------------------------------------------------


async def test_each_role_has_its_topics_only(broker: _Broker, tmp_path: Path) -> None:
    """A strap publishes as itself, a simulator in its team; monitors hear no truth; nobody else is heard."""
    heard: dict[str, list[str]] = {"monitor": [], "scorer": [], "anna": []}
    secrets = {"monitor": ("monitor", PASSWORDS["MONITOR_PASSWORD"])}
    secrets["scorer"] = ("scorer", PASSWORDS["SCORER_PASSWORD"])
    secrets["anna"] = ("red.anna", _anna(tmp_path))

    async def hear(name: str, ready: asyncio.Event) -> None:
        async with _client(broker, *secrets[name]) as client:
            await client.subscribe("ecg/#", qos=1)
            ready.set()
            async for message in client.messages:
                heard[name].append(str(message.topic))

    events = [asyncio.Event() for _ in heard]
    listeners = [asyncio.create_task(hear(name, e)) for name, e in zip(heard, events, strict=True)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(event.wait() for event in events))
        async with _client(broker, *secrets["anna"]) as anna:
            for topic in ("red/anna/truth", "red/bea/samples", "blue/anna/samples", "red/anna/samples"):
                await anna.publish(f"ecg/{topic}", b"a", qos=1)
        async with _client(broker, *secrets["monitor"]) as monitor:
            await monitor.publish("ecg/red/anna/samples", b"m", qos=1)
        async with _client(broker, "simulator", PASSWORDS["SIMULATOR_PASSWORD"]) as simulator:
            for topic in ("red/anna/samples", "demo/a1/truth", "demo/a1/samples"):
                await simulator.publish(f"ecg/{topic}", b"s", qos=1)
        # The broker serves its subscribers one after the other: the last packet must have reached both.
        while not all("ecg/demo/a1/samples" in heard[n] for n in ("monitor", "scorer")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    for task in listeners:
        task.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    assert heard["monitor"] == ["ecg/red/anna/samples", "ecg/demo/a1/samples"]
    assert heard["scorer"] == ["ecg/red/anna/samples", "ecg/demo/a1/truth", "ecg/demo/a1/samples"]
    assert heard["anna"] == []


@pytest.mark.parametrize(("user", "password"), [(None, None), ("monitor", "guess"), ("red.bea", "guess")])
async def test_without_a_password_there_is_no_way_in(
    broker: _Broker, user: str | None, password: str | None
) -> None:
    """Anonymous clients, wrong passwords and unknown straps are refused."""
    with pytest.raises(aiomqtt.MqttError):
        async with _client(broker, user, password):
            pass


async def test_the_health_check_sees_uptime_and_nothing_else(broker: _Broker) -> None:
    """On the container's own loopback, what the health check reads is there; straps are not heard, nor published to."""
    options = SERVICES["broker"]["healthcheck"]["test"]
    topic = options[options.index("-t") + 1].replace("$$", "$")
    assert options[options.index("-p") + 1] == "1880"
    heard = []
    async with _client(broker, None, None, port=broker.health_port) as client:
        await client.publish("ecg/red/anna/status", b"x", qos=1, retain=True)
        await client.subscribe("#", qos=1)
        await client.subscribe(topic)
        async with asyncio.timeout(20):
            async for message in client.messages:
                heard.append(str(message.topic))
                if str(message.topic) == topic:
                    break
    assert heard == [topic]
    async with _client(broker, "monitor", PASSWORDS["MONITOR_PASSWORD"]) as monitor:
        await monitor.subscribe("ecg/+/+/status", qos=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(monitor.messages), 0.3)


async def test_what_waits_survives_a_restart(broker: _Broker, tmp_path: Path) -> None:
    """Packets for a monitor that is away, and retained status, are there after a restart of the broker."""
    session = {"identifier": "monitor-1", "clean_session": False}
    async with _client(broker, "monitor", PASSWORDS["MONITOR_PASSWORD"], **session) as monitor:
        await monitor.subscribe("ecg/+/+/samples", qos=1)
    async with _client(broker, "red.anna", _anna(tmp_path)) as anna:
        for number in range(3):
            await anna.publish("ecg/red/anna/samples", b"%d" % number, qos=1)
        await anna.publish("ecg/red/anna/status", b"there", qos=1, retain=True)
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    got = []
    async with (
        asyncio.timeout(20),
        _client(broker, "monitor", PASSWORDS["MONITOR_PASSWORD"], **session) as monitor,
    ):
        await monitor.subscribe("ecg/+/+/status", qos=1)
        async for message in monitor.messages:
            got.append(message.payload)
            if len(got) == 4:
                break
    assert sorted(bytes(part) for part in got if isinstance(part, bytes)) == [b"0", b"1", b"2", b"there"]


async def test_tls_is_ready(broker: _Broker, tmp_path: Path) -> None:
    """The TLS listener takes a strap with its password, from who trusts the certificate; others do not connect."""
    certificate = tmp_path / "broker" / "server.crt"
    if not certificate.exists():
        pytest.skip("openssl is not installed")
    trusting = ssl.create_default_context(cafile=str(certificate))
    options = {"port": broker.tls_port, "tls_context": trusting}
    async with _client(broker, "red.anna", _anna(tmp_path), **options) as anna:
        await anna.publish("ecg/red/anna/samples", b"x", qos=1)
    with pytest.raises(aiomqtt.MqttError):
        async with _client(broker, None, None, **options):
            pass
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", broker.tls_port, ssl=ssl.create_default_context())


def test_straps_come_and_go(tmp_path: Path) -> None:
    """A strap's password is printed once and stored hashed; names that are none are refused; it can be removed."""
    folder = tmp_path / "broker"
    assert _credentials(folder, "roles").returncode == 1
    assert _credentials(folder, "roles", **PASSWORDS).returncode == 0
    made = _credentials(folder, "strap", "red", "anna")
    user, password = re.findall(r"^(?:user|password) (\S+)$", made.stdout, re.MULTILINE)
    stored = (folder / "auth" / "passwords").read_text()
    assert user == "red.anna"
    assert len(password) >= 32
    assert password not in stored
    assert not any(secret in stored for secret in PASSWORDS.values())
    assert [line.split(":")[0] for line in stored.splitlines()] == [
        "monitor",
        "red.anna",
        "scorer",
        "simulator",
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in (folder / "auth").glob("*[ls]")} <= {0o600, 0o700}
    for bad in (
        ("red", "+"),
        ("red", "an na"),
        ("#", "anna"),
        ("red", ""),
        ("red", "a" * 65),
        ("red", "x.y"),
    ):
        assert _credentials(folder, "strap", *bad).returncode == 1
    assert _credentials(folder, "remove", "red", "anna").returncode == 0
    assert "red/" not in (folder / "auth" / "acl").read_text() + (folder / "auth" / "passwords").read_text()
    assert _credentials(folder, "remove", "red", "anna").returncode == 1


# --- server and monitor ---------------------------------------------------------------------------------------------


def test_the_server_keeps_what_it_has(valkey: GuardedServer) -> None:
    """Nobody reads without the password; what was written a second ago outlives a kill."""
    with redis.Redis(port=valkey.port) as anonymous, pytest.raises(redis.AuthenticationError):
        anonymous.get("x")
    password = PASSWORDS["VALKEY_PASSWORD"]
    with redis.Redis(port=valkey.port, password=password) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.xadd("strapwatch:alarms:{red}", {"alarm": b"x"})
        # As the file is written each second, waiting for it is waiting for a second.
        while client.info("persistence")["aof_pending_bio_fsync"] or not _has(valkey, b"alarms:{red}"):
            pass
    valkey.kill()
    valkey.start()
    with redis.Redis(port=valkey.port, password=password) as client:
        assert client.xlen("strapwatch:alarms:{red}") == 1


def _has(valkey: GuardedServer, text: bytes) -> bool:
    assert valkey._directory is not None
    return any(text in file.read_bytes() for file in valkey._directory.rglob("*.aof"))


def _environment_of(service: str, ports: Mapping[str, int], home: Path) -> dict[str, str]:
    """Return a service's environment as compose would make it, with this machine's addresses."""
    made = {}
    for name, value in SERVICES[service]["environment"].items():
        text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: PASSWORDS[match[1]], str(value))
        for host, port in ports.items():
            text = re.sub(rf"@{host}:\d+", f"@127.0.0.1:{port}", text)
        made[name] = text.replace("/var/lib/strapwatch", str(home))
    return environment(home, **made)


def test_the_commands_of_compose_watch_a_team(broker: _Broker, valkey: GuardedServer, tmp_path: Path) -> None:
    """Monitor, straps and health check, with the commands and variables of compose.yaml, work against both servers."""
    ports = {"broker": broker.port, "valkey": valkey.port}
    env = _environment_of("monitor", ports, tmp_path)

    def healthy() -> bool:
        _, *command = SERVICES["monitor"]["healthcheck"]["test"]
        command[0] = sys.executable
        return (
            subprocess.run(command, env=env, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode == 0
        )

    password = PASSWORDS["VALKEY_PASSWORD"]
    running = Running(*SERVICES["monitor"]["command"], env=env)
    try:
        assert running.said("connected to the broker", within_s=90)
        straps = _environment_of("straps", ports, tmp_path)
        ran = run(*SERVICES["straps"]["command"], "--seconds", "4", env=straps)
        assert "8 straps" in ran.stderr + ran.stdout, ran.stderr
        with redis.Redis(port=valkey.port, password=password) as client:
            assert client.smembers("strapwatch:teams") == {b"demo"}
            assert len(list(client.scan_iter(beats_key("demo", "*").replace("{demo}", "?demo?")))) == 8
            assert client.get(monitor_key("monitor-1")) is not None
        assert healthy()
        code, _ = running.end(signal.SIGTERM, within_s=30)
        assert code == 0
    finally:
        running.kill()
    with redis.Redis(port=valkey.port, password=password) as client:
        client.delete(monitor_key("monitor-1"))
    assert not healthy()


def test_health_is_a_heartbeat_and_a_broker(valkey: GuardedServer) -> None:
    """Without a server, a heartbeat that can be read, or a broker, the reason is told, without the password."""
    password = PASSWORDS["VALKEY_PASSWORD"]
    url = f"redis://:{password}@127.0.0.1:{valkey.port}"

    def reason(url: str = url) -> str:
        said = unhealthy_because(
            Settings.load(None, overrides={"redis": {"url": url}, "monitor": {"id": "monitor-1"}})
        )
        assert password not in said
        return said

    assert reason(f"redis://:{password}@127.0.0.1:{_free_port()}").startswith("redis://")
    assert reason().startswith("monitor 'monitor-1' has no heartbeat")
    state = MonitorState(
        monitor_id="monitor-1", at=0.0, started_at=0.0, athletes=0, packets_received=0, packets_lost=0,
        packets_refused=0, packets_dropped=0, samples=0, beats=0, alarms=0, broker_connected=False,
        outbox_waiting=0, model="", settings_hash="", refused={},
    )  # fmt: skip
    with redis.Redis(port=valkey.port, password=password) as client:
        client.set(monitor_key("monitor-1"), b"rubbish")
        assert "cannot be read" in reason()
        client.set(monitor_key("monitor-1"), msgspec.msgpack.encode(state))
        assert reason() == "monitor 'monitor-1' has no broker"
        there = msgspec.structs.replace(state, broker_connected=True)
        client.set(monitor_key("monitor-1"), msgspec.msgpack.encode(there))
        assert reason() == ""
