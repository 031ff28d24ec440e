'use strict';
// Topic → parser, in one place. A new plug kind is a parser file, its fixtures and one line here.

// `topics` are the subscriptions of the tab; MQTT has no wildcard for "any prefix", so one to three levels are named.
// The order decides: families with a fixed first level come before Shelly Gen2, whose prefix is free.
const ROUTES = [
  { tab: 'shelly', parser: require('./parsers/shelly-gen1'), topics: ['shellies/+/relay/#', 'shellies/+/emeter/#', 'shellies/+/online'] },
  { tab: 'tasmota', parser: require('./parsers/tasmota'), topics: ['tele/#', 'stat/#'] },
  { tab: 'esp32', parser: require('./parsers/esp32'), topics: ['esp32/#'] },
  { tab: 'shelly', parser: require('./parsers/shelly-gen2'), topics: ['', '+/', '+/+/'].flatMap((more) => [`+/${more}status/+`, `+/${more}events/rpc`, `+/${more}online`]) },
];

const TABS = [...new Set(ROUTES.map((route) => route.tab))];

/** {parser, device} for a topic, or null when no parser of that tab (all tabs when not given) knows it. */
function route(topic, tab = null) {
  for (const { tab: own, parser } of ROUTES) {
    if (tab !== null && own !== tab) continue;
    const device = parser.device(topic);
    if (device !== null) return { parser, device };
  }
  return null;
}

/** The MQTT subscriptions of a tab. */
function subscriptions(tab) {
  return ROUTES.filter((entry) => entry.tab === tab).flatMap((entry) => entry.topics);
}

module.exports = { route, subscriptions, TABS };
