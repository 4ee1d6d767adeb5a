/* See the header. A filter is words; a row is shown if each is in its name, image, state, … */
#include "tui/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "session/store/snapshots.h"

#define FLEET_QUIET 0.03 /* of its processors: less is what an idle guest takes */

const char *const fleet_sort_names[FLEET_SORTS] = {"age", "name", "state", "cpu", "memory"};

const char *fleet_state_name(enum fleet_state state)
{
    static const char *const names[FLEET_STATES] = {"waiting",  "failed", "starting",  "running",
                                                    "stopping", "paused", "suspended", "ended"};
    return names[state];
}

static void copy(char out[FLEET_TEXT + 1], const char *text)
{
    snprintf(out, FLEET_TEXT + 1, "%s", text);
}

static enum fleet_state state_of(const struct session_record *record)
{
    static const enum fleet_state states[SESSION_STATES] = {
        [SESSION_STARTING] = FLEET_STARTING,   [SESSION_RUNNING] = FLEET_RUNNING,
        [SESSION_WAITING] = FLEET_WAITING,     [SESSION_PAUSED] = FLEET_PAUSED,
        [SESSION_SUSPENDED] = FLEET_SUSPENDED, [SESSION_STOPPED] = FLEET_ENDED,
        [SESSION_DEAD] = FLEET_FAILED};
    return states[record->state];
}

struct fleet_row *fleet_find(const struct fleet *fleet, const char *id)
{
    for (size_t i = 0; i < fleet->count; i++)
        if (strcmp(fleet->rows[i]->id, id) == 0)
            return fleet->rows[i];
    return NULL;
}

static struct fleet_row *fleet_add(struct fleet *fleet, const char *id)
{
    struct fleet_row *row = calloc(1, sizeof *row);
    void *rows = realloc(fleet->rows, (fleet->count + 1) * sizeof(void *));
    if (rows != NULL)
        fleet->rows = rows;
    void *shown = realloc(fleet->shown, (fleet->count + 1) * sizeof(void *));
    if (shown != NULL)
        fleet->shown = shown;
    if (row == NULL || rows == NULL || shown == NULL) {
        free(row);
        return NULL;
    }
    snprintf(row->id, sizeof row->id, "%s", id);
    row->cpu_seconds = -1;
    fleet->rows[fleet->count++] = row;
    return row;
}

struct fleet_row *fleet_put(struct fleet *fleet, const struct session_record *record)
{
    struct fleet_row *row = fleet_find(fleet, record->id);
    bool fresh = row == NULL;
    if (fresh)
        row = fleet_add(fleet, record->id);
    if (row == NULL)
        return NULL;
    const char *slash = strrchr(record->image, '/');
    snprintf(row->name, sizeof row->name, "%s", record->name);
    copy(row->image, slash != NULL ? slash + 1 : record->image);
    copy(row->command, record->command);
    copy(row->reason, record->ended_reason);
    row->created = record->created;
    row->ended = record->ended;
    row->cpus = (uint64_t)record->cpus;
    row->seen = true;
    /* a host that answers knows better than the registry */
    if (fresh || row->link == NULL || record->ended != 0)
        row->state = state_of(record);
    return row;
}

void fleet_remove(struct fleet *fleet, struct fleet_row *row)
{
    for (size_t i = 0; i < fleet->count; i++)
        if (fleet->rows[i] == row) {
            memmove(&fleet->rows[i], &fleet->rows[i + 1], (fleet->count - i - 1) * sizeof(void *));
            fleet->count--;
            break;
        }
    for (size_t i = 0; i < fleet->shown_count; i++)
        if (fleet->shown[i] == row) { /* its neighbour is selected instead */
            if (strcmp(fleet->selected, row->id) == 0 && fleet->shown_count > 1) {
                const struct fleet_row *next =
                    fleet->shown[i + 1 < fleet->shown_count ? i + 1 : i - 1];
                memcpy(fleet->selected, next->id, sizeof fleet->selected);
            }
            memmove(&fleet->shown[i], &fleet->shown[i + 1],
                    (fleet->shown_count - i - 1) * sizeof(void *));
            fleet->shown_count--;
            break;
        }
    free(row);
}

