"""What Node-RED serves of the analysis; docs/analysis.md explains how each figure is made."""

from enms_api.parameters import DEVICE_ID

from .schema import (
    ANY_OBJECT,
    INSTANT,
    Json,
    answer,
    array,
    boolean,
    nullable,
    number,
    obj,
    one_of,
    operation,
    query,
    ref,
    text,
)

TIME_RANGES = ("1h", "6h", "24h", "7d", "30d", "all")
DRIVERS = (
    "nozzle_temp_actual",
    "bed_temp_actual",
    "nozzle_temp_target",
    "bed_temp_target",
    "is_printing",
    "z_height_mm",
    "speed_multiplier_percent",
    "progress_percent",
    "temperature_c",
    "humidity_pct",
    "material",
)
PHASES = ("Heating", "Printing", "Paused", "Cooling", "Idle", "Active", "No data")
STEPS = ("database", "dataset", "phases", "statistics", "model", "insights", "total")

PHASE = obj(
    {
        "duration_minutes": number("Time in the phase, min"),
        "duration_percent": number("Of the range, %"),
        "energy_kwh": number("Energy in it, kWh"),
        "energy_percent": nullable(number("Of the total, %; null when the total is 0")),
        "avg_power": nullable(number("W over the time whose energy is known")),
    }
)
PHASE_ANALYSIS = obj(
    dict.fromkeys(PHASES, PHASE),
    "The phases exclude each other; their time sums to the range, their energy to the total",
)
BY_DRIVER: Json = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
ERROR = obj(
    {
        "mae_w": number("Mean error, W"),
        "rmse_w": number("RMSE, W"),
        "r2": nullable(number("R²")),
        "bias_w": number("Predicted − actual, W"),
        "n": number("Rows"),
    }
)

SCHEMAS: Json = {
    "AnalysisRequest": {
        "type": "object",
        "required": ["deviceId"],
        "description": "Either timeRange, or from and to",
        "properties": {
            "deviceId": {"type": "string", "pattern": DEVICE_ID, "description": "A device, as in GET /api/devices"},
            "timeRange": one_of(TIME_RANGES, "Until now"),
            "from": INSTANT,
            "to": INSTANT,
            "selectedDrivers": {
                "type": "object",
                "description": "Drivers to look at; all that have values when it is missing",
                "properties": {name: {"type": "boolean"} for name in DRIVERS},
                "additionalProperties": False,
            },
        },
    },
    "Analysis": obj(
        {
            "success": boolean("The question could be answered"),
            "error": nullable(text("Why not")),
            "results": {"anyOf": [ref("AnalysisResults"), {"type": "null"}]},
            "timing": obj({f"{step}_ms": number(f"{step}, ms") for step in STEPS}, "How long each step took"),
        }
    ),
    "AnalysisResults": obj(
        {
            "summary": obj(
                {
                    "deviceId": text("Device"),
                    "friendlyName": text("Its name for people"),
                    "deviceModel": nullable(text("Model")),
                    "deviceType": text("Type"),
                    "timeRange": nullable(one_of(TIME_RANGES, "As asked; null for from and to")),
                    "from": INSTANT,
                    "to": INSTANT,
                    "total_kwh": nullable(number("Energy, kWh; null when none is known")),
                    "cost": nullable(number("Σ energy × tariff of that moment")),
                    "currency": nullable(text("ISO 4217")),
                    "co2_g": nullable(number("Σ energy × carbon factor, g")),
                    "avg_power_w": nullable(number("W")),
                    "peak_power_w": nullable(number("Highest reading or bucket mean, W")),
                    "empty": boolean("Nothing is known of the range"),
                    "text": text("The first sentence for a person"),
                }
            ),
            "new_metrics": obj(
                {
                    "total_kwh": nullable(number("kWh")),
                    "avg_power_overall": nullable(number("W")),
                    "avg_power_active": nullable(number("W over Heating, Printing, Paused, Active")),
                    "phase_analysis": PHASE_ANALYSIS,
                }
            ),
            "phase_analysis": PHASE_ANALYSIS,
            "correlation": {
                "type": "object",
                "description": "By driver",
                "additionalProperties": obj(
                    {
                        "pearson": nullable(number("r")),
                        "pearson_p": nullable(number("p")),
                        "spearman": nullable(number("ρ")),
                        "spearman_p": nullable(number("p")),
                        "n": number("Rows that know both"),
                        "n_effective": nullable(number("Independent rows that they are worth")),
                        "p_effective": nullable(number("Pearson's p for these")),
                    }
                ),
            },
            "regression": obj(
                {
                    "drivers": array(text("Driver")),
                    "dropped": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "description": "Left out, and why",
                    },
                    "coefficients": BY_DRIVER,
                    "standard_errors": BY_DRIVER,
                    "p_values": BY_DRIVER,
                    "vif": BY_DRIVER,
                    "intercept": nullable(number("W")),
                    "intercept_standard_error": nullable(number("W")),
                    "r_squared": nullable(number("R²")),
                    "adjusted_r_squared": nullable(number("R²")),
                    "residual_std": nullable(number("W")),
                    "n_samples": number("Rows"),
                    "hac_lags": number("Rows"),
                    "reference_material": nullable(text("Material")),
                }
            ),
            "ml_prediction_summary": {
                "type": "object",
                "required": ["available", "note"],
                "description": "What the model expects; with available false, note says why there is none",
                "properties": {
                    "available": boolean("A model spoke"),
                    "note": nullable(text("Why not, or what is odd")),
                },
                "additionalProperties": True,
            },
            "ml_evaluation_metrics": nullable(
                {**ERROR, "properties": {**ERROR["properties"], "trained": nullable(ANY_OBJECT)}}
            ),
            "ml_feature_importance": array(
                obj({"feature": text("Group of features"), "importance_w": number("W"), "share": number("0 … 1")})
            ),
            "ml_top_drivers": array(
                obj(
                    {
                        "feature": text("Feature"),
                        "group": text("Group"),
                        "mean_contribution_w": number("W"),
                        "mean_absolute_contribution_w": number("W"),
                    }
                )
            ),
            "insights": array(text("Sentence")),
            "savings": array(
                obj(
                    {
                        "id": text("Kind"),
                        "text": text("Sentence"),
                        "kwh": number("kWh"),
                        "money": nullable(number("Money")),
                        "currency": nullable(text("ISO 4217")),
                    }
                )
            ),
            "series": obj(
                {
                    "timestamps": array(INSTANT),
                    "actual": array(nullable(number("W"))),
                    "predicted": array(nullable(number("W"))),
                    "phase": array(one_of(PHASES, "Phase")),
                },
                "At most 1,000 points, each the mean of the rows that it stands for",
            ),
            "data_quality": {**ANY_OBJECT, "description": "Rows, coverage, gaps, age of statuses, notes"},
            "grafanaUrls": nullable(
                {
                    "type": "object",
                    "properties": {"machine": text("URL of the device's dashboard")},
                    "required": ["machine"],
                }
            ),
        }
    ),
    "AnalysisError": {
        "type": "object",
        "required": ["success", "error"],
        "properties": {"success": {"const": False}, "error": text("Why")},
    },
}

