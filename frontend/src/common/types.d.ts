// What the API returns, as far as the pages read it. /api/docs describes all of it, with units and meanings.

/** A time, ISO 8601 in UTC. */
type Instant = string;

/** A value and its unit, as format.js makes them. */
export type Figure = [value: string, unit?: string];

// GET /api/dpp_summary

export interface Summary {
  printers: Printer[];
  globalHistory: HistoryEntry[];
}

export interface Printer {
  deviceId: string;
  friendlyName: string;
  model: string | null;
  location: string | null;
  plant_type: string;
  plantStage: number;
  plantStages: number;
  /** 0 wilted … 100 thriving; null when there is nothing to compare with. */
  plantHealth: number | null;
  bedWidth: number | null;
  bedDepth: number | null;
  currentStatus: string;
  isPrintingNow: boolean;
  statusAgeSeconds: number | null;
  currentNozzleTemp: number | null;
  targetNozzleTemp: number | null;
  currentBedTemp: number | null;
  targetBedTemp: number | null;
  currentMaterial: string | null;
  powerWatts: number | null;
  kwhLast24h: number | null;
  lastJobKwh: number | null;
  lastJobCost: number | null;
  lastJobCurrency: string | null;
  lastJobCo2Grams: number | null;
  lastJobPerPartAnalysis: unknown;
  jobFilename: string | null;
  jobProgressPercent: number | null;
  jobTimeLeftSeconds: number | null;
  jobKwhConsumed: number | null;
  gcodePreviewUrl: string | null;
  thumbnailUrl: string | null;
  job_details: JobDetails | null;
  detailed_analysis_data: JobAnalysis | null;
  /** The last five ended prints, the newest first. */
  history: PastPrint[];
  tipText: string;
  /** At least one, the most important first. */
  tips: Tip[];
}

export interface Tip {
  id: string;
  text: string;
  saving: { kwhPerDay: number; moneyPerDay: number | null; currency: string | null } | null;
}

/** What the G-code says of a print. */
export interface JobDetails {
  infill_density_percent: number | null;
  layer_height_mm: number | null;
  supports_enabled: boolean | null;
  nozzle_diameter_mm: number | null;
  object_dimensions_mm: { x: number | null; y: number | null; z: number | null } | null;
  estimated_material_g: number | null;
  slicer_profile_name: string | null;
  estimated_print_time_s: number | null;
}

/** The running print. */
export interface JobAnalysis {
  energy_kwh: number | null;
  projected_total_kwh: number | null;
  cost: number | null;
  currency: string | null;
  co2_g: number | null;
  projected_cost: number | null;
  projected_co2_g: number | null;
  phases: { phase: string; seconds: number; energy_kwh: number | null }[] | null;
  comparison: {
    jobs: number;
    kwh_per_hour: number | null;
    usual_kwh_per_hour: number | null;
    kwh_per_hour_difference_percent: number | null;
    kwh_per_g: number | null;
    usual_kwh_per_g: number | null;
    kwh_per_g_difference_percent: number | null;
  };
}

/** The parts of a print as the G-code analysis found them; only a list can be shown. */
export type Parts = { name?: string | null; energy_share?: number | null; energy_wh?: number | null }[] | object | null;

export interface PastPrint {
  filename: string | null;
  session_energy_wh: number | null;
  end_time: Instant;
  status: string;
  thumbnail_url: string | null;
  per_part_analysis: Parts;
}

// GET /api/jobs and /api/jobs/<id>

/** What the summary's history and the list of prints share. */
interface Print {
  jobId: string;
  deviceId: string;
  printerName: string;
  filename: string | null;
  status: string;
  startedAt: Instant;
  kwh: number | null;
  cost: number | null;
  currency: string | null;
  co2g: number | null;
  energyQuality: EnergyQuality | null;
  thumbnailUrl: string | null;
}

export interface HistoryEntry extends Print {
  completedAt: Instant;
}

export interface Job extends Print {
  completedAt: Instant | null;
  statusReason: string | null;
  pausedSeconds: number;
  material: string | null;
  filamentGrams: number | null;
  energyFinal: boolean;
}

export interface JobPage {
  total: number;
  totals: {
    measured: number;
    kwh: number | null;
    cost: number | null;
    currency: string | null;
    co2g: number | null;
  };
  /** The ended ones, when only those are asked for. */
  jobs: (Job & HistoryEntry)[];
}