void fleet_free(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++)
        free(fleet->rows[i]);
    free(fleet->rows);
    free(fleet->shown);
    free(fleet->children);
    *fleet = (struct fleet){0};
}

static bool matches(const struct fleet_row *row, const char *filter)
{
    const char *const texts[] = {
        row->name, row->id, row->image, row->command, fleet_state_name(row->state), row->title};
    char words[FLEET_TEXT + 1], *save = NULL;
    snprintf(words, sizeof words, "%s", filter);
    for (char *word = strtok_r(words, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        bool wanted = word[0] != '!' || word[1] == '\0', found = false;
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
            found = found || strcasestr(texts[i], wanted ? word : word + 1) != NULL;
        if (found != wanted)
            return false;
    }
    return true;
}

static int by_number(double a, double b)
{
    return (a < b) - (a > b);
}

static double load(const struct fleet_row *row)
{
    return row->sample_count > 0 ? row->samples[FLEET_SAMPLES - 1] : -1;
}

static int by_age(const struct fleet_row *a, const struct fleet_row *b)
{
    int order = (a->ended != 0) - (b->ended != 0); /* what lives comes first */
    if (order == 0)
        order = (a->created > b->created) - (a->created < b->created);
    return order != 0 ? order : strcmp(a->id, b->id);
}

static int compare(const void *left, const void *right, void *context)
{
    const struct fleet_row *a = *(struct fleet_row *const *)left;
    const struct fleet_row *b = *(struct fleet_row *const *)right;
    int order = 0;
    switch (*(const enum fleet_sort *)context) {
    case SORT_NAME:
        order = strcasecmp(fleet_word(a), fleet_word(b));
        break;
    case SORT_STATE:
        order = (int)a->state - (int)b->state;
        break;
    case SORT_CPU:
        order = by_number(load(a), load(b));
        break;
    case SORT_MEMORY:
        order = by_number((double)a->memory, (double)b->memory);
        break;
    default:
        break;
    }
    return order != 0 ? order : by_age(a, b);
}

void fleet_arrange(struct fleet *fleet)
{
    size_t before = fleet_position(fleet);
    fleet->shown_count = 0;
    for (size_t i = 0; i < fleet->count; i++)
        if (matches(fleet->rows[i], fleet->filter))
            fleet->shown[fleet->shown_count++] = fleet->rows[i];
    if (fleet->shown_count > 0) {
        qsort_r(fleet->shown, fleet->shown_count, sizeof(void *), compare, &fleet->sort);
        if (fleet_selected(fleet) == NULL) {
            size_t at = before < fleet->shown_count ? before : fleet->shown_count - 1;
            memcpy(fleet->selected, fleet->shown[at]->id, sizeof fleet->selected);
        }
    }
}

struct fleet_row *fleet_selected(const struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->shown_count; i++)
        if (strcmp(fleet->shown[i]->id, fleet->selected) == 0)
            return fleet->shown[i];
    return NULL;
}

size_t fleet_position(const struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->shown_count; i++)
        if (strcmp(fleet->shown[i]->id, fleet->selected) == 0)
            return i;
    return 0;
}

void fleet_move(struct fleet *fleet, long by)
{
    long at = (long)fleet_position(fleet) + by;
    if (fleet->shown_count == 0)
        return;
    if (at >= (long)fleet->shown_count)
        at = (long)fleet->shown_count - 1;
    memcpy(fleet->selected, fleet->shown[at < 0 ? 0 : at]->id, sizeof fleet->selected);
}

size_t fleet_targets(const struct fleet *fleet, struct fleet_row **out)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet->shown_count; i++)
        if (fleet->shown[i]->marked) {
            if (out != NULL)
                out[count] = fleet->shown[i];
            count++;
        }
    struct fleet_row *selected = fleet_selected(fleet);
    if (count == 0 && selected != NULL) {
        if (out != NULL)
            out[0] = selected;
        count = 1;
    }
    return count;
}

