// What a dashboard of ours may be: Grafana's published types, strict about the options of each kind of panel.

import type { Dashboard, FieldConfig, Panel, RowPanel } from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as histogram from '@grafana/schema/dist/esm/raw/composable/histogram/panelcfg/x/HistogramPanelCfg_types.gen';
import type * as piechart from '@grafana/schema/dist/esm/raw/composable/piechart/panelcfg/x/PieChartPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as xychart from '@grafana/schema/dist/esm/raw/composable/xychart/panelcfg/x/XYChartPanelCfg_types.gen';

/** A type as JSON writes it: enums by their values. */
type Json<T> = T extends string ? `${T}` : T extends (infer U)[] ? Json<U>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** What an override may set: a setting of a field, or of its kind of panel. */
type Property<Custom> = { id: keyof FieldConfig | `custom.${string & keyof Custom}`; value?: unknown };

interface Link { title: string; url: string; targetBlank: boolean }

type Field<Custom> = Omit<Json<FieldConfig>, 'custom' | 'links'> & { custom?: Partial<Json<Custom>>; links?: Link[] };

type PanelOf<Kind extends string, Options, Custom = Record<string, never>> = Omit<Json<Panel>, 'type' | 'options' | 'fieldConfig' | 'gridPos' | 'id' | 'title' | 'description'> & {
  type: Kind;
  id: number;
  title: string;
  description: string;
  gridPos: { h: number; w: number; x: number; y: number };
  options: Partial<Json<Options>>;
  fieldConfig: { defaults: Field<Custom>; overrides: { matcher: { id: 'byName'; options: string }; properties: Property<Custom>[] }[] };
};

export type Checked = Omit<Json<Dashboard>, 'panels'> & {
  panels: (
    | Json<RowPanel>
    | PanelOf<'barchart', barchart.Options, barchart.FieldConfig>
    | PanelOf<'bargauge', bargauge.Options>
    | PanelOf<'histogram', histogram.Options, histogram.FieldConfig>
    | PanelOf<'piechart', piechart.Options, piechart.FieldConfig>
    | PanelOf<'stat', stat.Options>
    | PanelOf<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
    | PanelOf<'table', table.Options, table.FieldConfig>
    | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
    | PanelOf<'xychart', xychart.Options, xychart.FieldConfig>
  )[];
};
