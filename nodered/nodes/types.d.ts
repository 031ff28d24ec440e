// What our nodes use of Node-RED, which brings no types of its own, and what they share with each other.

import type { EventEmitter } from 'node:events';

// --- Node-RED ------------------------------------------------------------------------------------------------------

/** What travels on a wire. Flows may put anything on it. */
export interface FlowMessage {
  topic?: any;
  payload?: any;
  [property: string]: any;
}

/** What a node shows below itself in the editor. */
export interface NodeStatus {
  fill?: 'red' | 'green' | 'yellow' | 'blue' | 'grey';
  shape?: 'ring' | 'dot';
  text?: string;
}

/** One message, or one (null: none) per output. */
export type Send = (message: FlowMessage | (FlowMessage | null)[]) => void;
/** Ends the work on a message; an error goes to the tab's catch node. */
export type Done = (error?: Error | string) => void;

/** A node at run time. */
export interface FlowNode {
  id: string;
  name?: string;
  /** Ids of the nodes behind each output. */
  wires: string[][];
  on(event: 'input', listener: (message: FlowMessage, send: Send, done: Done) => void): void;
  on(event: 'close', listener: (done: () => void) => void): void;
  send: Send;
  status(status: NodeStatus): void;
  log(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

/** An answer of Node-RED's web server (Express). */
export interface HttpResponse {
  status(code: number): this;
  set(name: string, value: string): this;
  json(body: unknown): this;
  send(body: unknown): this;
}

/** What Node-RED passes to a module of nodes. */
export interface Runtime {
  nodes: {
    createNode(node: FlowNode, config: object): void;
    registerType(type: string, constructor: (this: FlowNode, config: any) => void): void;
  };
  events: EventEmitter;
  httpNode: {
    get(path: string, handler: (request: unknown, response: HttpResponse) => Promise<void>): void;
  };
  log: {
    INFO: number;
    log(event: { level: number; type: string; msg: string }): void;
  };
}

// --- Settings of our nodes, as the editor stores them (see the .html files) ----------------------------------------

/** The editor stores numbers as it likes: as numbers or as text. */
type EditorNumber = number | string;

export interface MqttIngestConfig {
  topics?: string;
  clientId?: string;
  batchMessages?: EditorNumber;
  batchMs?: EditorNumber;
}

export interface MqttPublishConfig {
  topic?: string;
}

export interface PostgresConfig {
  mode?: 'batch' | 'query';
  role?: string;
  statement: string;
  /** Seconds. */
  timeout?: EditorNumber;
  /**
   * Empty: rows as records in one JSON array; `*`: one JSON object with a list per property; else properties, separated
   * by spaces or commas, for one array each.
   */
  columns?: string;
  batchRows?: EditorNumber;
  batchMs?: EditorNumber;
  memoryRows?: EditorNumber;
  spoolMegabytes?: EditorNumber;
  whenDrained?: boolean;
}

export interface PythonFunctionConfig {
  call?: 'function' | 'script';
  target?: string;
  script?: string;
  arrays?: 'lists' | 'typed';
  /** Seconds. */
  timeout?: EditorNumber;
  queueLimit?: EditorNumber;
  concurrency?: EditorNumber;
}

// --- What the nodes know of each other -----------------------------------------------------------------------------

/** Decoded JSON that goes to the database: a reading, a sample, a status with its actions … */
export type Row = Record<string, any>;

/** A postgres node in batch mode, as the rest of the ingest sees it. */
export interface Sink {
  label: string;
  /** Resolves when all that it had received is committed or on disk. */
  flush(): Promise<void>;
  /** It asks its sources to wait. */
  readonly congested: boolean;
  /** Rows in memory. */
  readonly queued: number;
  /** Rows on disk. */
  readonly spooled: number;
  readonly spoolBytes: number;
  /** Why the database does not take rows. */
  readonly failure: string | null;
  /** Rows since the start: committed, refused by the database, and lost. */
  readonly committed: number;
  readonly refused: number;
  readonly lost: number;
}

/** An mqtt-ingest node, as the rest of the ingest sees it. */
export interface Source {
  clientId: string;
  connected: boolean;
  /** What arrives was queued while we were away. */
  backlog: boolean;
  /** Messages since the start. */
  received: number;
  /** Messages on disk that may not be in the database yet. */
  readonly unsafe: number;
  problem: string | null;
}

/** What the service knows about itself; `ok`: it is ready to work. */
export interface Health {
  ok: boolean;
  flows: 'started' | 'stopped';
  mqtt: 'connected' | 'not connected';
  /** `ok`, or why it does not answer. */
  database: string;
  sources: {
    client_id: string; connected: boolean; backlog: boolean; received: number; unsafe: number; problem: string | null;
  }[];
  spool: { queued_rows: number; spooled_rows: number; bytes: number; failing: string | null };
  /** How late the event loop came to its work since the last look. */
  event_loop_p99_ms: number;
  event_loop_max_ms: number;
  memory_mb: number;
}
