"""GET /api/dpp_summary: the facts of a fleet (facts.py), live or made up, become the answer (answer.py)."""
