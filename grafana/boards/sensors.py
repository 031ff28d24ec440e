"""Sensor Data Explorer: every measurement of the chosen machines, over any range."""

from collections.abc import Mapping

from .. import common, variables
from ..config import AGE, COUNT, HUMIDITY, HZ, M_PER_S2, MM, PERCENT, PRESSURE, RAD_PER_S, RPM, VA, A, C, Json, S, V, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_SERIES
from ..panels import by_machine, line_style, stat
from ..queries import (
    DEVICE_KEYS,
    DEVICES,
    FROM,
    METER_KEYS,
    PRINTER_KEYS,
    RANGE,
    SENSOR_KEYS,
    TO,
    now,
    place_keys,
    sampled,
    series,
)

SAMPLED = (
    "Readings below six hours; beyond that the first reading of each step, so a sample and no mean. Holes stay holes."
)
METERS = (
    f"SELECT a.meter_id FROM meter_assignments a WHERE a.device_id = ANY ({DEVICES})"
    f" AND a.valid_from < {TO} AND a.valid_to > {FROM}"
)


def chart(title: str, description: str, sql: str, unit: str, style: Json | None = None) -> Json:
    """One measurement, a line per machine, meter or place."""
    return by_machine(
        title, f"{description} {SAMPLED}", sql, unit, 8, 8, style or line_style(0, "linear"), MACHINE_OF_SERIES
    )


def of_meter(title: str, description: str, column: str, unit: str) -> Json:
    """A column of the meters' readings."""
    return chart(
        title,
        description,
        f"""
                 SELECT s.time, a.name || CASE WHEN a.of_name > 1 THEN ' · ' || s.key ELSE '' END AS metric,
                        a.device_id, s.{column} AS value
                 FROM {sampled("energy", "meter_key", [column], METER_KEYS)} s
                 JOIN (SELECT m.*, count(*) OVER (PARTITION BY m.name) AS of_name
                       FROM (SELECT a.meter_id, min(a.device_id) AS device_id,
                                    string_agg(DISTINCT d.friendly_name, ' / ') AS name
                             FROM meter_assignments a JOIN devices d USING (device_id)
                             WHERE a.device_id = ANY ({DEVICES}) GROUP BY a.meter_id) m) a
                     ON a.meter_id = s.key ORDER BY 1""",
        unit,
    )


def of_printer(title: str, description: str, columns: Mapping[str, str], unit: str, style: Json | None = None) -> Json:
    """Columns of the printers' statuses: {column: what follows the machine's name}."""
    parts = ", ".join(f"('{suffix}', s.{column}::float8)" for column, suffix in columns.items())
    return chart(
        title,
        description,
        f"""
                 SELECT s.time, d.friendly_name || p.suffix AS metric, s.key AS device_id, p.value
                 FROM {sampled("device_status", "device_key", list(columns), PRINTER_KEYS)} s
                 JOIN devices d ON d.device_id = s.key
                 CROSS JOIN LATERAL (VALUES {parts}) p (suffix, value) ORDER BY 1""",
        unit,
        style,
    )


def of_place(title: str, description: str, column: str, unit: str) -> Json:
    """A column of the surroundings."""
    return chart(
        title,
        description,
        f"""
                 SELECT s.time, s.key AS metric, s.key AS device_id, s.{column} AS value
                 FROM {sampled("environmental", "location_key", [column], place_keys(column))} s ORDER BY 1""",
        unit,
    )


def of_sensor(title: str, description: str, name: str, columns: Mapping[str, str], unit: str) -> Json:
    """Columns of the sensors that are mounted on machines: {column: what follows the sensor's name}."""
    parts = ", ".join(f"('{suffix}', s.{column}::float8)" for column, suffix in columns.items())
    # The device is that of the sample; a hole has none.
    return chart(
        title,
        description,
        f"""
                 SELECT s.time, s.key || p.suffix AS metric, s.key AS device_id, p.value
                 FROM {sampled(name, "sensor_key", [*columns, "device_key"], SENSOR_KEYS)} s
                 LEFT JOIN devices d USING (device_key)
                 CROSS JOIN LATERAL (VALUES {parts}) p (suffix, value)
                 WHERE s.device_key IS NULL OR d.device_id = ANY ({DEVICES}) ORDER BY 1""",
        unit,
    )


def _numbers() -> Row:
    return row(
        "Now and over the range",
        stat(
            "Machines",
            "How many are chosen.",
            f"SELECT cardinality({DEVICES}) AS machines",
            COUNT,
            decimals=0,
            width=4,
        ),
        stat(
            "Power now",
            "Sum of the newest readings of the machines' meters, as long as they hold: three of a meter's intervals, at"
            " least five minutes.",
            f"SELECT sum(power_w) AS watts FROM {now()} n",
            W,
            decimals=0,
            width=4,
        ),
        common.energy_total(4),
        stat(
            "Newest reading",
            "Age of the newest reading of the machines' meters.",
            f"SELECT extract(epoch FROM now() - max(last_at)) AS seconds FROM meter_state WHERE meter_id IN ({METERS})",
            S,
            AGE,
            0,
            4,
        ),
        stat(
            "Newest status",
            "Age of the newest status of the machines.",
            "SELECT extract(epoch FROM now() - max(status_at)) AS seconds FROM device_latest"
            f" WHERE device_id = ANY ({DEVICES})",
            S,
            AGE,
            0,
            4,
        ),
        stat(
            "Power is shown by",
            "The bucket of the chart of power; it follows the range and the number of machines.",
            f"""
                SELECT CASE step WHEN 0 THEN 'readings' WHEN 60 THEN 'minutes' WHEN 900 THEN 'quarters of an hour'
                        WHEN 3600 THEN 'hours' ELSE 'days' END AS bucket, step AS seconds
                FROM (SELECT series_step({RANGE}, cardinality({DEVICES})) AS step) s""",
            S,
            decimals=0,
            width=4,
            by_row=True,
        ),
    )


