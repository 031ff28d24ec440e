"""Template variables. Each lists what the one before it leaves; All stands for all that are listed."""

from .config import DATASOURCE, Json
from .queries import FACTORIES

FACTORY_SQL = "SELECT name AS __text, slug AS __value FROM factories ORDER BY name"
# Names need not be unique, and Grafana shows only the first of equal ones.
NAMESAKES = "count(*) OVER (PARTITION BY d.friendly_name)"
DEVICE_SQL = f"""
SELECT d.friendly_name
           || CASE WHEN {NAMESAKES} > 1 THEN ' (' || d.device_id || ')' ELSE '' END AS __text,
       d.device_id AS __value
FROM devices d JOIN factories f USING (factory_id) WHERE d.is_active AND f.slug = ANY ({FACTORIES}) ORDER BY 1"""
ENERGY_TYPE_SQL = """SELECT t.name AS __text, t.energy_type AS __value FROM energy_types t
WHERE t.energy_type = 'electricity' OR EXISTS (SELECT 1 FROM meters m WHERE m.energy_type = t.energy_type)
ORDER BY t.sort, 1"""

ALL = {"text": ["All"], "value": ["$__all"]}
ELECTRICITY = {"text": "Electricity", "value": "electricity"}
ON_LOAD, ON_RANGE = 1, 2


def query(
    name: str,
    label: str,
    sql: str,
    description: str,
    multi: bool = True,
    current: Json | None = None,
    refresh: int = ON_LOAD,
) -> Json:
    """A variable whose values come from the database (columns __text and __value)."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "query": sql,
        "refresh": refresh,
        "multi": multi,
        "includeAll": multi,
        "sort": 0,
        "options": [],
        "hide": 0,
        **({"current": current or ALL} if current or multi else {}),
    }


FACTORY = query("factory", "Factory", FACTORY_SQL, "The factories whose machines are listed")
DEVICE = query("device", "Machine", DEVICE_SQL, "One, several or all machines of the chosen factories")
ONE_DEVICE = query("device", "Machine", DEVICE_SQL, "The machine that this dashboard is about", multi=False)
ENERGY_TYPE = query(
    "energy_type",
    "Energy",
    ENERGY_TYPE_SQL,
    "One kind of energy: kinds are never added together",
    multi=False,
    current=ELECTRICITY,
)
