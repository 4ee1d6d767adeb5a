/*
 * The columns of a line are fixed from both ends; what is between is divided among the target and
 * the reason. Narrow screens lose the figures first, then the reason: what was asked for and what
 * became of it stay.
 */
#include "tui/network.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "tui/human.h"
#include "tui/wide.h"

#define WIDE_COLS    104 /* fewer: no figures */
#define REASON_COLS  92  /* fewer: no reason */
#define FIGURES_COLS 19
#define CARD_COLS    100
#define LABEL_COLS   11

/* Draws in the column and goes to the next one. */
static void column(struct canvas *canvas, struct rect *at, int cols, const struct style *style,
                   const char *text)
{
    int room = cols < at->cols ? cols : at->cols;
    canvas_label(canvas, at->row, at->col, room, *style, text);
    at->col += cols + 1;
    at->cols -= cols + 1;
}

static void figures(const struct network_line *line, const cJSON *object, struct canvas *canvas,
                    struct rect at)
{
    const struct style *dim = network_style(line, ROLE_DIM);
    uint64_t status = json_number(object, "status", 0),
             took = json_number(object, "duration_ms", 0);
    char bytes[HUMAN_SIZE], time[HUMAN_SIZE] = "";
    human_bytes(json_number(object, "sent", 0) + json_number(object, "received", 0), bytes);
    if (took >= 10000)
        human_age((int64_t)took, time);
    else
        snprintf(time, sizeof time, "%" PRIu64 "ms", took);
    if (status != 0)
        canvas_printf(canvas, at.row, at.col, 3, *network_style(line, ROLE_TEXT), "%" PRIu64,
                      status);
    if (bytes[0] != '0')
        canvas_printf(canvas, at.row, at.col + 4, 6, *dim, "%6s", bytes);
    if (took > 0)
        canvas_printf(canvas, at.row, at.col + 11, 7, *dim, "%7s", time);
}

/* The reason, or the names of the secrets that went along. */
static void reason(const struct network_line *line, const struct feed_entry *entry,
                   struct canvas *canvas, struct rect at)
{
    const cJSON *name, *secrets = cJSON_GetObjectItemCaseSensitive(entry->object, "secrets");
    int used = 0;
    cJSON_ArrayForEach(name, secrets)
    {
        if (!cJSON_IsString(name))
            continue;
        canvas_text(canvas, at.row, at.col + used, at.cols - used, *network_style(line, ROLE_ASK),
                    "$");
        used += 1 + canvas_label(canvas, at.row, at.col + used + 1, at.cols - used - 1,
                                 *network_style(line, ROLE_ASK), name->valuestring);
        used++;
    }
    char clock[HUMAN_SIZE], waits[HUMAN_SIZE + 16];
    human_clock(entry->until, clock);
    snprintf(waits, sizeof waits, "waits until %s", clock);
    canvas_label(canvas, at.row, at.col + used, at.cols - used,
                 *network_style(line, entry->verdict == 'A' ? ROLE_DIM : entry->role),
                 entry->verdict == '?' ? waits : feed_text(entry->object, "reason"));
}

static void target(const struct network_line *line, const struct feed_entry *entry,
                   struct canvas *canvas, struct rect at)
{
    char host[FEED_HOST_SIZE];
    feed_host(entry->object, host);
    int used = canvas_label(canvas, at.row, at.col, at.cols, *network_style(line, ROLE_TEXT), host);
    if (used < at.cols)
        canvas_label(canvas, at.row, at.col + used, at.cols - used, *network_style(line, ROLE_DIM),
                     feed_text(entry->object, "path"));
}

static void secret(const struct network_line *line, const struct feed_entry *entry,
                   struct canvas *canvas, struct rect at)
{
    char text[512];
    const char *action = feed_text(entry->object, "action"), *where;
    where = feed_text(entry->object, "where");
    const char *join = strcmp(action, "blocked") == 0    ? "blocked, was going to"
                       : strcmp(action, "redacted") == 0 ? "redacted, came back from"
                                                         : "injected for";
    int used = canvas_label(canvas, at.row, at.col, at.cols, *network_style(line, ROLE_TEXT),
                            feed_text(entry->object, "secret"));
    snprintf(text, sizeof text, " %s %.200s%s%.80s%s", join, feed_text(entry->object, "host"),
             *where != '\0' ? " (" : "", where, *where != '\0' ? ")" : "");
    if (used < at.cols)
        canvas_label(canvas, at.row, at.col + used, at.cols - used,
                     *network_style(line, entry->role), text);
}