void fleet_sample(struct fleet_row *row, double cpu_seconds, uint64_t now)
{
    if (row->cpu_seconds >= 0 && now > row->sampled_at) {
        double seconds = (double)(now - row->sampled_at) / 1e9;
        double share =
            (cpu_seconds - row->cpu_seconds) / seconds / (double)(row->cpus > 0 ? row->cpus : 1);
        memmove(row->samples, row->samples + 1, sizeof row->samples - sizeof row->samples[0]);
        row->samples[FLEET_SAMPLES - 1] = share < 0 ? 0 : share > 1 ? 1 : share;
        if (row->sample_count < FLEET_SAMPLES)
            row->sample_count++;
    }
    row->cpu_seconds = cpu_seconds;
    row->sampled_at = now;
}

void fleet_sample_rest(struct fleet_row *row, uint64_t memory, uint64_t network, uint64_t now)
{
    double share = row->memory_max > 0 ? (double)memory / (double)row->memory_max : 0;
    bool had = row->cpu_seconds >= 0 && now > row->sampled_at && network >= row->network;
    row->network_rate =
        had ? (double)(network - row->network) * 1e9 / (double)(now - row->sampled_at) : 0;
    row->network = network;
    row->memory = memory;
    memmove(row->memory_samples, row->memory_samples + 1,
            sizeof row->memory_samples - sizeof row->memory_samples[0]);
    row->memory_samples[FLEET_SAMPLES - 1] = share > 1 ? 1 : share;
}

bool fleet_quiet(const struct fleet *fleet, uint64_t since)
{
    bool quiet = true;
    for (size_t i = 0; i < fleet->count && quiet; i++) {
        const struct fleet_row *row = fleet->rows[i];
        if (row->sampled_at < since)
            continue;
        quiet = row->network_rate <= 0;
        for (size_t k = 0; k < FLEET_SAMPLES; k++)
            quiet = quiet && row->samples[k] < FLEET_QUIET;
    }
    return quiet;
}

void fleet_output(struct fleet_row *row, uint64_t written, uint64_t bells)
{
    if (!row->known || written < row->written) /* one of its terminals has gone */
        row->seen_written = written;
    else if (bells > row->bells)
        row->bell = true;
    row->known = true;
    row->written = written;
    row->bells = bells;
}

void fleet_looked(struct fleet_row *row)
{
    row->seen_written = row->written;
    row->bell = false;
}

bool fleet_unseen(const struct fleet_row *row)
{
    return row->written > row->seen_written;
}

void fleet_load(struct fleet *fleet, long host_cpus)
{
    double used = 0;
    for (size_t i = 0; i < fleet->count; i++)
        if (fleet->rows[i]->sample_count > 0 && fleet->rows[i]->ended == 0)
            used += fleet->rows[i]->samples[FLEET_SAMPLES - 1] * (double)fleet->rows[i]->cpus;
    memmove(fleet->load, fleet->load + 1, sizeof fleet->load - sizeof fleet->load[0]);
    used = host_cpus > 0 ? used / (double)host_cpus : 0;
    fleet->load[FLEET_SAMPLES - 1] = used > 1 ? 1 : used;
    if (fleet->load_count < FLEET_SAMPLES)
        fleet->load_count++;
}

int fleet_children(struct fleet *fleet, struct registry *registry, struct error *err)
{
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    int rc = snapshot_list(registry, &list, err);
    if (rc < 0)
        return rc;
    struct fleet_child *children = calloc(list.count + 1, sizeof *children);
    if (children == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < list.count; i++) {
        const struct snapshot_record *record = &list.items[i];
        struct fleet_child *child = &children[i];
        snprintf(child->session, sizeof child->session, "%s", record->session);
        snprintf(child->name, sizeof child->name, "%s",
                 record->name[0] != '\0' ? record->name : record->id);
        child->kind = snapshot_kind_name(record->kind);
        child->created = record->created;
        child->size = (uint64_t)record->size;
    }
    free(fleet->children);
    fleet->children = children;
    fleet->child_count = list.count;
    return 0;
}

size_t fleet_count(const struct fleet *fleet, enum fleet_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet->count; i++)
        count += fleet->rows[i]->state == state;
    return count;
}

const char *fleet_word(const struct fleet_row *row)
{
    return row->name[0] != '\0' ? row->name : row->id;
}