export interface JobPassport extends Job {
  previewUrl: string | null;
  job_details: JobDetails | null;
  perPartAnalysis: Parts;
}

export interface EnergyQuality {
  method: 'counter' | 'integrated' | 'mixed' | 'none';
  coverage_pct: number | null;
  resets: number;
  jumps: number;
  provisional: boolean;
  estimated_end: boolean;
}

// GET /api/factories, /api/health, /api/alarms, /api/rejects

export interface Factories {
  factories: { timezone: string; isDefault: boolean }[];
}

export interface Health {
  status: 'ok' | 'degraded' | 'unavailable';
  parts: Record<HealthPartName, HealthPart>;
  grafana: boolean;
}

export type HealthPartName = 'database' | 'ingest' | 'printers' | 'nodered' | 'broker';

export interface HealthPart {
  status: string;
  problem?: string;
  lastReadingAgeSeconds?: number | null;
  lastStatusAgeSeconds?: number | null;
}

export interface Alarm {
  kind: string;
  since: Instant | null;
  text: string;
}

export interface Reject {
  lastAt: Instant;
  source: string;
  topic: string;
  reason: string;
  count: number;
}

// GET /api/devices, /api/meters, /api/session, POST /api/devices/test

/** A row of the registry with its newest state. Its fields are read by name, too: those of the form in form.js. */
export interface Device extends Record<string, unknown> {
  device_id: string;
  friendly_name: string;
  device_model: string | null;
  location: string | null;
  source: string;
  api_ip: string | null;
  shelly_id: string | null;
  is_active: boolean;
  state: string | null;
  state_text: string | null;
  last_error: string | null;
  last_seen: Instant | null;
  power_watts: number | null;
  meters: { meter_id: string }[];
}

export interface Meter {
  meter_id: string;
  protocol: string;
  /** The device that it measures now; null: nobody's. */
  device_id: string | null;
  last_seen: Instant | null;
  power_watts: number | null;
}

export interface Session {
  user: string | null;
  csrf_token?: string;
}

export interface DeviceTest {
  ok: boolean;
  printer: string;
  plugOk: boolean;
  plug: string;
}

// POST /api/analyze

export type Analysis = { success: true; error: null; results: AnalysisResults } | { success: false; error: string };

export interface AnalysisResults {
  summary: {
    friendlyName: string;
    from: Instant;
    to: Instant;
    cost: number | null;
    currency: string | null;
    co2_g: number | null;
    peak_power_w: number | null;
    /** Nothing is known of the range. */
    empty: boolean;
  };
  new_metrics: {
    total_kwh: number | null;
    avg_power_overall: number | null;
    avg_power_active: number | null;
    phase_analysis: Record<string, AnalysisPhase>;
  };
  correlation: Record<string, Correlation>;
  regression: Regression;
  ml_prediction_summary: PredictionSummary;
  ml_evaluation_metrics: { mae_w: number; rmse_w: number; r2: number | null } | null;
  ml_feature_importance: { feature: string; importance_w: number }[];
  insights: string[];
  savings: { text: string }[];
  series: Series;
  data_quality: DataQuality;
}

export interface AnalysisPhase {
  duration_minutes: number;
  duration_percent: number;
  energy_kwh: number;
  energy_percent: number | null;
  avg_power: number | null;
}

export interface Correlation {
  pearson: number | null;
  pearson_p: number | null;
  n: number;
  p_effective: number | null;
}

export interface Regression {
  drivers: string[];
  coefficients: Record<string, number | null>;
  standard_errors: Record<string, number | null>;
  p_values: Record<string, number | null>;
  vif: Record<string, number | null>;
  intercept: number | null;
  r_squared: number | null;
  n_samples: number;
}

export type PredictionSummary = { available: false; note: string | null } | {
  available: true;
  note: string | null;
  model_type: string;
  trained_at: Instant;
  device_model: string | null;
  predicted_kwh: number | null;
  actual_kwh: number | null;
  difference_percent: number | null;
};

/** Power over time; the four lists are equally long. */
export interface Series {
  timestamps: Instant[];
  actual: (number | null)[];
  predicted: (number | null)[];
  phase: string[];
}

export interface DataQuality {
  rows: number;
  coverage_percent: number | null;
  gap_minutes: number;
  rows_without_status: number;
  oldest_status_age_s: number | null;
  notes: string[];
}
