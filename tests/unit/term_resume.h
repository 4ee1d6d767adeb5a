/* What the tests of saved terminals share. */
#ifndef VMDECK_TESTS_TERM_RESUME_H
#define VMDECK_TESTS_TERM_RESUME_H

#include "session/term/engine.h"
#include "session/term/save.h"
#include "term_dump.h"

static inline bool resume_equal(const struct buf *a, const struct buf *b)
{
    return buf_len(a) == buf_len(b) &&
           (buf_len(a) == 0 || memcmp(buf_data(a), buf_data(b), buf_len(a)) == 0);
}

/* A terminal made of what `term` is saved as, which must be saved as the same; else NULL. */
static inline struct term *resume(const struct term *term, const struct term_events *events,
                                  void *context)
{
    struct term_options options = {
        .history = term->grid.history.limit, .events = events, .context = context};
    struct term *loaded = NULL;
    struct error err;
    CLEAN_BUF struct buf first = {0};
    CLEAN_BUF struct buf second = {0};
    if (term_save(term, &first, &err) != 0 ||
        term_load(&loaded, &options, buf_data(&first), buf_len(&first), &err) != 0 ||
        term_save(loaded, &second, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        return NULL;
    }
    if (resume_equal(&first, &second))
        return loaded;
    term_free(loaded);
    return NULL;
}

/* All that can be seen, all that a viewer is sent, all that is saved: the same. */
static inline bool resume_same(struct term *a, struct term *b)
{
    struct repaint_options all = {
        .history = SIZE_MAX, .colors = REPAINT_TRUECOLOR, .strings = true, .partial = true};
    struct buf saved[2] = {{0}}, painted[2] = {{0}};
    struct term *terms[] = {a, b};
    bool same = dump_same(a, b) && resume_equal(term_replies(a), term_replies(b)) &&
                strcmp(term_cwd(a), term_cwd(b)) == 0 && term_evicted(a) == term_evicted(b) &&
                term_frame_held(a) == term_frame_held(b);
    for (int i = 0; i < 2; i++)
        same = same && term_save(terms[i], &saved[i], NULL) == 0 &&
               repaint(terms[i], &all, &painted[i], NULL) == 0;
    same = same && resume_equal(&saved[0], &saved[1]) && resume_equal(&painted[0], &painted[1]);
    for (int i = 0; i < 2; i++) {
        buf_free(&saved[i]);
        buf_free(&painted[i]);
    }
    return same;
}

#endif
