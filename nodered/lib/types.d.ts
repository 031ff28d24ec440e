// What travels between the parts of nodered/: messages of the broker, readings, rows of the registry, statuses of
// printers, prints. A time is ISO 8601 text in UTC unless it says milliseconds. A value that nobody measured is null.

import type { IncomingHttpHeaders } from 'node:http';

// --- Messages and readings -----------------------------------------------------------------------------------------

/** How a message reached us. */
export interface Arrival {
  /** When, up to microseconds. */
  arrived?: string;
  /** True for what the broker kept while we were away: its arrival says nothing about its age. */
  backlog?: boolean;
}

/** One MQTT message, as the `mqtt-ingest` node passes it to the flow. */
export interface Message extends Required<Arrival> {
  topic: string;
  payload: string;
}

export type Tab = 'shelly' | 'tasmota' | 'esp32';
export type Protocol = 'shelly_gen1' | 'shelly_gen2' | 'tasmota' | 'esp32';

/** What a meter measures besides its counter: W, V, A, 1, Hz, °C. */
export type Quantity = 'power_watts' | 'voltage' | 'current_amps' | 'power_factor' | 'frequency_hz' | 'plug_temp_c';
export type MeterValues = { [Key in Quantity]?: number | null };

/** What a message tells of one phase. Its power is negative while it feeds back. */
export type PhaseValues = { phase: number } & {
  [Key in 'power_watts' | 'voltage' | 'current_amps' | 'power_factor']?: number;
};

/** A record for ingest_readings, which takes what is missing as null. */
export interface Reading extends Required<MeterValues> {
  /** For example `SPPS-02/switch:0`. */
  meter_id: string;
  protocol: Protocol;
  /** A row of energy_types. Together with direction and kind it describes the meter when this is its first reading. */
  energy_type: string;
  /** Missing: import. */
  direction?: 'import' | 'export';
  arrived: string | null;
  /** By the device's own clock; null when it sends none. */
  device_time: string | null;
  backlog: boolean;
  /** The counter. */
  energy_total_wh: number | null;
  /** The energy of the interval that ends at device_time, for a meter without a counter, and its length. */
  interval_wh?: number | null;
  interval_s?: number | null;
  /** Null for a meter of one phase. */
  phases: PhaseValues[] | null;
  topic: string;
}

/** A row for record_smartplug: what Tasmota tells besides the reading. */
export interface PlugDetail {
  meter_id: string;
  arrived: string | null;
  backlog: boolean;
  power_w: number | null;
  energy_total_kwh: number | null;
  voltage_v: number | null;
  current_a: number | null;
  power_factor: number | null;
  apparent_power_va: number | null;
  reactive_power_var: number | null;
  /** The plug has begun to count again from zero. */
  counter_reset: boolean;
}

export type SampleKind = 'environment' | 'mpu6050_accelerometer' | 'mpu6050_gyroscope' | 'max6675_temperature';
export type SampleColumn = 'temperature_c' | 'humidity_pct' | 'x' | 'y' | 'z';

/** A row for record_environment or record_sensor: °C, %, m/s², rad/s; a part that never came is null. */
export interface Sample extends Partial<Record<SampleColumn, number | null>> {
  kind: SampleKind;
  sensor_id: string;
  location_id: string;
  source: string;
  arrived: string | null;
  backlog: boolean;
}

/** A row for record_rejects: a message that could not be used, and why. */
export interface Rejected {
  source: string;
  topic: string;
  payload: string;
  reason: string;
}

/** A device has come to the broker, or gone. */
export interface Presence {
  device: string;
  online: boolean;
}

/** What a parser found in one message. */
export interface ParserResult<Memory = unknown> {
  readings: Reading[];
  /** Why the message, or a part of it, is of no use. Next to readings: an optional field was unusable and is null. */
  reject: string | null;
  /** To be passed to the next call for this device. */
  previous: Memory | null;
  /** Why a known message carries no measurement. */
  ignored?: string;
  presence?: Presence;
  detail?: PlugDetail;
  samples?: Sample[];
}