def _power() -> Row:
    return row(
        "Power",
        by_machine(
            "Power",
            "Time-weighted mean power: readings below six hours, then rollups of a minute, a quarter, an hour, a day;"
            " coarser the more machines are chosen.",
            f"""
                SELECT s.time, d.friendly_name AS metric, s.device_id, s.avg_power_w AS watts
                FROM {series()} s JOIN devices d USING (device_id) ORDER BY 1, 2""",
            W,
            24,
            10,
            links=MACHINE_OF_SERIES,
        ),
    )


def _electricity() -> Row:
    powers = ["apparent_power_va", "reactive_power_var"]
    return row(
        "Electricity",
        of_meter("Voltage", "Line voltage at the meter.", "voltage", V),
        of_meter("Current", "Current through the meter.", "current_amps", A),
        of_meter("Power factor", "Real power over apparent power.", "power_factor", COUNT),
        of_meter("Frequency", "Line frequency.", "frequency_hz", HZ),
        of_meter("Plug temperature", "Inside the smart plug.", "plug_temp_c", C),
        chart(
            "Apparent and reactive power",
            "From plugs that tell them (Tasmota).",
            f"""
                      SELECT s.time, s.key || p.suffix AS metric, s.key AS device_id, p.value
                      FROM {sampled("smartplug", "meter_key", powers, METER_KEYS)} s
                      CROSS JOIN LATERAL
                         (VALUES (' apparent', s.apparent_power_va::float8),
                                 (' reactive', s.reactive_power_var::float8)) p (suffix, value) ORDER BY 1""",
            VA,
        ),
    )


def _printers() -> Row:
    return row(
        "Printers",
        of_printer(
            "Nozzle",
            "Temperature of the nozzle, and what it is told to have.",
            {"nozzle_temp_actual": "", "nozzle_temp_target": " target"},
            C,
        ),
        of_printer(
            "Bed",
            "Temperature of the bed, and what it is told to have.",
            {"bed_temp_actual": "", "bed_temp_target": " target"},
            C,
        ),
        of_printer("Progress", "Progress of the print as the printer tells it.", {"progress_percent": ""}, PERCENT),
        of_printer("Height", "Height of the nozzle.", {"z_height_mm": ""}, MM),
        of_printer(
            "Speed",
            "Speed setting, 100 % is as sliced.",
            {"speed_multiplier_percent": ""},
            PERCENT,
            line_style(0),
        ),
        of_printer("Fan", "Speed of the part fan.", {"fan_rpm": ""}, RPM),
    )


def _mounted_sensors() -> Row:
    return row(
        "Sensors on machines",
        of_sensor("Thermocouples", "MAX6675 probes.", "max6675_temperature", {"temperature_c": ""}, C),
        of_sensor(
            "Acceleration",
            "MPU6050, by axis.",
            "mpu6050_accelerometer",
            {"accel_x_ms2": " x", "accel_y_ms2": " y", "accel_z_ms2": " z"},
            M_PER_S2,
        ),
        of_sensor(
            "Rotation",
            "MPU6050, by axis.",
            "mpu6050_gyroscope",
            {"gyro_x_rads": " x", "gyro_y_rads": " y", "gyro_z_rads": " z"},
            RAD_PER_S,
        ),
    )


def _model() -> Row:
    return row(
        "Model",
        chart(
            "Predicted power",
            "What the power model expects of the printers.",
            f"""
                      SELECT s.time, d.friendly_name AS metric, s.key AS device_id, s.predicted_power_watts AS watts
                      FROM {sampled("prediction", "device_key", ["predicted_power_watts"], DEVICE_KEYS)} s
                      JOIN devices d ON d.device_id = s.key
                      ORDER BY 1""",
            W,
        ),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-sensors",
        "Sensor Data Explorer",
        "Every measurement of the chosen machines, over any range. Choose few machines for fine curves.",
        (variables.FACTORY, variables.DEVICE, variables.ENERGY_TYPE),
        (
            _numbers(),
            _power(),
            _electricity(),
            _printers(),
            row(
                "Surroundings",
                of_place("Temperature", "Air temperature at each place that is measured.", "indoor_temp_c", C),
                of_place("Humidity", "Relative humidity at each place that is measured.", "humidity_percent", HUMIDITY),
                of_place("Air pressure", "Air pressure at each place that is measured.", "pressure_hpa", PRESSURE),
            ),
            _mounted_sensors(),
            _model(),
        ),
        time=("now-3h", "now"),
        refresh="30s",
    )
