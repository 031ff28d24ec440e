#!/bin/sh
# Starts nginx in its container, as an ordinary user: fills in the template, and speaks https where the operator's
# certificate is.
set -eu
here=$(dirname "$0")
export ENMS_NGINX_DIR="${ENMS_NGINX_DIR:-/tmp/nginx}" ENMS_NGINX_ACCESS_LOG="${ENMS_NGINX_ACCESS_LOG:-/dev/stdout}"
export ENMS_FRONTEND_DIR="${ENMS_FRONTEND_DIR:-/srv/frontend}" ENMS_GCODE_PUBLIC_DIR="${ENMS_GCODE_PUBLIC_DIR:-/srv/gcode}"
# host:port of Grafana, or a port that nobody listens on, so that its path answers 502
grafana="${ENMS_GRAFANA_URL:-}" grafana="${grafana#http://}"
export ENMS_GRAFANA_UPSTREAM="${grafana%/}"
[ -n "$ENMS_GRAFANA_UPSTREAM" ] || ENMS_GRAFANA_UPSTREAM=127.0.0.1:9
ENMS_TLS_CERT="${ENMS_TLS_CERT:-/run/secrets/tls_cert}"
ENMS_TLS_KEY="${ENMS_TLS_KEY:-/run/secrets/tls_key}"
listen="${ENMS_NGINX_LISTEN:-8080}"
if [ -s "$ENMS_TLS_CERT" ] && [ -s "$ENMS_TLS_KEY" ]; then
    export ENMS_NGINX_LISTEN="$listen ssl" ENMS_NGINX_TLS="ssl_certificate $ENMS_TLS_CERT; ssl_certificate_key $ENMS_TLS_KEY;"
else
    export ENMS_NGINX_LISTEN="$listen" ENMS_NGINX_TLS=""
fi
mkdir -p "$ENMS_NGINX_DIR"
# The same ${ENMS_…} as launcher/templates.py; nginx's own $names stay.
fill_in=$(env | sed -n 's/[&|\\]/\\&/g; s/^\(ENMS_[A-Z0-9_]*\)=\(.*\)$/s|${\1}|\2|g/p')
sed -e "$fill_in" "$here/nginx.conf" > "$ENMS_NGINX_DIR/nginx.conf"
exec nginx -c "$ENMS_NGINX_DIR/nginx.conf" -e stderr -g "daemon off;"