DEVICE_MODEL = query(
    "deviceModel", {"type": "string"}, "A printer model; the fleet's model speaks for one that has none of its own"
)
PATHS: Json = {
    "/api/analyze": {
        "post": {
            "summary": "What a device used, in which phase, and what drives it",
            "description": (
                "Energy of a range by phase, what goes along with the power, and what the model expects. Send"
                " If-None-Match: what brings nothing new is a 304."
            ),
            "parameters": [],
            "requestBody": {"required": True, "content": {"application/json": {"schema": ref("AnalysisRequest")}}},
            "responses": {
                "200": answer(
                    "The analysis; a range without data says so",
                    ref("Analysis"),
                    {"ETag": {"description": "Tag of the request and the newest data", "schema": {"type": "string"}}},
                ),
                "304": {"description": "Nothing new since the answer with that ETag"},
                "400": answer("The request is not as described", ref("AnalysisError")),
                "404": answer("There is no such device", ref("AnalysisError")),
                "503": answer(
                    "The database is away, or the workers have more to do than they can; Retry-After says when to ask"
                    " again",
                    ref("AnalysisError"),
                ),
            },
            "operationId": "analyze",
        }
    },
    "/api/model": operation(
        "The card of the power model",
        "What it learnt from, how it was judged, what it can't know.",
        answer("The card", ANY_OBJECT),
        [DEVICE_MODEL],
        responses={"404": answer("No model has been trained, or it can't be used", ref("Error"))},
        operation_id="model",
    ),
    "/api/model/card": operation(
        "The same card for people",
        "A page that needs nothing else.",
        {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}},
        [DEVICE_MODEL],
        responses={
            "404": {
                "description": "A page that says why there is none",
                "content": {"text/html": {"schema": {"type": "string"}}},
            }
        },
        operation_id="model_card",
    ),
}
