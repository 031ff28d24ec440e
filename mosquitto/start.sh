#!/bin/sh
# Starts the broker in its container: fills in the templates and makes the password file from the environment.
set -eu
umask 077
export ENMS_MQTT_LISTEN="1883" ENMS_MQTT_DATA_DIR=/mosquitto/data ENMS_MQTT_CONFIG_DIR=/tmp/enms ENMS_MQTT_UNIX_USER=mosquitto
mkdir -p "$ENMS_MQTT_CONFIG_DIR"
for name in mosquitto.conf mosquitto.acl; do
    sed -e "s|\${ENMS_MQTT_LISTEN}|$ENMS_MQTT_LISTEN|" -e "s|\${ENMS_MQTT_DATA_DIR}|$ENMS_MQTT_DATA_DIR|" \
        -e "s|\${ENMS_MQTT_CONFIG_DIR}|$ENMS_MQTT_CONFIG_DIR|" -e "s|\${ENMS_MQTT_UNIX_USER}|$ENMS_MQTT_UNIX_USER|" \
        -e "s|\${ENMS_MQTT_DEVICE_USER}|$ENMS_MQTT_DEVICE_USER|" -e "s|\${ENMS_MQTT_INGEST_USER}|$ENMS_MQTT_INGEST_USER|" \
        "/enms/$name" > "$ENMS_MQTT_CONFIG_DIR/$name"
done
passwords="$ENMS_MQTT_CONFIG_DIR/mosquitto.passwords"
printf '%s:%s\n%s:%s\n' "$ENMS_MQTT_DEVICE_USER" "$ENMS_MQTT_DEVICE_PASSWORD" \
    "$ENMS_MQTT_INGEST_USER" "$ENMS_MQTT_INGEST_PASSWORD" > "$passwords"
mosquitto_passwd -U "$passwords"
chown -R mosquitto "$ENMS_MQTT_CONFIG_DIR" "$ENMS_MQTT_DATA_DIR"
exec mosquitto -c "$ENMS_MQTT_CONFIG_DIR/mosquitto.conf"
