"""Smart plugs: metering channels with exact counters, and how each kind of plug publishes them over MQTT."""

import json
import random
import time
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from .broker import Broker, Message, Session
from .fleet import HubSpec, PlugSpec
from .physics import ambient_c
from .printer import Printer
from .truth import TruthLog


class PlugState(TypedDict, total=False):
    """What a plug keeps over a restart of the simulator; `counters` (Wh) and `loads` are by channel."""

    counters: dict[str, float]
    loads: dict[str, str | None]
    clock_offset: float
    total_start: float


class Channel:
    """One metering point. `counter_wh` is what the device counts, `truth` what really flowed."""

    def __init__(
        self, meter_id: str, key: str, load: str | None, at: float, counter_wh: float, dice: random.Random
    ) -> None:
        self.meter_id, self.key, self.load = meter_id, key, load
        self.counter_wh = counter_wh
        self.power = 0.0
        self.truth = TruthLog(at)
        self.dice = dice
        self.minutes = [0.0, 0.0, 0.0]
        self.minute = int(at // 60)
        self.day: date | None = None
        self.day_start_wh = counter_wh
        self.yesterday_wh = 0.0
        self.reported_power: float | None = None
        self.reported_at = 0.0
        self.glitches: list[float] = []

    def add(self, until: float, dt: float, watts: float) -> None:
        """Counts the energy of a model step that ends at unix time `until`."""
        wh = watts * dt / 3600
        self.counter_wh += wh
        self.truth.add(until, wh)
        self.power = watts
        minute = int(until // 60)
        if minute != self.minute:
            self.minutes = [0.0, *self.minutes[:2]]
            self.minute = minute
        self.minutes[0] += wh * 1000

    def shown_wh(self) -> float:
        """The counter as the next message shows it: an injected glitch lasts for one message."""
        return self.counter_wh + (self.glitches.pop(0) if self.glitches else 0.0)

    def voltage(self, at: float) -> float:
        """Mains voltage at the plug, a little lower under load."""
        return 231.0 + 1.5 * ((at % 3600) / 1800 - 1) - self.power * 0.002 + self.dice.gauss(0, 0.25)


@dataclass
class MessageFaults:
    """What happens to a device's messages until the given unix times."""

    silent_until: float = 0.0
    silent_share: float = 1.0
    late_until: float = 0.0
    repeat_until: float = 0.0
    repeat: int = 1
    shuffle_until: float = 0.0
    garbage: int = 0
    constant_until: float = 0.0


class Plug:
    """What all plugs share: channels, the pipe of faulty messages, the device's own clock, when to report."""

    def __init__(
        self, spec: PlugSpec, broker: Broker | None, at: float, seed: int, saved: PlugState, zone: str = "UTC"
    ) -> None:
        self.spec = spec
        self.dice = random.Random(f"{seed}/{spec.id}")
        self.zone = ZoneInfo(zone)
        counters = saved.get("counters", {})
        self.channels = [
            Channel(self.meter_id(key), key, load, at, counters.get(key, spec.start_wh * (1 + 0.37 * i)), self.dice)
            for i, (key, load) in enumerate(spec.channels.items())
        ]
        self.clock_offset = saved.get("clock_offset", 0.0)
        self.total_start = saved.get("total_start", at - 90 * 86400)
        self.booted = at
        self.off = False
        self.off_until: float | None = None
        self.faults = MessageFaults()
        self.held: list[Message] = []
        # Plugs don't report all at once.
        self.next_report = at + random.Random(f"{spec.id}/phase").uniform(0, spec.interval_s)
        will, subscriptions = self.presence()
        self.session = Session(
            broker,
            spec.id.replace("/", "_"),
            will,
            subscriptions,
            self.on_command,
            self.on_connect,
            spec.offline_buffer,
        )

    # -------- what a kind of plug defines

    def meter_id(self, key: str) -> str:
        """The metering point's name as ENMS knows it."""
        return f"{self.spec.id}/{key}"

    def presence(self) -> tuple[tuple[str, str], tuple[str, ...]]:
        """(topic, payload) of the last will, and the topics to subscribe to."""
        raise NotImplementedError

    def on_connect(self) -> None:
        """Says that the plug is there, and its present values."""
        raise NotImplementedError

    def on_command(self, topic: str, payload: str) -> None:
        """Answers a command from MQTT."""

    def report(self, at: float, channel: Channel, full: bool) -> None:
        """Publishes the channel: `full` periodically, otherwise because its power changed."""
        raise NotImplementedError

    # -------- common behaviour

    def device_time(self, at: float) -> float:
        """Unix time on the device's own clock."""
        return at + self.clock_offset

    def send(self, topic: str, payload: str, qos: int = 1, retain: bool = False) -> None:
        """Publishes through the injected faults."""
        now, f = time.time(), self.faults
        if now < f.silent_until and self.dice.random() < f.silent_share:
            return
        if f.garbage > 0:
            f.garbage -= 1
            payload = self.dice.choice(
                ['{"apower":', "nan", "", '{"id":0,"apower":"12W","aenergy":null}', "\x00\x01", "[]", "1e999"]
            )
        if now < max(f.late_until, f.shuffle_until):
            self.held.append(Message(topic, payload, qos, retain))
            return
        for _ in range(f.repeat if now < f.repeat_until else 1):
            self.session.publish(topic, payload, qos, retain)

    def tick(self, at: float) -> None:
        """Sends what is due at unix time `at`."""
        if self.off:
            if self.off_until is not None and at >= self.off_until:
                self.power_on(at)
            return
        if self.held and at >= max(self.faults.late_until, self.faults.shuffle_until):
            held, self.held = self.held, []
            if self.faults.shuffle_until >= self.faults.late_until:
                self.dice.shuffle(held)
            for message in held:
                self.session.publish(*message)
        if at < self.faults.constant_until:
            return
        full = at >= self.next_report
        if full:
            self.next_report = at - (at - self.next_report) % self.spec.interval_s + self.spec.interval_s
        for channel in self.channels:
            changed = (
                channel.reported_power is not None
                and at - channel.reported_at >= self.spec.change_gap_s
                and abs(channel.power - channel.reported_power) > max(self.spec.change_w, 0.05 * channel.reported_power)
            )
            if full or changed:
                channel.reported_power, channel.reported_at = channel.power, at
                self.report(at, channel, full)

    async def power_off(self, seconds: float | None, at: float) -> None:
        """The plug itself loses its mains: the line drops, the broker sends the last will."""
        self.off, self.off_until = True, None if seconds is None else at + seconds
        await self.session.stop(abrupt=True)

    def power_on(self, at: float) -> None:
        """Mains are back: boots and reconnects."""
        self.off, self.off_until, self.booted = False, None, at
        self.after_boot()
        self.session.start()

    def after_boot(self) -> None:
        """What a reboot does to the counters; most kinds keep them."""

    def reset_counters(self, at: float, channels: list[Channel] | None = None) -> None:
        """Sets the counters (all, or some) to zero, as the device's own reset command does."""
        self.total_start = at
        for channel in channels or self.channels:
            channel.counter_wh = channel.day_start_wh = 0.0

    def to_dict(self) -> PlugState:
        """What must survive a restart of the simulator."""
        return {
            "counters": {c.key: c.counter_wh for c in self.channels},
            "loads": {c.key: c.load for c in self.channels},
            "clock_offset": self.clock_offset,
            "total_start": self.total_start,
        }


class ShellyGen2(Plug):
    """Gen2+ plug, one or many channels, `switch:N` with a relay or `pm1:N` without."""

    def presence(self) -> tuple[tuple[str, str], tuple[str, ...]]:
        """Last will `<prefix>/online`; commands on `<prefix>/command`."""
        return (f"{self.spec.id}/online", "false"), (f"{self.spec.id}/command",)

    def on_connect(self) -> None:
        """Online, then the full status of every channel."""
        self.send(f"{self.spec.id}/online", "true", retain=True)
        self._publish_all()

    def on_command(self, topic: str, payload: str) -> None:
        """`status_update` asks for everything now."""
        if payload.strip() == "status_update":
            self._publish_all()

    def _publish_all(self) -> None:
        at = time.time()
        for channel in self.channels:
            self._status(at, channel)

    def report(self, at: float, channel: Channel, full: bool) -> None:
        """NotifyStatus (deltas, the counter only in full reports) and the full status topic."""
        if self.spec.rpc_ntf:
            self._notify(at, channel, full)
        if self.spec.status_ntf or (full and not self.spec.rpc_ntf):
            self._status(at, channel)

    def _energy(self, at: float, channel: Channel) -> dict[str, Any]:
        return {
            "total": round(channel.shown_wh(), 3),
            "by_minute": [round(m, 3) for m in channel.minutes],
            "minute_ts": int(self.device_time(at) // 60 * 60),
        }

    def _status(self, at: float, channel: Channel) -> None:
        volts = channel.voltage(at)
        celsius = round(ambient_c(at) + 6 + channel.power * 0.03, 1)
        status: dict[str, Any] = {"id": int(channel.key.split(":")[1])}
        if channel.key.startswith("switch"):
            status |= {"source": "init", "output": True}
        status |= {
            "apower": round(channel.power, 1),
            "voltage": round(volts, 1),
            "current": round(channel.power / volts / 0.97, 3),
            "aenergy": self._energy(at, channel),
        }
        if channel.key.startswith("switch"):
            status["temperature"] = {"tC": celsius, "tF": round(celsius * 1.8 + 32, 1)}
        else:
            status["freq"] = round(50 + self.dice.gauss(0, 0.01), 2)
        self.send(f"{self.spec.id}/status/{channel.key}", json.dumps(status))

    def _notify(self, at: float, channel: Channel, full: bool) -> None:
        volts = channel.voltage(at)
        change: dict[str, Any] = {
            "id": int(channel.key.split(":")[1]),
            "apower": round(channel.power, 1),
            "current": round(channel.power / volts / 0.97, 3),
        }
        if full:
            change["aenergy"] = self._energy(at, channel)
            if self.dice.random() < 0.3:
                change["voltage"] = round(volts, 1)
        message = {
            "src": self.spec.id,
            "dst": f"{self.spec.id}/events",
            "method": "NotifyStatus",
            "params": {"ts": round(self.device_time(at), 2), channel.key: change},
        }
        self.send(f"{self.spec.id}/events/rpc", json.dumps(message))

    def after_boot(self) -> None:
        """The stored counter has fewer digits than the running one: a restart steps back a little."""
        for channel in self.channels:
            channel.counter_wh = int(channel.counter_wh * 10) / 10


class ShellyGen1(Plug):
    """Gen1 plug: watt-minutes that are lost on reboot, plain-text topics below `shellies/<id>`."""

    def presence(self) -> tuple[tuple[str, str], tuple[str, ...]]:
        """Last will `shellies/<id>/online`; commands on `shellies/<id>/command`."""
        return (f"shellies/{self.spec.id}/online", "false"), (f"shellies/{self.spec.id}/command", "shellies/command")

    def on_connect(self) -> None:
        """Online, announce, present values."""
        self.send(f"shellies/{self.spec.id}/online", "true", retain=True)
        self.send(
            "shellies/announce",
            json.dumps(
                {
                    "id": self.spec.id,
                    "model": "SHPLG-S",
                    "mac": self.spec.id.rsplit("-", 1)[-1],
                    "ip": "127.0.0.1",
                    "new_fw": False,
                    "fw_ver": "20230913-113421/v1.14.0-gcb84623",
                }
            ),
        )
        self._publish_all()

    def on_command(self, topic: str, payload: str) -> None:
        """`update` asks for the present values."""
        if payload.strip() == "update":
            self._publish_all()

    def _publish_all(self) -> None:
        for channel in self.channels:
            self.report(time.time(), channel, True)

    def report(self, at: float, channel: Channel, full: bool) -> None:
        """relay/N, power (W) and energy (Wm, whole)."""
        base = f"shellies/{self.spec.id}/relay/{channel.key.split(':')[1]}"
        self.send(f"{base}/power", f"{channel.power:.2f}")
        self.send(f"{base}/energy", str(int(channel.shown_wh() * 60)))
        if full:
            self.send(base, "on")
            self.send(f"shellies/{self.spec.id}/temperature", f"{ambient_c(at) + 8 + channel.power * 0.03:.2f}")

    def after_boot(self) -> None:
        """The counter lives in RAM."""
        for channel in self.channels:
            channel.counter_wh = 0.0


class Tasmota(Plug):
    """Tasmota plug: SENSOR every TelePeriod and on power change, kWh with 3 decimals, local time without offset."""

    def meter_id(self, key: str) -> str:
        """The topic itself is the meter."""
        return self.spec.id

    def presence(self) -> tuple[tuple[str, str], tuple[str, ...]]:
        """Retained LWT; STATUS, TelePeriod and EnergyReset commands."""
        return (f"tele/{self.spec.id}/LWT", "Offline"), (f"cmnd/{self.spec.id}/#",)

    def on_connect(self) -> None:
        """Retained LWT Online."""
        self.send(f"tele/{self.spec.id}/LWT", "Online", retain=True)

    def on_command(self, topic: str, payload: str) -> None:
        """`STATUS 10` asks for the sensors, `EnergyTotal 0` resets, an empty `TelePeriod` sends SENSOR now."""
        command, at = topic.rsplit("/", 1)[-1].upper(), time.time()
        if command == "STATUS10" or (command == "STATUS" and payload.strip() == "10"):
            self.send(f"stat/{self.spec.id}/STATUS10", json.dumps({"StatusSNS": self._sensors(at)}))
        elif command == "TELEPERIOD":
            self.send(f"tele/{self.spec.id}/SENSOR", json.dumps(self._sensors(at)))
        elif command in ("ENERGYTOTAL", "ENERGYRESET3") and payload.strip() == "0":
            self.reset_counters(at)

    def report(self, at: float, channel: Channel, full: bool) -> None:
        """One SENSOR message for the device."""
        self.send(f"tele/{self.spec.id}/SENSOR", json.dumps(self._sensors(at)))

    def _sensors(self, at: float) -> dict[str, Any]:
        channel = self.channels[0]
        local = datetime.fromtimestamp(self.device_time(at), self.zone)
        if channel.day != local.date():
            if channel.day is not None:
                channel.yesterday_wh = channel.counter_wh - channel.day_start_wh
                channel.day_start_wh = channel.counter_wh
            channel.day = local.date()
        volts, factor = round(channel.voltage(at)), 0.97
        total = channel.shown_wh()
        apparent = channel.power / factor
        return {
            "Time": local.strftime("%Y-%m-%dT%H:%M:%S"),
            "ENERGY": {
                "TotalStartTime": datetime.fromtimestamp(self.total_start, self.zone).strftime("%Y-%m-%dT%H:%M:%S"),
                "Total": round(total / 1000, 3),
                "Yesterday": round(channel.yesterday_wh / 1000, 3),
                "Today": round(max(0.0, channel.counter_wh - channel.day_start_wh) / 1000, 3),
                "Period": 0,
                "Power": round(channel.power),
                "ApparentPower": round(apparent),
                "ReactivePower": round((apparent**2 - channel.power**2) ** 0.5),
                "Factor": factor,
                "Voltage": volts,
                "Current": round(apparent / volts, 3),
            },
        }


KINDS: dict[str, type[Plug]] = {"shelly_gen2": ShellyGen2, "shelly_gen1": ShellyGen1, "tasmota": Tasmota}


class Hub:
    """ESP32 hub: DHT22 of the room, MPU6050 and MAX6675 on a printer; one number per message, no time, not retained."""

    def __init__(self, spec: HubSpec, org: str, printer: Printer, broker: Broker | None, seed: int) -> None:
        self.spec, self.org, self.printer = spec, org, printer
        self.dice = random.Random(f"{seed}/hub/{spec.mounted_on}")
        self.next_report = 0.0
        self.session = Session(broker, f"esp32-{org}-{spec.mounted_on}")

    def tick(self, at: float) -> None:
        """Publishes all sensors when due."""
        if at < self.next_report:
            return
        self.next_report = at + self.spec.interval_s
        shake = 0.8 if self.printer.moving_job else 0.01
        noise = self.dice.gauss
        room = ambient_c(at)
        values = {
            "dht22/temperature_c": room + noise(0, 0.1),
            "dht22/humidity": 47 - 1.2 * (room - 22) + noise(0, 0.4),
            "mpu6050/accel/x": noise(0.05, shake),
            "mpu6050/accel/y": noise(-0.08, shake),
            "mpu6050/accel/z": noise(9.81, shake * 0.4),
            "mpu6050/gyro/x": noise(0, shake * 0.06),
            "mpu6050/gyro/y": noise(0, shake * 0.06),
            "mpu6050/gyro/z": noise(0, shake * 0.04),
            "mpu6050/temperature_c": room + 4 + noise(0, 0.05),
            "max6675/temperature_c": round((self.printer.machine.nozzle + noise(0, 0.3)) * 4) / 4,
        }
        for topic, value in values.items():
            self.session.publish(f"esp32/{self.org}/{topic}", f"{value:.2f}")
