/* The hot loop of the G-code reader: text in, straight moves and runs of equal state out.
 *
 * It needs no header and no library at build time (sqrt and the like are found in the process that loads it), so any
 * C compiler will do, tcc included. interpreter.py and bulk.py are the same machine in Python, for computers without a
 * compiler; tests/test_kernel.py keeps them equal. Everything that is rare is passed to Python as an event.
 */
typedef unsigned char u8;
typedef int i32;
typedef long long i64;
typedef unsigned long long u64;

double sqrt(double);
double atan2(double, double);
double sin(double);
double cos(double);
double acos(double);
void *memchr(const void *, int, unsigned long);

enum { NEED_DATA, FULL, COMMAND, LABEL, FIRST_LAYER };                                   /* results of feed() */
enum { SKIP, EVENT, LINEAR, ARC_CW, ARC_CCW, SET_POSITION, RETRACT, UNRETRACT, MODE_XY, MODE_XZ, MODE_YZ, INCHES,
       MILLIMETRES, ABSOLUTE, RELATIVE, E_ABSOLUTE, E_RELATIVE, ACCELERATION };         /* actions of commands */
enum { M_IGNORE, M_FEATURE, M_OBJECT, M_OBJECT_END, M_LAYER, M_HEIGHT, M_WIDTH, M_EVENT };   /* kinds of markers */

#define MARKER_TEXT 40
#define WHOLE_LINE 2        /* as stop of a feature mark: the mark itself is the label, nothing may follow */
#define KEEP -2             /* as value of a label: the object does not change */
#define LABEL_SLOTS 65536
#define MAX_LABELS 32768
#define RUN_FIELDS 16
#define ARC_STEPS 96        /* at most so many chords an arc */
#define ARC_DEVIATION 0.005 /* mm between chord and arc */
#define LIMIT 1e6           /* mm: no machine is larger; such a word is damage */

typedef struct { u8 text[MARKER_TEXT]; i32 length, kind, stop, extended; } Marker;

typedef struct {
    double x, y, z, e;              /* physical position in mm; e is the logical one of the extruder */
    double offset_x, offset_y, offset_z; /* logical - physical, set by G92 */
    double feed, unit;              /* mm/s; mm per programmed unit */
    double per_e;                   /* mm of filament per mm of E: 1, or less where E is a volume */
    double retract_mm, retract_feed;    /* what G10 and G11 move: mm, mm/s */
    double acc_print, acc_travel, acc_retract, corner;  /* mm/s2; XY jerk in mm/s */
    double height, width, layer_z;
    i32 relative, e_relative, plane, retracted, tool, layer, feature, object, layer_marker, dirty, barrier;
    i64 lines, bad_lines, arcs, labels;
    i64 n_moves, n_runs, n_comments;           /* filled so far */
    i64 event_start, event_length, event_marker; /* of the last COMMAND, LABEL or FIRST_LAYER */
    u64 pending_label;
} State;

typedef struct {
    State state;
    i64 max_moves, max_runs, max_comments;
    double *moves;                  /* 5 columns of max_moves: x, y, z, de, feed */
    double *runs;                   /* rows of RUN_FIELDS */
    i64 *comments;                  /* start, length */
    i64 n_markers;
    Marker *markers;
    u8 *g_actions, *m_actions;      /* 128 and 1024 */
    u64 *label_keys;
    i32 *label_values;
} Kernel;

static const double TENTHS[] = {1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13,
                                1e-14, 1e-15, 1e-16, 1e-17, 1e-18};

/* Reads a number; returns 0 when there is none, -1 when it is out of any machine's range. */
static int number(const u8 **at, const u8 *end, double *value) {
    const u8 *p = *at;
    int negative = 0, digits = 0, fraction = 0;
    u64 mantissa = 0;
    if (p < end && (*p == '-' || *p == '+')) { negative = *p == '-'; p++; }
    for (; p < end && (u8)(*p - '0') < 10; p++) {
        if (digits < 18) mantissa = mantissa * 10 + (*p - '0'); else fraction--;
        digits++;
    }
    if (p < end && *p == '.') {
        p++;
        for (; p < end && (u8)(*p - '0') < 10; p++) {
            if (digits < 18) { mantissa = mantissa * 10 + (*p - '0'); fraction++; }
            digits++;
        }
    }
    *at = p;
    if (!digits) { *value = 0; return 0; }
    if (fraction < 0) { *value = 0; return -1; }
    *value = (double)(i64)mantissa * TENTHS[fraction];
    if (*value > LIMIT) { *value = 0; return -1; }
    if (negative) *value = -*value;
    return 1;
}