void network_draw_line(const struct network_line *line, const struct feed_entry *entry,
                       struct canvas *canvas, struct rect area)
{
    struct rect at = area;
    char clock[HUMAN_SIZE], verdict[] = {entry->verdict, '\0'};
    human_clock(entry->time, clock);
    column(canvas, &at, 8, network_style(line, ROLE_DIM), clock);
    if (line->who != NULL)
        column(canvas, &at, area.cols >= REASON_COLS ? 12 : 9, network_style(line, ROLE_TEXT),
               line->who);
    column(canvas, &at, 1, network_style(line, entry->role), entry->verdict == 'S' ? "$" : verdict);
    if (entry->verdict == 'S') {
        secret(line, entry, canvas, at);
        return;
    }
    if (line->processes)
        column(canvas, &at, area.cols >= REASON_COLS ? 10 : 8, network_style(line, ROLE_TEXT),
               feed_process(entry->object));
    column(canvas, &at, area.cols >= REASON_COLS ? 6 : 4, network_style(line, ROLE_DIM),
           feed_method(entry->object));
    if (area.cols >= WIDE_COLS) {
        figures(line, entry->object, canvas,
                (struct rect){at.row, at.col + at.cols - FIGURES_COLS + 1, 1, FIGURES_COLS - 1});
        at.cols -= FIGURES_COLS;
    }
    if (area.cols >= REASON_COLS) {
        int cols = at.cols * 2 / 5;
        reason(line, entry, canvas, (struct rect){at.row, at.col + at.cols - cols, 1, cols});
        at.cols -= cols + 1;
    }
    target(line, entry, canvas, at);
}

/* --- the card */

struct card {
    const struct theme *theme;
    struct canvas *canvas;
    struct rect inside;
    int row;    /* the next one */
    bool count; /* nothing is drawn: how many rows it takes */
};

/* How many bytes of the text fill the columns. */
static size_t fitting(const char *text, int cols)
{
    size_t size = strlen(text), at = 0;
    int used = 0;
    while (at < size) {
        uint32_t point;
        size_t length = wide_decode(text + at, size - at, &point);
        int width = wide_width(point);
        used += width < 0 ? 1 : width;
        if (used > cols)
            break;
        at += length;
    }
    return at;
}

static void card_row(struct card *card, const char *label, const char *text, enum theme_role role)
{
    int cols = card->inside.cols - LABEL_COLS;
    do {
        char part[1024];
        size_t size = fitting(text, cols);
        snprintf(part, sizeof part, "%.*s", (int)size, text);
        if (!card->count && card->row < card->inside.rows) {
            int row = card->inside.row + card->row;
            canvas_label(card->canvas, row, card->inside.col, LABEL_COLS - 1,
                         card->theme->roles[ROLE_DIM], label);
            canvas_text(card->canvas, row, card->inside.col + LABEL_COLS, cols,
                        card->theme->roles[role], part);
        }
        card->row++;
        label = "";
        text += size;
    } while (*text != '\0' && card->row < card->inside.rows);
}

static void card_member(struct card *card, const cJSON *item)
{
    const cJSON *only = cJSON_IsArray(item) && cJSON_GetArraySize(item) == 1 ? item->child : item;
    CLEAN_FREE char *text = cJSON_IsString(only) ? NULL : cJSON_PrintUnformatted(only);
    const char *value = cJSON_IsString(only) ? only->valuestring : text;
    const char *name = item->string;
    char shown[HUMAN_SIZE * 3];
    bool bytes = strcmp(name, "sent") == 0 || strcmp(name, "received") == 0;
    if (value == NULL || *value == '\0' || strcmp(value, "[]") == 0)
        return;
    if (cJSON_IsNumber(item) && bytes) {
        char human[HUMAN_SIZE];
        human_bytes((uint64_t)item->valuedouble, human);
        snprintf(shown, sizeof shown, item->valuedouble >= 1000 ? "%s (%.0f bytes)" : "%s", human,
                 item->valuedouble);
        value = shown;
    }
    if (strcmp(name, "duration_ms") == 0) {
        snprintf(shown, sizeof shown, "%.0f ms", item->valuedouble);
        value = shown;
        name = "took";
    }
    card_row(card, name, value,
             strcmp(name, "verdict") != 0  ? ROLE_TEXT
             : strcmp(value, "allow") == 0 ? ROLE_ALLOW
                                           : ROLE_DENY);
}

