#!/bin/sh
# Starts the broker in its container, as an ordinary user: fills in the templates and makes the password file from the
# environment.
set -eu
umask 077
here=$(dirname "$0")
export ENMS_MQTT_LISTEN="${ENMS_MQTT_LISTEN:-1883}" ENMS_MQTT_DATA_DIR="${ENMS_MQTT_DATA_DIR:-/mosquitto/data}"
export ENMS_MQTT_CONFIG_DIR="${ENMS_MQTT_CONFIG_DIR:-/tmp/enms}" ENMS_MQTT_UNIX_USER=mosquitto
mkdir -p "$ENMS_MQTT_CONFIG_DIR"
# The same ${ENMS_…} as launcher/templates.py; passwords are in no template.
fill_in=$(env | grep -v PASSWORD | sed -n 's/[&|\\]/\\&/g; s/^\(ENMS_[A-Z0-9_]*\)=\(.*\)$/s|${\1}|\2|g/p')
for name in mosquitto.conf mosquitto.acl; do
    sed -e "$fill_in" "$here/$name" > "$ENMS_MQTT_CONFIG_DIR/$name"
done
passwords="$ENMS_MQTT_CONFIG_DIR/mosquitto.passwords"
printf '%s:%s\n%s:%s\n' "$ENMS_MQTT_DEVICE_USER" "$ENMS_MQTT_DEVICE_PASSWORD" \
    "$ENMS_MQTT_INGEST_USER" "$ENMS_MQTT_INGEST_PASSWORD" > "$passwords"
mosquitto_passwd -U "$passwords"
exec mosquitto -c "$ENMS_MQTT_CONFIG_DIR/mosquitto.conf"
