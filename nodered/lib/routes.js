'use strict';
// Topic → parser, in one place. A new plug kind is a parser file, its fixtures and one line here.

/** @import { Parser, Route, Tab } from './types' */

// MQTT has no wildcard for "any prefix", so one to four levels are named.
const LEVELS = ['+/', '+/+/', '+/+/+/', '+/+/+/+/'];
const GEN2_TOPICS = LEVELS
  .flatMap((prefix) => [`${prefix}status/+`, `${prefix}events/rpc`, `${prefix}online`]);

/**
 * The order decides: families with a fixed first level come before Shelly Gen2, whose prefix is free.
 * @type {{tab: Tab, parser: Parser, topics: string[]}[]}  topics: the subscriptions of the tab
 */
const ROUTES = [
  {
    tab: 'shelly', parser: require('./parsers/shelly-gen1'),
    topics: ['relay/#', 'emeter/#', 'roller/#', 'light/#', 'online'].map((words) => `shellies/+/${words}`),
  },
  {
    tab: 'tasmota', parser: require('./parsers/tasmota'),
    topics: ['', ...LEVELS].flatMap((prefix) => [`${prefix}tele/#`, `${prefix}stat/#`]),
  },
  { tab: 'esp32', parser: require('./parsers/esp32'), topics: ['esp32/#'] },
  { tab: 'shelly', parser: require('./parsers/shelly-gen2'), topics: GEN2_TOPICS },
];

/** @type {Tab[]} */
const TABS = [...new Set(ROUTES.map((entry) => entry.tab))];

/**
 * Where a topic leads.
 * @param {string} topic
 * @param {Tab | null} [tab]  only the parsers of this tab; null: all
 * @returns {Route | null} null when none of them knows it
 */
function route(topic, tab = null) {
  for (const { tab: own, parser } of ROUTES) {
    if (tab !== null && own !== tab) continue;
    const device = parser.device(topic);
    if (device !== null) return { parser, device };
  }
  return null;
}

/**
 * The MQTT subscriptions of a tab; its mqtt-ingest node has the same.
 * @param {Tab} tab
 * @returns {string[]}
 */
function subscriptions(tab) {
  return ROUTES.filter((entry) => entry.tab === tab).flatMap((entry) => entry.topics);
}

module.exports = { route, subscriptions, TABS };
