"""The reading HTTP API of ENMS: a Flask application under /api, served by gunicorn behind Nginx."""
