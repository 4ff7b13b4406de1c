"""A Faust program as its documentation shows them, to see what becomes of a record that takes long; run as a script.

``python stock_faust.py BOOTSTRAP TOPIC GROUP CONCURRENCY``: prints the value of each record that it has processed. The
value ``slow`` takes for ever.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable

import faust


def program(bootstrap: str, topic: str, group: str, concurrency: int) -> faust.App:
    """An app with one agent."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        value_serializer="raw",
        broker_commit_interval=0.1,
        consumer_group_instance_id="one",  # who is started again has its partition at once
        topic_disable_leader=True,
        web_enabled=False,
    )

    async def process(stream: AsyncIterable[bytes]) -> None:
        async for value in stream:
            if value == b"slow":
                await asyncio.Event().wait()
            sys.stdout.write(value.decode() + "\n")
            sys.stdout.flush()

    app.agent(app.topic(topic), concurrency=concurrency)(process)
    return app


async def main(app: faust.App) -> None:
    """Run until killed."""
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(program(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