static void begin_run(Kernel *k) {
    State *s = &k->state;
    double *run = k->runs + s->n_runs++ * RUN_FIELDS;
    run[0] = (double)s->n_moves; run[1] = s->layer; run[2] = s->feature; run[3] = s->object; run[4] = s->tool;
    run[5] = s->barrier; run[6] = s->height; run[7] = s->width; run[8] = s->acc_print; run[9] = s->acc_travel;
    run[10] = s->acc_retract; run[11] = s->corner; run[12] = s->x; run[13] = s->y; run[14] = s->z; run[15] = 0;
    s->dirty = 0; s->barrier = 0;
}

static void move(Kernel *k, double x, double y, double z, double de) {
    State *s = &k->state;
    i64 n;
    if (x == s->x && y == s->y && z == s->z && de == 0) return;
    if (s->layer_marker < 0 && de > 0 && (x != s->x || y != s->y)) {
        double rise = z - s->layer_z;   /* no layer marks yet: extrusion at another height begins a layer */
        if (s->layer < 0 || rise > 0.03 || rise < -0.03) { s->layer++; s->layer_z = z; s->dirty = 1; }
    }
    if (s->dirty) begin_run(k);
    n = s->n_moves++;
    k->moves[n] = x;
    k->moves[n + k->max_moves] = y;
    k->moves[n + k->max_moves * 2] = z;
    k->moves[n + k->max_moves * 3] = de;
    k->moves[n + k->max_moves * 4] = s->feed;
    s->x = x; s->y = y; s->z = z;
}

/* Retraction by the firmware; a second one does nothing. */
static void retract(Kernel *k, int retracted) {
    State *s = &k->state;
    double feed = s->feed;
    if (s->retracted == retracted) return;
    s->retracted = retracted;
    s->feed = s->retract_feed;
    move(k, s->x, s->y, s->z, retracted ? -s->retract_mm : s->retract_mm);
    s->feed = feed;
}

/* An arc as chords. a, b are the axes of the plane, c the one across it; returns 0 if the words make no arc. */
static int arc(Kernel *k, int clockwise, double target[3], double i, double j, double r, int has_centre, double de) {
    static const int AXES[3][3] = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}};
    State *s = &k->state;
    const int *ax = AXES[s->plane];
    double from[3], p[3], ca, cb, radius, start, sweep, step, done = 0;
    int n, steps;
    from[0] = s->x; from[1] = s->y; from[2] = s->z;
    if (has_centre) {
        ca = from[ax[0]] + i; cb = from[ax[1]] + j;
    } else {
        double da = target[ax[0]] - from[ax[0]], db = target[ax[1]] - from[ax[1]];
        double chord = sqrt(da * da + db * db), h;
        if (chord == 0 || r == 0) return 0;
        h = r * r - chord * chord / 4;
        h = h > 0 ? sqrt(h) : 0;
        if ((r > 0) == clockwise) h = -h;     /* the shorter way round for r > 0 */
        ca = from[ax[0]] + da / 2 - h * db / chord;
        cb = from[ax[1]] + db / 2 + h * da / chord;
    }
    {
        double sa = from[ax[0]] - ca, sb = from[ax[1]] - cb, ta = target[ax[0]] - ca, tb = target[ax[1]] - cb;
        radius = sqrt(sa * sa + sb * sb);
        if (radius < 1e-6 || radius > LIMIT) return 0;
        start = atan2(sb, sa);
        sweep = atan2(sa * tb - sb * ta, sa * ta + sb * tb);
    }
    if (target[ax[0]] == from[ax[0]] && target[ax[1]] == from[ax[1]])
        sweep = clockwise ? -6.283185307179586 : 6.283185307179586;
    else if (clockwise && sweep >= 0) sweep -= 6.283185307179586;
    else if (!clockwise && sweep <= 0) sweep += 6.283185307179586;
    step = radius > ARC_DEVIATION ? 2 * acos(1 - ARC_DEVIATION / radius) : 1;
    steps = (int)((sweep < 0 ? -sweep : sweep) / step) + 1;
    if (steps > ARC_STEPS) steps = ARC_STEPS;
    for (n = 1; n < steps; n++) {
        double part = (double)n / steps, angle = start + sweep * part, share = de * part;
        p[ax[0]] = ca + radius * cos(angle);
        p[ax[1]] = cb + radius * sin(angle);
        p[ax[2]] = from[ax[2]] + (target[ax[2]] - from[ax[2]]) * part;
        move(k, p[0], p[1], p[2], share - done);
        done = share;
    }
    move(k, target[0], target[1], target[2], de - done);
    s->arcs++;
    return 1;
}