static void card_members(struct card *card, const cJSON *object)
{
    static const char *const first[] = {"process", "protocol", "method",   "host",        "port",
                                        "address", "path",     "verdict",  "reason",      "rule",
                                        "status",  "sent",     "received", "duration_ms", "secrets",
                                        "secret",  "where",    "action"};
    static const char *const not [] = {"time", "session", "type", "process", "id", "left_ms"};
    const size_t count = sizeof first / sizeof first[0];
    const cJSON *item, *process = cJSON_GetObjectItemCaseSensitive(object, "process");
    if (cJSON_IsObject(process)) {
        char text[160];
        snprintf(text, sizeof text, "%.120s (pid %" PRIu64 ")", feed_text(process, "name"),
                 json_number(process, "pid", 0));
        card_row(card, "process", text, ROLE_TEXT);
    } else if (*feed_process(object) != '\0') {
        card_row(card, "process", feed_process(object), ROLE_TEXT);
    }
    for (size_t i = 1; i < count; i++)
        if ((item = cJSON_GetObjectItemCaseSensitive(object, first[i])) != NULL)
            card_member(card, item);
    cJSON_ArrayForEach(item, object)
    {
        bool shown = item->string == NULL;
        for (size_t i = 0; i < count && !shown; i++)
            shown = strcmp(first[i], item->string) == 0;
        for (size_t i = 0; i < sizeof not / sizeof not [0] && !shown; i++)
            shown = strcmp(not [i], item -> string) == 0;
        if (!shown)
            card_member(card, item);
    }
}

static void draw_box(struct canvas *canvas, struct rect box, const char *title,
                     const struct theme *theme)
{
    static const uint32_t corners[] = {0x250c, 0x2510, 0x2514, 0x2518};
    struct style border = theme->roles[ROLE_BORDER_ACTIVE];
    int right = box.col + box.cols - 1, bottom = box.row + box.rows - 1;
    canvas_fill(canvas, box, theme->roles[ROLE_TEXT]);
    canvas_line(canvas, box.row, box.col, box.cols, border);
    canvas_line(canvas, bottom, box.col, box.cols, border);
    canvas_column(canvas, box.row, box.col, box.rows, border);
    canvas_column(canvas, box.row, right, box.rows, border);
    for (int i = 0; i < 4; i++)
        canvas_glyph(canvas, i < 2 ? box.row : bottom, (i & 1) == 0 ? box.col : right, &corners[i],
                     1, 1, border);
    canvas_label(canvas, box.row, box.col + 2, box.cols - 4, theme->roles[ROLE_TITLE], title);
}

void network_draw_card(const struct theme *theme, const char *title, int64_t time, int64_t until,
                       const cJSON *object, struct canvas *canvas, struct rect area)
{
    struct rect box = area;
    char clock[HUMAN_SIZE], end[HUMAN_SIZE];
    box.cols = area.cols - 4 < CARD_COLS ? area.cols - 4 : CARD_COLS;
    struct card card = {.theme = theme,
                        .canvas = canvas,
                        .inside = {0, 0, area.rows - 4, box.cols - 4},
                        .count = true};
    human_clock(time, clock);
    human_clock(until, end);
    for (int pass = 0; pass < 2; pass++) {
        card.row = 0;
        card_row(&card, "time", clock, ROLE_TEXT);
        if (until != 0)
            card_row(&card, "until", end, ROLE_ASK);
        card_members(&card, object);
        if (pass > 0)
            break;
        box.rows = (card.row < card.inside.rows ? card.row : card.inside.rows) + 2;
        box.row = area.row + (area.rows - box.rows) / 2;
        box.col = area.col + (area.cols - box.cols) / 2;
        draw_box(canvas, box, title, theme);
        card.inside = (struct rect){box.row + 1, box.col + 2, box.rows - 2, box.cols - 4};
        card.count = false;
    }
}
