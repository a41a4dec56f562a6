"""A monitor without a classifier, so that it starts quickly: a real process, for tests that kill it."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

from monitor.live import LiveMonitor
from monitor.recovery.folder import RecoveryFolder
from monitor.recovery.resume import resume
from monitor.sinks import Outbox, RedisSink
from monitor.sources import MqttSource
from monitor.watch import Watch


async def run(broker: str, redis: str, folder: Path) -> None:
    """Run until killed."""
    watch = Watch(classifier=None)
    with (
        RecoveryFolder(folder / "recovery") as recovery,
        contextlib.closing(Outbox(folder / "o.db")) as outbox,
    ):
        watch.record_alarms(recovery.alarms)
        resumption = resume(watch, recovery.rows, recovery.journal, time.time())
        async with (
            RedisSink(redis, outbox=outbox) as sink,
            MqttSource(broker, client_id="m1", persistent_session=True, journal=recovery.journal) as source,
        ):
            await LiveMonitor(
                source=source,
                sink=sink,
                watch=watch,
                monitor_id="m1",
                model="",
                settings_hash="",
                tick_s=0.02,
                recovery=recovery,
                resumption=resumption,
            ).run()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