/** One protocol. Pure functions that never throw. */
export interface Parser<Memory = unknown> {
  protocol: Protocol;
  /** The device part of a topic, the key of its memory; null when the topic is not of this family. */
  device(topic: string): string | null;
  parse(topic: string, payload: unknown, previous?: Memory | null, message?: Arrival): ParserResult<Memory>;
}

/** Where a topic leads. */
export interface Route {
  parser: Parser;
  device: string;
}

/** What a batch of messages gave. */
export interface ParsedBatch {
  readings: Reading[];
  details: PlugDetail[];
  samples: Sample[];
  rejects: Rejected[];
  presence: Presence[];
  /** How many messages carried no measurement. */
  ignored: number;
}

// --- Devices -------------------------------------------------------------------------------------------------------

/** The sources that are polled. */
export type Source = 'prusalink' | 'octoprint' | 'moonraker' | 'simplyprint';

/** Where a printer is, and the key to it. */
export interface PrinterAddress {
  device_id: string;
  /** A Source, or `mqtt` or `none`: those are not polled. */
  source: string;
  api_ip?: string | null;
  api_key?: string | null;
}

/** A row of the registry, as devices_to_poll() gives it. */
export interface Device extends PrinterAddress {
  data_interval_seconds?: number | null;
  is_active?: boolean;
  simplyprint_id?: string | null;
  sp_company_id?: string | null;
  sp_api_key?: string | null;
  shelly_id?: string | null;
  open_job?: OpenJob | null;
  latest?: Previous | null;
}

/** What the database knows of a device's plug. */
export interface PlugPower {
  meter_id?: string;
  power_watts: number | null;
  power_at: string | Date | null;
}

// --- Printers ------------------------------------------------------------------------------------------------------

/** Decoded JSON of a printer or a cloud: nobody promised us its shape. */
export type Said = Record<string, any>;

export type PrinterState =
  | 'offline' | 'idle' | 'ready' | 'heating' | 'printing' | 'paused' | 'attention' | 'finished' | 'cancelled' | 'error'
  | 'unknown';
export type Outcome = 'done' | 'cancelled' | 'error';
export type PollErrorKind =
  | 'timeout' | 'unreachable' | 'auth' | 'http' | 'payload' | 'not_connected' | 'config' | 'disk';

/** A job in a source's list of past jobs. */
export interface PastJob {
  source_job_id: string | null;
  outcome: Outcome | null;
}

/** What a printer says about itself, checked and bounded. */
export interface PrinterStatus {
  device_id: string;
  timestamp: string;
  state: PrinterState;
  state_text: string | null;
  is_operational: boolean | null;
  is_printing: boolean | null;
  is_paused: boolean | null;
  is_error: boolean | null;
  is_busy: boolean | null;
  is_sd_ready: boolean | null;
  nozzle_temp_actual: number | null;
  nozzle_temp_target: number | null;
  bed_temp_actual: number | null;
  bed_temp_target: number | null;
  z_height_mm: number | null;
  speed_multiplier_percent: number | null;
  fan_rpm: number | null;
  material: string | null;
  filename: string | null;
  progress_percent: number | null;
  time_left_seconds: number | null;
  source_job_id: string | null;
  simplyprint_job_id: string | null;
  elapsed_seconds: number | null;
  filament_used_mm: number | null;
  filament_used_g: number | null;
  /** How the job on the display ended; null while it runs. */
  job_outcome: Outcome | null;
  /** What it means when the source no longer speaks of a job that has not reached its end. */
  silence_means: Outcome | null;
  recent_jobs: PastJob[];
  /** Path or URL of the file on the printer. */
  download_ref: string | null;
  /** Which interface answered. */
  api: string | null;
}

/** What step() reads of a status: only the state must be there. */
export type Look = Partial<PrinterStatus> & Pick<PrinterStatus, 'state'>;

export interface PollOptions {
  timeoutMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** The print that is open: a source that keeps past jobs elsewhere is asked how it ended. */
  openJob?: Pick<OpenJob, 'source_job_id' | 'simplyprint_job_id'> | null;
}

// --- Prints --------------------------------------------------------------------------------------------------------

export type JobStatus = 'printing' | 'paused' | 'unknown' | Outcome;

