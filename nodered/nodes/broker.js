'use strict';
// MQTT connections from the environment: nodes name no host and no password.

const mqtt = require('mqtt');

const NEVER_EXPIRES = 0xffffffff;
// Messages that the broker may send ahead of our acknowledgements.
const RECEIVE_MAXIMUM = 1000;

/**
 * A client of the factory's broker; it reconnects by itself.
 * @param {string} clientId
 * @param {{persistent: boolean}} options  persistent: the broker queues for this client id while it is away
 * @returns {mqtt.MqttClient}
 */
function connectBroker(clientId, { persistent }) {
  const environment = process.env;
  return mqtt.connect({
    protocol: 'mqtt',
    host: environment.ENMS_MQTT_HOST || '127.0.0.1',
    port: Number(environment.ENMS_MQTT_PORT || 1883),
    username: environment.ENMS_MQTT_INGEST_USER,
    password: environment.ENMS_MQTT_INGEST_PASSWORD,
    protocolVersion: 5,
    clientId,
    clean: !persistent,
    resubscribe: false,
    keepalive: 30,
    reconnectPeriod: 1000,
    connectTimeout: 10000,
    properties: persistent ? { sessionExpiryInterval: NEVER_EXPIRES, receiveMaximum: RECEIVE_MAXIMUM } : undefined,
  });
}

module.exports = { connectBroker, RECEIVE_MAXIMUM };
