"""Runs the emulated fleet: `python -m simulator`."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from common import logs

from .broker import Broker
from .control import Control
from .fleet import DEMO, FleetError, load
from .world import World

EPILOG = """environment:
  ENMS_SIM_PORT             port of the control API (0: free, printed)
  ENMS_STATE_DIR            state is kept in its subfolder simulator/
  ENMS_MQTT_HOST, ENMS_MQTT_PORT, ENMS_MQTT_DEVICE_USER, ENMS_MQTT_DEVICE_PASSWORD
                            the broker; without a host nothing is published
  ENMS_BIND                 address to listen on (127.0.0.1)
  ENMS_SIM_ADVERTISE        host name that /fleet tells for the printers (default: ENMS_BIND)
  ENMS_ESP_ORG              organisation in the hub's topics (raptorblingx)
  ENMS_TIMEZONE             local time of Tasmota plugs (Europe/Berlin)
"""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    env = os.environ
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Emulated 3D printers, smart plugs and sensors on real sockets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--fleet", default=str(DEMO), metavar="FILE", help="the fleet's declaration (JSON); default: the demo fleet"
    )
    parser.add_argument("--port", type=int, default=int(env.get("ENMS_SIM_PORT") or 0), help="port of the control API")
    parser.add_argument("--bind", default=env.get("ENMS_BIND") or "127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--state-dir",
        default=env.get("ENMS_STATE_DIR") or ".run/state",
        metavar="DIR",
        help="parent of the state folder",
    )
    parser.add_argument(
        "--no-auto-jobs", action="store_true", help="print only what the control API starts (for tests)"
    )
    return parser.parse_args(argv)


async def serve(world: World, bind: str, port: int) -> None:
    """Runs the fleet and its control API until SIGINT or SIGTERM."""
    await world.listen()
    runner = web.AppRunner(Control(world).app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, bind, port).start()
    task = asyncio.create_task(world.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    logging.getLogger("simulator").info(
        "%d printers, %d plugs, control API on http://%s:%d",
        len(world.printers),
        len(world.plugs),
        bind,
        runner.addresses[0][1],
    )
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        await runner.cleanup()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the fleet; returns 1, after a sentence on standard error, when it can't start."""
    args = arguments(argv)
    env = os.environ
    logs.configure("simulator", env.get("ENMS_LOG_LEVEL") or "info")
    try:
        world = World(
            load(args.fleet),
            Path(args.state_dir) / "simulator",
            args.bind,
            env.get("ENMS_SIM_ADVERTISE") or None,
            Broker.from_environment(),
            not args.no_auto_jobs,
            env.get("ENMS_ESP_ORG") or "raptorblingx",
            env.get("ENMS_TIMEZONE") or "Europe/Berlin",
        )
        asyncio.run(serve(world, args.bind, args.port))
    except FleetError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"simulator: cannot start: {error}; is the port taken, or the state folder not writable?", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