/** What is known about a print while it runs; what its source leaves out is missing or null. */
export interface JobFields {
  source_job_id?: string | null;
  simplyprint_job_id?: string | null;
  filename?: string | null;
  status?: JobStatus;
  last_seen: string;
  progress_percent?: number | null;
  time_left_seconds?: number | null;
  paused_seconds?: number;
  material?: string | null;
  filament_used_mm?: number | null;
  filament_used_g?: number | null;
  download_ref?: string | null;
}

/** An open row of print_jobs, as devices_to_poll() gives it. */
export interface OpenJob extends JobFields {
  job_id: string;
  start_time: string;
  /** The printer's own count; the database does not keep it. */
  elapsed_seconds?: number | null;
  /** The age of the job by the database, without its pauses. */
  print_elapsed_s?: number;
  /** When the source first no longer spoke of it. */
  silent_since?: string | null;
}

/** The print that is open on a device. */
export interface Job extends OpenJob {
  device_id: string;
}

/** The print that ended last on a device. */
export interface Ended {
  source_job_id?: string | null;
  filename?: string | null;
  end_time: string;
  status: JobStatus;
  progress_percent?: number | null;
  elapsed_seconds?: number | null;
}

/** What the last step() left behind; after a start the row of device_latest: `status_at` instead of `timestamp`. */
export type Previous = Partial<PrinterStatus> & { status_at?: string | null; last_ended?: Ended | null };

/** For record_status: what is to be done to the rows of print_jobs. */
export type JobAction =
  | { type: 'open'; job: Omit<Job, 'silent_since' | 'elapsed_seconds' | 'print_elapsed_s'> }
  | ({ type: 'progress'; job_id: string } & JobFields)
  | ({
    type: 'close';
    job_id: string;
    end_time: string;
    status_reason: string | null;
    /** The end was not seen: it is computed or unknown. */
    estimated: boolean;
    /** The print was over by then at the latest. */
    latest_end: string;
  } & JobFields);

export type JobEvent = { device_id: string; job_id: string; filename: string | null } & (
  | { type: 'job_started'; download_ref: string | null }
  | { type: 'job_ended'; status: JobStatus; end_time: string }
);

/** What follows from one look at a printer. */
export interface Step {
  job: Job | null;
  actions: JobAction[];
  events: JobEvent[];
  previous: Previous | null;
}

/** One poll, fit for record_status. While a printer does not answer but is not offline yet, `state` is null. */
export type PollResult = Partial<Omit<PrinterStatus, 'state'>> & {
  device_id: string;
  timestamp: string;
  state: PrinterState | null;
  /** A sentence for the operator. */
  error: string | null;
  error_kind: PollErrorKind | null;
  actions: JobAction[];
  events: JobEvent[];
};

// --- G-code of prints ----------------------------------------------------------------------------------------------

/** A print whose G-code is missing, as jobs_to_enrich() gives it. */
export interface EnrichmentJob {
  job_id: string;
  filename?: string | null;
  download_ref: string | null;
  device: PrinterAddress;
}

/** A file on its way: call download() with the same one to continue. */
export interface Transfer {
  path: string;
  /** ETag or time of change: says that the file is still the same. */
  validator?: string | null;
}

/** A file in the store, and where its picture and preview belong; the argument of gcode.worker:analyze_file. */
export interface StoredFile {
  hash: string;
  path: string;
  thumbnail_path: string;
  preview_path: string;
}

/** What gcode.worker:analyze_file returns. */
export type Analysed = { ok: true; analysis: Said } | { ok: false; error: string };

/** A row for record_gcode. */
export interface GcodeRow {
  job_id: string;
  /** `done`, or a sentence that says why there is nothing. */
  status: string;
  analysis?: Said;
  parts?: Said[] | null;
  material?: string | null;
  nozzle_diameter?: number | null;
  filament_diameter?: number | null;
  thumbnail_url?: string | null;
  preview_url?: string | null;
}

// --- HTTP ----------------------------------------------------------------------------------------------------------

/** What we read of a request, as an `http in` node or Node-RED's middleware has it. */
export interface Request {
  headers: IncomingHttpHeaders;
  socket: { remoteAddress?: string };
  /** Decoded JSON of a stranger. */
  body?: any;
}