/* A command with its words; 0 when it is damaged. */
static int execute(Kernel *k, int action, const u8 *p, const u8 *end) {
    State *s = &k->state;
    double word[26];
    unsigned seen = 0;
    while (p < end) {
        int letter = *p++, got;
        double value;
        if (letter >= 'a' && letter <= 'z') letter -= 32;
        if (letter == ';' || letter == '*' || letter == '(') break;
        if (letter < 'A' || letter > 'Z') continue;
        while (p < end && *p == ' ') p++;
        got = number(&p, end, &value);
        if (got < 0) return 0;
        letter -= 'A';
        seen |= 1u << letter;
        word[letter] = value;
    }
#define HAS(c) (seen >> ((c) - 'A') & 1)
#define WORD(c) (word[(c) - 'A'])
    switch (action) {
    case LINEAR: case ARC_CW: case ARC_CCW: {
        double target[3], de = 0;
        target[0] = s->x; target[1] = s->y; target[2] = s->z;
        if (s->relative) {
            if (HAS('X')) target[0] += WORD('X') * s->unit;
            if (HAS('Y')) target[1] += WORD('Y') * s->unit;
            if (HAS('Z')) target[2] += WORD('Z') * s->unit;
        } else {
            if (HAS('X')) target[0] = WORD('X') * s->unit - s->offset_x;
            if (HAS('Y')) target[1] = WORD('Y') * s->unit - s->offset_y;
            if (HAS('Z')) target[2] = WORD('Z') * s->unit - s->offset_z;
        }
        if (target[0] > LIMIT || target[0] < -LIMIT || target[1] > LIMIT || target[1] < -LIMIT
            || target[2] > LIMIT || target[2] < -LIMIT) return 0;
        if (HAS('E')) {
            double e = WORD('E') * s->unit;
            if (s->relative || s->e_relative) { de = e; s->e += e; } else { de = e - s->e; s->e = e; }
            de *= s->per_e;
        }
        if (HAS('F') && WORD('F') > 0) s->feed = WORD('F') * s->unit / 60;
        if (action == LINEAR) { move(k, target[0], target[1], target[2], de); return 1; }
        {
            static const char CENTRE[3][2] = {{'I', 'J'}, {'K', 'I'}, {'J', 'K'}};
            char a = CENTRE[s->plane][0], b = CENTRE[s->plane][1];
            int centre = HAS(a) || HAS(b);
            if ((centre || HAS('R')) && arc(k, action == ARC_CW, target, HAS(a) ? WORD(a) * s->unit : 0,
                    HAS(b) ? WORD(b) * s->unit : 0, HAS('R') ? WORD('R') * s->unit : 0, centre, de)) return 1;
            move(k, target[0], target[1], target[2], de);   /* the end is known, the way there is not */
            return 0;
        }
    }
    case SET_POSITION: {
        int all = !(HAS('X') || HAS('Y') || HAS('Z') || HAS('E'));
        if (HAS('X') || all) s->offset_x = (all ? 0 : WORD('X') * s->unit) - s->x;
        if (HAS('Y') || all) s->offset_y = (all ? 0 : WORD('Y') * s->unit) - s->y;
        if (HAS('Z') || all) s->offset_z = (all ? 0 : WORD('Z') * s->unit) - s->z;
        if (HAS('E') || all) s->e = all ? 0 : WORD('E') * s->unit;
        return 1;
    }
    case ACCELERATION: {
        if (HAS('S') && WORD('S') > 0) s->acc_print = s->acc_travel = WORD('S');
        if (HAS('P') && WORD('P') > 0) s->acc_print = WORD('P');
        if (HAS('T') && WORD('T') > 0) s->acc_travel = WORD('T');
        if (HAS('R') && WORD('R') > 0) s->acc_retract = WORD('R');
        s->dirty = 1;
        return 1;
    }
    case RETRACT: if (!(HAS('L') || HAS('P'))) retract(k, 1); return 1;       /* G10 with L or P sets tool offsets */
    case UNRETRACT: retract(k, 0); return 1;
    case MODE_XY: s->plane = 0; return 1;
    case MODE_XZ: s->plane = 1; return 1;
    case MODE_YZ: s->plane = 2; return 1;
    case INCHES: s->unit = 25.4; return 1;
    case MILLIMETRES: s->unit = 1; return 1;
    case ABSOLUTE: s->relative = 0; return 1;
    case RELATIVE: s->relative = 1; return 1;
    case E_ABSOLUTE: s->e_relative = 0; return 1;
    case E_RELATIVE: s->e_relative = 1; return 1;
    }
    return 1;
}

