"""gunicorn of the API: one process with threads.

A request mostly waits for PostgreSQL, and other threads continue meanwhile. So threads serve a slow and a fast request
side by side for a fraction of the memory of processes; and one process has one memory of phases and tags.
"""

import os

from gunicorn import glogging
from gunicorn.config import Config

from common import logs

LEVEL = os.environ.get("ENMS_LOG_LEVEL") or "info"
logs.configure("api", LEVEL)  # what the application itself logs


class Logger(glogging.Logger):
    """gunicorn's own lines in the form of all our parts."""

    def setup(self, cfg: Config) -> None:
        """Formats its error log as ours; there is no access log."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.Logfmt("api"))


logger_class = Logger
bind = f"{os.environ.get('ENMS_API_HOST', '127.0.0.1')}:{os.environ.get('ENMS_API_PORT', '5000')}"
workers = 1
threads = 8
worker_class = "gthread"
timeout = 30  # a worker that is stuck for longer is replaced
graceful_timeout = 10
keepalive = 75  # Nginx keeps its connections for up to a minute
max_requests = 0
backlog = 256
limit_request_line = 4094
limit_request_fields = 50
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # the heartbeat never waits for a disk
accesslog = None  # Nginx logs requests
errorlog = "-"
loglevel = LEVEL
proc_name = "enms-api"
wsgi_app = "enms_api.app:create_app()"
control_socket_disable = True  # it would lie in the home directory and be shared by two stacks
