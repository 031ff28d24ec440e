"""GET /api/dpp_summary: the rows of the fleet, live or made up, and how they become the answer."""