static u64 label_key(i64 marker, const u8 *p, const u8 *end) {
    u64 h = 14695981039346656037ULL ^ (u64)(marker + 1) * 1099511628211ULL;
    for (; p < end; p++) h = (h ^ *p) * 1099511628211ULL;
    h ^= h >> 29;
    return h ? h : 1;
}

/* Remembers the value that Python gave the pending label. */
void gcode_learn(Kernel *k, i32 value) {
    u64 at = k->state.pending_label;
    if (k->state.labels >= MAX_LABELS) return;
    while (k->label_keys[at % LABEL_SLOTS]) at++;
    k->label_keys[at % LABEL_SLOTS] = k->state.pending_label;
    k->label_values[at % LABEL_SLOTS] = value;
    k->state.labels++;
}

static int assign(State *s, int kind, i32 value) {
    i32 *field = kind == M_FEATURE ? &s->feature : &s->object;
    if (value != KEEP && *field != value) { *field = value; s->dirty = 1; }
    return 0;
}

/* Acts on a marker line; returns 0 when done, an event when Python must decide, -1 when it is no marker. */
static int marker(Kernel *k, const u8 *p, const u8 *end, int extended, const u8 *buffer) {
    State *s = &k->state;
    i64 m;
    for (m = 0; m < k->n_markers; m++) {
        const Marker *mark = k->markers + m;
        const u8 *rest, *stop;
        int n = 0;
        if (mark->extended != extended || mark->text[0] != *p || end - p < mark->length) continue;
        while (n < mark->length && mark->text[n] == p[n]) n++;
        if (n < mark->length) continue;
        rest = p + n;
        switch (mark->kind) {
        case M_IGNORE: return 0;
        case M_HEIGHT: case M_WIDTH: {
            double value;
            while (rest < end && *rest == ' ') rest++;
            if (number(&rest, end, &value) > 0 && value > 0 && value < 100) {
                double *field = mark->kind == M_HEIGHT ? &s->height : &s->width;
                if (*field != value) { *field = value; s->dirty = 1; }
            }
            return 0;
        }
        case M_OBJECT_END: return assign(s, M_OBJECT, -1);
        case M_LAYER:
            if (mark->stop && !(rest < end && ((u8)(*rest - '0') < 10 || *rest == '-'))) continue;
            if (s->layer_marker < 0) { s->event_marker = m; s->layer_marker = (i32)m; return FIRST_LAYER; }
            if (s->layer_marker == m) { s->layer++; s->dirty = 1; }
            return 0;
        case M_EVENT: return COMMAND;
        default:
            if (mark->stop == WHOLE_LINE && rest != end) continue;
            stop = rest;
            while (stop < end && *stop != mark->stop) stop++;        /* 0 and 2 do not occur in text */
            while (stop > rest && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
            while (rest < stop && *rest == ' ') rest++;
            if (rest == stop && mark->length > 0 && mark->text[mark->length - 1] == ' ') return -1;
            {
                u64 key = label_key(m, rest, stop), at = key;
                for (; k->label_keys[at % LABEL_SLOTS]; at++)
                    if (k->label_keys[at % LABEL_SLOTS] == key)
                        return assign(s, mark->kind, k->label_values[at % LABEL_SLOTS]);
                if (s->labels >= MAX_LABELS) return assign(s, mark->kind, mark->kind == M_FEATURE ? 0 : -1);
                s->pending_label = key;
                s->event_marker = m;
                s->event_start = rest - buffer;
                s->event_length = stop - rest;
                return LABEL;
            }
        }
    }
    return -1;
}

/* Reads lines from *position on; stops at an event, when an output is nearly full or when no whole line is left
 * (with last set, the rest is a line too). A long line without end is skipped by the caller. */
i32 gcode_feed(Kernel *k, const u8 *buffer, i64 *position, i64 size, i32 last) {
    State *s = &k->state;
    const u8 *p = buffer + *position, *end = buffer + size;
    while (p < end) {
        const u8 *line = p, *eol = p;
        int code, letter, value;
        if (s->n_moves + ARC_STEPS + 1 >= k->max_moves || s->n_runs + ARC_STEPS + 1 >= k->max_runs
            || s->n_comments >= k->max_comments) {
            *position = p - buffer;
            return FULL;
        }
        eol = memchr(line, '\n', (unsigned long)(end - line));
        if (!eol) eol = end;
        if (eol == end && !last) break;
        p = eol < end ? eol + 1 : end;
        s->lines++;
        while (eol > line && (eol[-1] == '\r' || eol[-1] == ' ')) eol--;
        while (line < eol && (*line == ' ' || *line == '\t' || *line == '\r')) line++;
        if (line == eol) continue;
        letter = *line;
        if (letter == ';') {
            const u8 *text = line + 1;
            while (text < eol && *text == ' ') text++;
            if (text == eol) continue;
            code = marker(k, text, eol, 0, buffer);
            if (code == 0) continue;
            if (code == COMMAND) { s->event_start = line - buffer; s->event_length = eol - line; }
            if (code > 0) { *position = p - buffer; return code; }
            k->comments[s->n_comments * 2] = line - buffer;
            k->comments[s->n_comments * 2 + 1] = eol - line;
            s->n_comments++;
            continue;
        }
        if (letter == 'N' || letter == 'n') {      /* a line number */
            const u8 *q = line + 1;
            while (q < eol && (u8)(*q - '0') < 10) q++;
            while (q < eol && *q == ' ') q++;
            if (q == eol) continue;
            if (q > line + 1) { line = q; letter = *line; }
        }
        if (letter >= 'a' && letter <= 'z') letter -= 32;
        if (line + 1 < eol && (u8)(line[1] - '0') < 10 && (letter == 'G' || letter == 'M' || letter == 'T')) {
            const u8 *q = line + 1;
            int digits = 0;
            value = 0;
            for (; q < eol && (u8)(*q - '0') < 10; q++) if (++digits < 6) value = value * 10 + (*q - '0');
            if (digits >= 6) { s->bad_lines++; continue; }
            if (letter == 'T') code = EVENT;
            else if (q < eol && *q == '.') code = SKIP;            /* G29.1, M862.3: nothing here moves */
            else if (letter == 'G') code = value < 128 ? k->g_actions[value] : SKIP;
            else code = value < 1024 ? k->m_actions[value] : SKIP;
            if (code == SKIP) continue;
            if (code == EVENT) {
                s->event_start = line - buffer;
                s->event_length = eol - line;
                *position = p - buffer;
                return COMMAND;
            }
            if (!execute(k, code, q, eol)) s->bad_lines++;
            continue;
        }
        if ((letter >= 'A' && letter <= 'Z') || letter == '_') {   /* a macro or an extended command */
            code = marker(k, line, eol, 1, buffer);
            if (code == COMMAND) { s->event_start = line - buffer; s->event_length = eol - line; }
            if (code > 0) { *position = p - buffer; return code; }
            continue;
        }
        if (letter != '(' && letter != '%') s->bad_lines++;
    }
    *position = p - buffer;
    return NEED_DATA;
}


/* Per run: s, mm of filament, mm with and without extrusion, lowest x y z and highest x y z of what is extruded. */
#define SUMS 10
#define NEVER 1e9

static double positive(double v) {      /* without a branch: signs are as good as random here */
    union { double d; u64 bits; } b;
    b.d = v;
    b.bits &= 0x7fffffffffffffffULL;
    return b.d;
}
#define LESSER(a, b) ((a) < (b) ? (a) : (b))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))

/* What measure.py does, for the moves and runs collected so far; both give the same figures. limits: top feed and
 * acceleration of x, y, z, e, jerk of z and e, 1 if the corner is a square corner velocity. tools: position of the
 * filament and its furthest, per tool. scratch: 4 * max_moves doubles. sums: n_runs rows. */
void gcode_measure(const Kernel *k, const double *limits, double *tools, double *scratch, double *sums) {
    const State *s = &k->state;
    const i64 n = s->n_moves, m = k->max_moves;
    const double *X = k->moves, *Y = X + m, *Z = Y + m, *E = Z + m, *F = E + m;
    double *speed = scratch, *accel = speed + m, *ramp = accel + m, *square = ramp + m;
    const int deviation = limits[10] != 0;
    double was[4] = {0, 0, 0, 0}, was_speed = 0, was_safe = 0;   /* direction and speed of the move before */
    i64 r, i;
    for (r = 0; r < s->n_runs; r++) {
        const double *run = k->runs + r * RUN_FIELDS;
        const i64 from = (i64)run[0], to = r + 1 < s->n_runs ? (i64)run[RUN_FIELDS] : n;
        const double half = run[7] / 2, corner = run[11];
        double *sum = sums + r * SUMS, *tool = tools + 2 * (i64)run[4];
        double x = run[12], y = run[13], z = run[14];
        double filament = 0, extruded = 0, travelled = 0, place = tool[0], furthest = tool[1];
        double low[3] = {NEVER, NEVER, NEVER}, high[3] = {-NEVER, -NEVER, -NEVER};
        for (i = from; i < to; i++) {
            const double d[4] = {X[i] - x, Y[i] - y, Z[i] - z, E[i]};
            const double length = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
            const int extruding = d[3] > 0 && length > 0;
            const double distance = length > 0 ? length : positive(d[3]);
            const double inverse = 1.0 / (distance > 1e-12 ? distance : 1e-12);
            double a = extruding ? run[8] : length > 0 ? run[9] : run[10], v = F[i], unit[4], safe, entry;
            int axis;
            for (axis = 0; axis < 4; axis++) {
                double share;
                unit[axis] = d[axis] * inverse;
                share = positive(unit[axis]);
                if (v * share > limits[axis]) v = limits[axis] / share;
                if (a * share > limits[4 + axis]) a = limits[4 + axis] / share;
            }
            if (v < 0.01) v = 0.01;
            if (a < 1) a = 1;
            safe = v;
            entry = was_speed < v ? was_speed : v;
            if (deviation) {
                double cosine = -(unit[0] * was[0] + unit[1] * was[1] + unit[2] * was[2]);
                double half_sine = sqrt(cosine < 1 ? 0.5 * (1 - cosine) : 0);
                double gap = 1 - half_sine > 1e-9 ? 1 - half_sine : 1e-9;
                double limit = sqrt(corner * corner * 0.41421356 * half_sine / gap);
                if (limit < entry) entry = limit;
            } else {
                const double meet = entry;
                double factor = 1;
                for (axis = 0; axis < 4; axis++) {
                    const double jerk = axis < 2 ? corner : limits[6 + axis];
                    const double into = unit[axis] * v, out = was[axis] * meet;
                    const double pace = positive(into), turn = LARGER(pace, positive(out));
                    const double change = positive(into - out);
                    double step;
                    if (turn <= jerk) continue;                /* no step is larger than the larger speed */
                    step = into * out > 0 ? change : turn;
                    if (pace > jerk) safe = LESSER(safe, jerk);
                    if (step * factor > jerk) factor = jerk / step;
                }
                entry = meet * factor;
                if (was_safe > entry * 0.99 && safe > entry * 0.99) entry = LESSER(safe, meet);
            }
            if ((i == 0 || (i == from && run[5] != 0)) && entry > 1) entry = 1;
            if (i == 0) entry = v < 1 ? v : 1;
            speed[i] = v; accel[i] = a; ramp[i] = 2 * a * distance; square[i] = entry * entry;
            for (axis = 0; axis < 4; axis++) was[axis] = unit[axis];
            was_speed = v; was_safe = safe;

            place += d[3];
            if (place > furthest) { filament += place - furthest; furthest = place; }
            if (extruding) {
                extruded += length;
                low[0] = LESSER(low[0], x); high[0] = LARGER(high[0], x);
                low[0] = LESSER(low[0], X[i]); high[0] = LARGER(high[0], X[i]);
                low[1] = LESSER(low[1], y); high[1] = LARGER(high[1], y);
                low[1] = LESSER(low[1], Y[i]); high[1] = LARGER(high[1], Y[i]);
                low[2] = LESSER(low[2], z); high[2] = LARGER(high[2], z);
                low[2] = LESSER(low[2], Z[i]); high[2] = LARGER(high[2], Z[i]);
            } else travelled += length;
            x = X[i]; y = Y[i]; z = Z[i];
        }
        tool[0] = place; tool[1] = furthest;
        sum[1] = filament; sum[2] = extruded; sum[3] = travelled;
        for (i = 0; i < 3; i++) { sum[4 + i] = low[i] - (i < 2 ? half : 0); sum[7 + i] = high[i] + (i < 2 ? half : 0); }
    }
    /* Look-ahead in squares of speeds: backwards, then forwards with the times. */
    if (n) {
        double next = speed[n - 1] < 1 ? speed[n - 1] * speed[n - 1] : 1;
        const double last = next;
        double start, in;
        for (i = n - 1; i >= 0; i--) {
            if (next + ramp[i] < square[i]) square[i] = next + ramp[i];
            next = square[i];
        }
        start = square[0];
        in = sqrt(start);
        r = 0;
        sums[0] = 0;
        for (i = 0; i < n; i++) {
            double end = i + 1 < n ? square[i + 1] : last, peak, out, seconds;
            while (r + 1 < s->n_runs && i >= (i64)k->runs[(r + 1) * RUN_FIELDS]) sums[++r * SUMS] = 0;
            if (start + ramp[i] < end) end = start + ramp[i];
            out = sqrt(end);
            peak = (ramp[i] + start + end) * 0.5;              /* squared: where the ramps would meet */
            if (peak > speed[i] * speed[i]) {
                peak = speed[i];
                seconds = (2 * peak - in - out + (ramp[i] - 2 * peak * peak + start + end) / (2 * peak)) / accel[i];
            } else seconds = (2 * sqrt(peak) - in - out) / accel[i];
            if (seconds > 0) sums[r * SUMS] += seconds;
            start = end;
            in = out;
        }
    }
}

/* Thins a line while it is drawn: from the last kept point, a sector contains all directions that pass every skipped
 * point within the tolerance; a point outside of it, or one that turns back, makes the point before it a kept one. */
typedef struct {
    double tolerance, ax, ay, px, py;   /* last kept point, last point */
    double lx, ly, rx, ry, reach;       /* left and right edge of the sector, distance of the furthest skipped point */
    int open, pending;
    i32 *out;
    i64 count;
} Thin;

static void keep_point(Thin *t, double x, double y) {
    t->out[2 * t->count] = (i32)x;
    t->out[2 * t->count + 1] = (i32)y;
    t->count++;
    t->ax = x; t->ay = y;
    t->open = 0; t->pending = 0; t->reach = 0;
}

static void draw_to(Thin *t, double x, double y) {
    int again;
    for (again = 0; again < 2; again++) {
        const double vx = x - t->ax, vy = y - t->ay, d = sqrt(vx * vx + vy * vy);
        double s, c, lx, ly, rx, ry;
        if (d >= t->reach) {
            if (d <= t->tolerance) { t->px = x; t->py = y; t->pending = 1; t->reach = d; return; }
            s = t->tolerance / d; c = sqrt(1 - s * s);
            if (!t->open || (t->lx * vy - t->ly * vx <= 0 && t->rx * vy - t->ry * vx >= 0)) {
                lx = vx * c - vy * s; ly = vy * c + vx * s; rx = vx * c + vy * s; ry = vy * c - vx * s;
                if (!t->open || t->lx * ly - t->ly * lx < 0) { t->lx = lx; t->ly = ly; }
                if (!t->open || t->rx * ry - t->ry * rx > 0) { t->rx = rx; t->ry = ry; }
                t->open = 1; t->px = x; t->py = y; t->pending = 1; t->reach = d;
                return;
            }
        }
        if (t->pending) keep_point(t, t->px, t->py);
        else { t->px = x; t->py = y; t->pending = 1; t->reach = d; return; }
    }
}

static double rounded(double v) { return (double)(i64)(v < 0 ? v - 0.5 : v + 0.5); }

/* The extruded lines of the wanted runs of this batch, in units of `quantum` mm, thinned. points: room for 2 * n_moves;
 * starts, line_runs: first point and run of each line. Returns the number of lines; *n_points is set. */
i64 gcode_lines(const Kernel *k, const u8 *wanted, double quantum, double tolerance, double edge, i32 *points,
                i64 *starts, i64 *line_runs, i64 *n_points) {
    const State *s = &k->state;
    const double *X = k->moves, *Y = X + k->max_moves, *E = X + 3 * k->max_moves, scale = 1 / quantum;
    Thin t;
    i64 r, i, lines = 0;
    t.tolerance = tolerance; t.out = points; t.count = 0;
    for (r = 0; r < s->n_runs; r++) {
        const double *run = k->runs + r * RUN_FIELDS;
        const i64 to = r + 1 < s->n_runs ? (i64)run[RUN_FIELDS] : s->n_moves;
        double x = run[12], y = run[13];
        int drawing = 0;
        if (!wanted[r]) continue;
        for (i = (i64)run[0]; i < to; i++) {
            if (E[i] > 0 && (X[i] != x || Y[i] != y) && X[i] < edge && X[i] > -edge && Y[i] < edge && Y[i] > -edge
                && x < edge && x > -edge && y < edge && y > -edge) {
                if (!drawing) {
                    starts[lines] = t.count;
                    line_runs[lines++] = r;
                    keep_point(&t, rounded(x * scale), rounded(y * scale));
                    drawing = 1;
                }
                draw_to(&t, rounded(X[i] * scale), rounded(Y[i] * scale));
            } else if (drawing) {
                if (t.pending) keep_point(&t, t.px, t.py);
                drawing = 0;
            }
            x = X[i]; y = Y[i];
        }
        if (drawing && t.pending) keep_point(&t, t.px, t.py);
    }
    *n_points = t.count;
    return lines;
}

/* Thins lines that are already points, in place; rewrites starts (n_lines entries). Returns the number of points. */
i64 gcode_thin(i32 *points, i64 n_points, i64 *starts, i64 n_lines, double tolerance) {
    Thin t;
    i64 line, i;
    t.tolerance = tolerance; t.out = points; t.count = 0;
    for (line = 0; line < n_lines; line++) {
        i64 to = line + 1 < n_lines ? starts[line + 1] : n_points;
        i = starts[line];
        starts[line] = t.count;
        keep_point(&t, points[2 * i], points[2 * i + 1]);
        for (i++; i < to; i++) draw_to(&t, points[2 * i], points[2 * i + 1]);
        if (t.pending) keep_point(&t, t.px, t.py);
    }
    return t.count;
}

/* A number in base 128, seven bits a byte, low first; the high bit means that more follow. */
static u8 *put(u8 *out, u64 v) {
    for (; v > 127; v >>= 7) *out++ = (u8)(v | 128);
    *out++ = (u8)v;
    return out;
}

/* Lines as they are in the preview file, in `order`: the count of points, then each point relative to the one before,
 * the first to (x, y). Fills offsets, where each line begins; returns the number of bytes. */
i64 gcode_pack(const i32 *points, const i64 *starts, const i64 *sizes, const i64 *order, i64 n_lines, i32 x, i32 y,
               u8 *out, i64 *offsets) {
    u8 *at = out;
    i64 line, i;
    for (line = 0; line < n_lines; line++) {
        const i32 *point = points + 2 * starts[order[line]];
        offsets[line] = at - out;
        at = put(at, (u64)sizes[order[line]]);
        for (i = 0; i < sizes[order[line]]; i++, point += 2) {
            const i64 dx = (i64)point[0] - x, dy = (i64)point[1] - y;
            at = put(at, (u64)(dx < 0 ? -2 * dx - 1 : 2 * dx));
            at = put(at, (u64)(dy < 0 ? -2 * dy - 1 : 2 * dy));
            x = point[0]; y = point[1];
        }
    }
    return at - out;
}

/* MeatPack: two characters a byte. Returns the number of characters written (at most 2 * size), or -1 if out is too
 * small. */
i64 meatpack_decode(const u8 *in, i64 size, u8 *out, i64 room) {
    static const u8 PLAIN[] = "0123456789. \nGX", DENSE[] = "0123456789.E\nGX";
    const u8 *table = PLAIN;
    i64 n, o = 0;
    int packed = 0, signal = 0, command = 0, full = 0, held = 0, again;
    for (n = 0; n < size; n++) {
        int c = in[n];
        if (c == 255) {
            if (signal) { command = 1; signal = 0; } else signal = 1;
            continue;
        }
        if (command) {
            command = 0;
            if (c == 251) packed = 1;
            else if (c == 250 || c == 249) packed = 0;
            else if (c == 247) table = DENSE;
            else if (c == 246) table = PLAIN;
            continue;
        }
        again = signal;            /* a lone 255 is data */
        signal = 0;
        do {
            int b = again ? 255 : c;
            if (o + 2 > room) return -1;
            if (!packed) out[o++] = (u8)b;
            else if (full) {
                out[o++] = (u8)b;
                full--;
                if (held) { out[o++] = (u8)held; held = 0; }
            } else {
                int low = b & 15, high = b >> 4;
                if (low == 15) { full = 1; if (high == 15) full = 2; else held = table[high]; }
                else {
                    out[o++] = table[low];
                    if (table[low] != '\n') { if (high == 15) full = 1; else out[o++] = table[high]; }
                }
            }
        } while (again-- > 0);
    }
    return o;
}

/* Heatshrink (LZSS): a flag bit, then a byte, or offset-1 in `window` bits and length-1 in `lookahead` bits. Returns
 * the number of bytes written, at most room. */
i64 heatshrink_decode(const u8 *in, i64 size, u8 *out, i64 room, i32 window, i32 lookahead) {
    u64 bits = 0;
    int have = 0;
    i64 n = 0, o = 0;
    for (;;) {
        i32 need = 9;
        while (have < 1 + window + lookahead && n < size) { bits = bits << 8 | in[n++]; have += 8; }
        if (have < 1 || o >= room) break;
        if (!(bits >> (have - 1) & 1)) need = 1 + window + lookahead;
        if (have < need) break;
        have -= need;
        if (need == 9) out[o++] = (u8)(bits >> have);
        else {
            i64 back = (i64)(bits >> (have + lookahead) & ((1u << window) - 1)) + 1;
            i64 count = (i64)(bits >> have & ((1u << lookahead) - 1)) + 1;
            for (; count && o < room; count--, o++) out[o] = o >= back ? out[o - back] : 0;
        }
    }
    return o;
}

i64 gcode_kernel_size(void) { return sizeof(Kernel); }
