; KISSlicer - PRO
; Windows
; version 1.6.3
; Built: Jun 13 2018, 10:00:00
; Running on 8 cores
;
; Saved: Mon Jan 05 10:00:00 2026
;
; *** Printing Settings As Used ***
;
; bed_size_x_mm = 250
; printer_name = Prusa_i3
; material_name = ABS - 230
; style_name = 200 Micron
; layer_thickness_mm = 0.2
; extrusion_width_mm = 0.45
; num_ISOs = 3
; infill_density_percent = 10
; fiber_dia_mm = 1.75
; temperature_C = 230
; cost_per_kg = 30
; support_style = 0
;
; *** G-code Prefix ***
G21
G90
M83
G28
;
; *** Main G-code ***
;
; BEGIN_LAYER_OBJECT z=0.200 z_thickness=0.200
;
; 'Perimeter Path', 1.0 [feed mm/s], 40.0 [head mm/s]
G1 X90 Y90 Z0.2 E0 F9000
G1 X90.225 Y90.225 F9000
G1 X109.775 Y90.225 E0.70000 F1800
G1 X109.775 Y109.775 E0.70000
G1 X90.225 Y109.775 E0.70000
G1 X90.225 Y90.225 E0.70000
;
; 'Sparse Infill Path', 1.0 [feed mm/s], 60.0 [head mm/s]
G1 X95.000 Y95.000 F9000
G1 X105.000 Y95.000 E0.40000 F1800
G1 X105.000 Y105.000 E0.40000
G1 X95.000 Y105.000 E0.40000
G1 X95.000 Y95.000 E0.40000
; END_LAYER_OBJECT z=0.200
; BEGIN_LAYER_OBJECT z=0.200 z_thickness=0.200
; 'Support (may Stack) Path', 1.0 [feed mm/s], 60.0 [head mm/s]
G1 X127.000 Y97.000 F9000
G1 X133.000 Y97.000 E0.25000 F1800
G1 X133.000 Y103.000 E0.25000
G1 X127.000 Y103.000 E0.25000
G1 X127.000 Y97.000 E0.25000
; END_LAYER_OBJECT z=0.200
; BEGIN_LAYER_OBJECT z=0.400 z_thickness=0.200
;
; 'Perimeter Path', 1.1 [feed mm/s], 40.0 [head mm/s]
G1 X90 Y90 Z0.4 E0 F9000
G1 X90.225 Y90.225 F9000
G1 X109.775 Y90.225 E0.70000 F1800
G1 X109.775 Y109.775 E0.70000
G1 X90.225 Y109.775 E0.70000
G1 X90.225 Y90.225 E0.70000
;
; 'Sparse Infill Path', 1.1 [feed mm/s], 60.0 [head mm/s]
G1 X95.000 Y95.000 F9000
G1 X105.000 Y95.000 E0.40000 F1800
G1 X105.000 Y105.000 E0.40000
G1 X95.000 Y105.000 E0.40000
G1 X95.000 Y95.000 E0.40000
; END_LAYER_OBJECT z=0.400
; BEGIN_LAYER_OBJECT z=0.400 z_thickness=0.200
; 'Support (may Stack) Path', 1.0 [feed mm/s], 60.0 [head mm/s]
G1 X127.000 Y97.000 F9000
G1 X133.000 Y97.000 E0.25000 F1800
G1 X133.000 Y103.000 E0.25000
G1 X127.000 Y103.000 E0.25000
G1 X127.000 Y97.000 E0.25000
; END_LAYER_OBJECT z=0.400
; *** G-code Postfix ***
; Estimated Build Time:   2.50 minutes
; Estimated Build Cost:   $0.01
;
; *** Extrusion Time Breakdown ***
; * estimated time in [s]
; * before possibly slowing down for 'cool'
; * not including Z-travel
;    Extruder #1 ...
;    + Ext 1 =      10.8 mm  (0.03 cm^3)
