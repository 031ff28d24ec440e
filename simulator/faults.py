"""What can go wrong on demand. Each fault is a function of (world, request body, now); its docstring is what
GET /faults shows of it.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .meters import Channel, Plug
from .printer import Printer, PrinterError
from .server import PrinterServer
from .world import World

Body = Mapping[str, Any]
Fault = Callable[[World, Body, float], Awaitable[None]]


class FaultError(ValueError):
    """The request for a fault makes no sense; the text says why."""


FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    """Registers a fault by its function's name."""
    FAULTS[function.__name__] = function
    return function


async def inject(world: World, body: Body, now: float) -> dict[str, Any]:
    """Injects the fault that `body` asks for; returns what was done. Raises FaultError."""
    kind = body.get("type")
    if kind not in FAULTS:
        raise FaultError(f"fault {kind!r} is unknown; known are {', '.join(FAULTS)}")
    try:
        await FAULTS[kind](world, body, now)
    except (TypeError, KeyError) as error:
        raise FaultError(f"{kind}: bad or missing field {error}") from None
    return {"type": kind, "target": body.get("target"), "at": now}


def _plug(world: World, body: Body) -> Plug:
    plug = world.plug_of(str(body.get("target")))
    if plug is None:
        raise FaultError(f"no plug or meter {body.get('target')!r}; known are {', '.join(world.plugs)}")
    return plug


def _channels(world: World, body: Body) -> list[Channel]:
    plug = _plug(world, body)
    chosen = [c for c in plug.channels if c.meter_id == body["target"]]
    return chosen or plug.channels


def _printer(world: World, body: Body) -> Printer:
    printer = world.printers.get(body.get("target", ""))
    if printer is None:
        raise FaultError(f"no printer {body.get('target')!r}; known are {', '.join(world.printers)}")
    return printer


def _server(world: World, body: Body) -> PrinterServer:
    return world.servers[_printer(world, body).spec.device_id]


def number(body: Body, name: str, default: float | None = None) -> float:
    """A finite number of the request. Raises FaultError."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FaultError(f"{name} must be a number")
    return value


def _until(body: Body, now: float, default: float = 60) -> float:
    return now + number(body, "seconds", default)


def _seconds(body: Body) -> float | None:
    """How long something lasts, when the request says so."""
    return None if body.get("seconds") is None else number(body, "seconds")


# ---------------------------------------------------------------------- meters


@fault
async def reset_counter(world: World, body: Body, now: float) -> None:
    """Plug or meter: the counter is zeroed as by the device's own reset command."""
    _plug(world, body).reset_counters(now, _channels(world, body))


@fault
async def reboot(world: World, body: Body, now: float) -> None:
    """Plug: drops its line and is back after `seconds` (3); Gen1 loses its counter, Gen2 steps back by < 0.1 Wh;
    `lose_counter` forces the loss.
    """
    plug = _plug(world, body)
    await plug.power_off(number(body, "seconds", 3), now)
    if body.get("lose_counter"):
        for channel in plug.channels:
            channel.counter_wh = 0.0


@fault
async def step_back(world: World, body: Body, now: float) -> None:
    """Meter: the counter goes back by `wh` (0.5)."""
    for channel in _channels(world, body):
        channel.counter_wh = max(0.0, channel.counter_wh - number(body, "wh", 0.5))


@fault
async def jump(world: World, body: Body, now: float) -> None:
    """Meter: the next `messages` (1) show the counter `wh` (9,000,000) too high; `permanent` shifts it for good."""
    for channel in _channels(world, body):
        if body.get("permanent"):
            channel.counter_wh += number(body, "wh", 9e6)
        else:
            channel.glitches += [number(body, "wh", 9e6)] * int(number(body, "messages", 1))


@fault
async def lose_messages(world: World, body: Body, now: float) -> None:
    """Plug: of what it says in the next `seconds` (60) the `share` (1: everything) is lost; it goes on counting."""
    faults = _plug(world, body).faults
    faults.silent_until, faults.silent_share = _until(body, now), number(body, "share", 1)


@fault
async def silent(world: World, body: Body, now: float) -> None:
    """Plug: alive but says nothing for `seconds` (600), as lose_messages under another name for long gaps."""
    faults = _plug(world, body).faults
    faults.silent_until, faults.silent_share = _until(body, now, 600), 1


@fault
async def constant_load_silence(world: World, body: Body, now: float) -> None:
    """Plug: no periodic or change reports for `seconds` (600); it still answers when asked (status_update)."""
    _plug(world, body).faults.constant_until = _until(body, now, 600)


@fault
async def late_messages(world: World, body: Body, now: float) -> None:
    """Plug: messages are held for `seconds` (60), then sent in order."""
    _plug(world, body).faults.late_until = _until(body, now)


@fault
async def out_of_order(world: World, body: Body, now: float) -> None:
    """Plug: messages are held for `seconds` (10), then sent shuffled."""
    _plug(world, body).faults.shuffle_until = _until(body, now, 10)


@fault
async def repeat_messages(world: World, body: Body, now: float) -> None:
    """Plug: every message is sent `times` (3) times for `seconds` (60)."""
    plug = _plug(world, body)
    plug.faults.repeat, plug.faults.repeat_until = int(number(body, "times", 3)), _until(body, now)


