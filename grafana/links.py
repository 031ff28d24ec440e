"""Links out of panels and dashboards: to a machine's dashboard, into the app and to the flow editor."""

from .config import APP, EDITOR, Json

KEEP = "${__url_time_range}"


def link(title: str, url: str, new_tab: bool = False) -> Json:
    """A link on a value; `${__data.fields…}` and the like are filled in by Grafana."""
    return {"title": title, "url": url, "targetBlank": new_tab}


def machine(value: str) -> list[Json]:
    """The links of a machine; `value` is Grafana's expression for its id."""
    return [
        link("Dashboard of the machine", f"/d/enms-machine/machine?var-device={value}&{KEEP}"),
        link("Passport", f"{APP}/passports?device={value}", new_tab=True),
        link("Analysis", f"{APP}/analysis?device={value}&range=24h", new_tab=True),
    ]


# The table's own column device_id, and the label of a series.
MACHINE_OF_ROW = machine('${__data.fields["device_id"]:percentencode}')
MACHINE_OF_SERIES = machine("${__field.labels.device_id:percentencode}")
PRINT_OF_ROW = [
    link("Print in the app", f'{APP}/prints?find=${{__data.fields["search"]:percentencode}}', new_tab=True),
    link(
        "Passport of the machine", f'{APP}/passports?device=${{__data.fields["device_id"]:percentencode}}', new_tab=True
    ),
]


def dashboard_links() -> list[Json]:
    """The links in the head of every dashboard."""
    outside = {
        "type": "link",
        "icon": "external link",
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": True,
    }
    return [
        {
            "type": "dashboards",
            "title": "Dashboards",
            "tooltip": "The other dashboards, with the same range and machines",
            "icon": "external link",
            "tags": ["enms"],
            "asDropdown": True,
            "includeVars": True,
            "keepTime": True,
            "targetBlank": False,
        },
        {**outside, "title": "App", "tooltip": "The passports of the fleet", "url": f"{APP}/overview"},
        {**outside, "title": "Editor", "tooltip": "The data flows in Node-RED", "url": EDITOR},
    ]