@fault
async def garbage_messages(world: World, body: Body, now: float) -> None:
    """Plug: the next `messages` (5) carry rubbish."""
    _plug(world, body).faults.garbage = int(number(body, "messages", 5))


@fault
async def clock_1970(world: World, body: Body, now: float) -> None:
    """Plug: no NTP, its clock counts from 1970 since its boot."""
    plug = _plug(world, body)
    plug.clock_offset = -plug.booted


@fault
async def clock_offset(world: World, body: Body, now: float) -> None:
    """Plug, or a Moonraker printer: its clock is `offset_s` wrong (0 puts it right)."""
    offset = number(body, "offset_s")
    if body.get("target") in world.printers:
        _server(world, body).protocol.clock_offset = offset
    else:
        _plug(world, body).clock_offset = offset


@fault
async def move_meter(world: World, body: Body, now: float) -> None:
    """Meter: plugged before another printer `load` (null: before nothing)."""
    channels = _channels(world, body)
    if len(channels) != 1:
        raise FaultError("move_meter needs one meter id as target")
    channel, load = channels[0], body.get("load")
    if load is not None and load not in world.printers:
        raise FaultError(f"no printer {load!r} in this fleet")
    if channel.load:
        world.printers[channel.load].channels.remove(channel)
    channel.load, channel.power = load, 0.0
    if load:
        world.printers[load].channels.append(channel)


# ---------------------------------------------------------------------- printers


@fault
async def power_cut(world: World, body: Body, now: float) -> None:
    """Printer and its plugs lose mains for `seconds` (none: until power_on); `resume`: the print goes on after;
    `plug: false` spares the plug.
    """
    printer = _printer(world, body)
    seconds = _seconds(body)
    printer.power_off(seconds, bool(body.get("resume")))
    if body.get("plug", True):
        for plug in world.plugs.values():
            if all(c.load == printer.spec.device_id for c in plug.channels):
                await plug.power_off(seconds, now)
    await _server(world, body).tick(now)


@fault
async def power_on(world: World, body: Body, now: float) -> None:
    """Printer: mains are back now."""
    printer = _printer(world, body)
    printer.power_on()
    for plug in world.plugs.values():
        if plug.off and any(c.load == printer.spec.device_id for c in plug.channels):
            plug.power_on(now)
    await _server(world, body).tick(now)


@fault
async def hung(world: World, body: Body, now: float) -> None:
    """Printer: takes connections but answers nothing for `seconds` (60)."""
    _server(world, body).faults.hung_until = _until(body, now)


@fault
async def slow(world: World, body: Body, now: float) -> None:
    """Printer: answers `delay_s` (4) late for `seconds` (60)."""
    faults = _server(world, body).faults
    faults.slow_s, faults.slow_until = number(body, "delay_s", 4), _until(body, now)


@fault
async def unauthorized(world: World, body: Body, now: float) -> None:
    """Printer: 401 to everybody for `seconds` (60)."""
    _server(world, body).faults.unauthorized_until = _until(body, now)


@fault
async def garbage(world: World, body: Body, now: float) -> None:
    """Printer: 200 with rubbish for `seconds` (60)."""
    _server(world, body).faults.garbage_until = _until(body, now)


@fault
async def http_error(world: World, body: Body, now: float) -> None:
    """Printer: 503 for `seconds` (60)."""
    _server(world, body).faults.error_until = _until(body, now)


@fault
async def vanish(world: World, body: Body, now: float) -> None:
    """Printer: leaves the network for `seconds` (none: until come_back); its print goes on."""
    server = _server(world, body)
    server.vanished = True
    server.vanished_until = None if body.get("seconds") is None else _until(body, now)
    await server.tick(now)


@fault
async def come_back(world: World, body: Body, now: float) -> None:
    """Printer: on the network again."""
    server = _server(world, body)
    server.vanished = False
    await server.tick(now)


@fault
async def pause(world: World, body: Body, now: float) -> None:
    """Printer: pauses, for `seconds` when given."""
    _printer(world, body).pause(_seconds(body))


@fault
async def runout(world: World, body: Body, now: float) -> None:
    """Printer: filament runs out; it waits (attention) for `seconds` (120)."""
    _printer(world, body).pause(number(body, "seconds", 120), attention=True)


@fault
async def cancel(world: World, body: Body, now: float) -> None:
    """Printer: its print is cancelled."""
    _printer(world, body).cancel()


@fault
async def error(world: World, body: Body, now: float) -> None:
    """Printer: its print ends with an error (`reason`)."""
    _printer(world, body).fail(str(body.get("reason") or "Thermal runaway of the hotend"))


@fault
async def reuse_job_id(world: World, body: Body, now: float) -> None:
    """Printer: the next job gets the id of the last one."""
    _printer(world, body).reuse_id = True


@fault
async def next_job(world: World, body: Body, now: float) -> None:
    """Printer: the running print ends (`status` done, cancelled or error) and another `filename` of `duration_s` (60)
    begins in the same instant.
    """
    printer = _printer(world, body)
    if printer.job is None or printer.job.ended is not None:
        raise PrinterError(f"{printer.spec.device_id} is not printing")
    status = body.get("status", "done")
    if status not in ("done", "cancelled", "error"):
        raise FaultError("status must be done, cancelled or error")
    printer.finish(status)
    printer.start(printer.custom_plan(str(body.get("filename") or "next.gcode"), number(body, "duration_s", 60)))
