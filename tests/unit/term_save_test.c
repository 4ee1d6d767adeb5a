/*
 * Saved terminals: recorded streams that are saved and loaded at every byte and go on as if
 * nothing had been, data that is cut, changed or made up, and limits. Sequence by sequence:
 * term_sequence_test.c.
 */
#include "unit.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "session/term/format.h"
#include "term_resume.h"

static const char *const streams[] = {"apps", "bash", "dialog", "htop", "invalid",  "less",
                                      "ls",   "tmux", "top",    "vim",  "vim_tiny", "wide"};

static void load_stream(const char *name, struct buf *data)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", TERM_DATA, name);
    struct error err;
    if (path_read(path, 1 << 20, data, &err) != 0)
        fail_msg("%s", err.message);
    assert_true(buf_len(data) > 1000);
}

static struct term *make(int rows, int cols, size_t history)
{
    struct term_options options = {.rows = rows, .cols = cols, .history = history};
    struct term *term = NULL;
    assert_int_equal(term_new(&term, &options, NULL), 0);
    return term;
}

static void feed(struct term *term, const char *text)
{
    term_write(term, text, strlen(text));
}

/* One terminal lives through; of the other a new one is made at every byte, that goes on. */
static void every_byte(void **state)
{
    enum { LONG = 12000 }; /* streams are cut there: what comes later is more of the same */
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        CLEAN_BUF struct buf saved = {0};
        load_stream(streams[i], &data);
        size_t size = buf_len(&data) < LONG ? buf_len(&data) : LONG;
        struct term *term = make(24, 80, 15), *chain = make(24, 80, 15);
        for (size_t at = 0; at < size; at++) {
            struct term_options options = {.history = 15};
            assert_int_equal(term_save(chain, &saved, NULL), 0);
            term_free(chain);
            assert_int_equal(term_load(&chain, &options, buf_data(&saved), buf_len(&saved), NULL),
                             0);
            buf_consume(&saved, buf_len(&saved));
            term_write(chain, buf_data(&data) + at, 1);
            term_write(term, buf_data(&data) + at, 1);
            if (at % 53 == 0 && !resume_same(term, chain))
                fail_msg("%s, at %zu", streams[i], at);
        }
        assert_true(resume_same(term, chain));
        term_free(term);
        term_free(chain);
    }
}

/* Two terminals of which one was loaded stay the same for the rest of a stream, and resized. */
static void rest(void **state)
{
    enum { MOMENTS = 20 };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        load_stream(streams[i], &data);
        size_t size = buf_len(&data);
        for (size_t n = 0; n < MOMENTS; n++) {
            size_t at = size * n / MOMENTS;
            struct term *term = make(24, 80, TERM_HISTORY);
            term_write(term, buf_data(&data), at);
            struct term *loaded = resume(term, NULL, NULL);
            assert_non_null(loaded);
            if (n % 2 == 1) {
                assert_int_equal(term_resize(term, 20, 61, NULL), 0);
                assert_int_equal(term_resize(loaded, 20, 61, NULL), 0);
            }
            term_write(term, buf_data(&data) + at, size - at);
            term_write(loaded, buf_data(&data) + at, size - at);
            if (!resume_same(term, loaded))
                fail_msg("%s, at %zu", streams[i], at);
            term_free(term);
            term_free(loaded);
        }
    }
}

/* Something of everything. */
static struct term *colourful(void)
{
    struct term *term = make(4, 12, 20);
    feed(term, "\033]2;title\007\033]7;file://h/tmp/dir\007one\r\n\033[1;38;5;200mtwo\033[m\r\n"
               "\033]8;id=7;http://x/\007lin\314\201k\033]8;;\007\r\n0123456789ab\346\227\245\r\n"
               "\033[48;2;1;2;3m\033[K\033[3g\033[5G\033H\0337\033[?1049h\033[2;3rx\033[4mtext"
               "\033[?2004;1006;1002h\033(0\0337\033[6n\033[?2026hframe\346\033]2;half");
    return term;
}

/* Whatever comes out must be a terminal that can be lived with. */
static void use(struct term *term)
{
    struct repaint_options all = {
        .history = SIZE_MAX, .colors = REPAINT_TRUECOLOR, .strings = true, .partial = true};
    CLEAN_BUF struct buf out = {0};
    assert_true(grid_check(&term->grid));
    feed(term, "\007x\033\\\0338\346\227\245\033[?1049ly\0338\ne\314\201\033[6n\033[?6hz");
    assert_int_equal(repaint(term, &all, &out, NULL), 0);
    assert_int_equal(term_resize(term, 3, 7, NULL), 0);
    assert_true(grid_check(&term->grid));
    struct term *again = resume(term, NULL, NULL);
    assert_non_null(again);
    term_free(again);
}

/*
 * Loads a copy of exactly that size, so that a byte read behind it is seen. True if it loads; if
 * not, `why` must be in the message.
 */
static bool try_load(const uint8_t *data, size_t size, const char *why)
{
    struct term_options options = {.history = 20};
    struct term *term = NULL;
    struct error err = {0};
    CLEAN_FREE uint8_t *copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, data, size);
    int status = term_load(&term, &options, copy, size, &err);
    if (status == 0) {
        use(term);
        term_free(term);
        return true;
    }
    assert_int_equal(status, -EBADMSG);
    assert_int_equal(err.code, EBADMSG);
    if (strstr(err.message, why) == NULL)
        fail_msg("%s: %s", why, err.message);
    assert_null(term);
    return false;
}

static void damaged(void **state)
{
    CLEAN_BUF struct buf data = {0};
    (void)state;
    struct term *term = colourful();
    assert_int_equal(term_save(term, &data, NULL), 0);
    term_free(term);
    assert_true(try_load(buf_data(&data), buf_len(&data), ""));
    for (size_t size = 0; size < buf_len(&data); size++)
        assert_false(try_load(buf_data(&data), size, ""));
    size_t refused = 0;
    for (size_t at = 0; at < buf_len(&data); at++)
        for (unsigned change = 1; change < 256; change += change < 9 ? 1 : 13) {
            buf_data(&data)[at] ^= (uint8_t)change;
            refused += !try_load(buf_data(&data), buf_len(&data), "");
            buf_data(&data)[at] ^= (uint8_t)change;
        }
    assert_true(refused > buf_len(&data));
    assert_int_equal(buf_append(&data, "", 1), 0);
    assert_false(try_load(buf_data(&data), buf_len(&data), ""));
}

/* A terminal of 2 rows and 4 columns in pieces, and pieces that are wrong in place of one. */
enum piece {
    HEAD,
    SIZE,
    MODES,
    MOUSE,
    SHAPE,
    CURSOR,
    MARGINS,
    CHARSETS,
    SAVED0,
    SAVED1,
    REFUSED,
    EVICTED,
    FRAME,
    CLUSTERS,
    LINKS,
    PEN,
    PENS,
    TITLE,
    CWD,
    REPLIES,
    TABS,
    ROWS,
    ALTERNATE,
    LINES,
    CHARACTER,
    SEQUENCE,
    PIECES,
};

struct bytes {
    const char *text;
    size_t size;
};
#define BYTES(literal)                  \
    {                                   \
        (literal), sizeof(literal) - 1, \
    }

static const struct bytes good[PIECES] = {
    [HEAD] = BYTES("VDT\1"),
    [SIZE] = BYTES("\2\4"),
    [MODES] = BYTES("\x30"),
    [MOUSE] = BYTES("\0\0"),
    [SHAPE] = BYTES("\0"),
    [CURSOR] = BYTES("\0\0\0"),
    [MARGINS] = BYTES("\0\2"),
    [CHARSETS] = BYTES("\0\0\0\0\0\0"),
    [SAVED0] = BYTES("\0\0\0\0\0\0\0\0\0\0\0"),
    [SAVED1] = BYTES("\0\0\0\0\0\0\0\0\0\0\0"),
    [REFUSED] = BYTES("\0\0"),
    [EVICTED] = BYTES("\0"),
    [FRAME] = BYTES("\0"),
    [CLUSTERS] = BYTES("\1\2e\x81\6"),
    [LINKS] = BYTES("\1\1i\3u:/"),
    [PEN] = BYTES("\0\0\0\0"),
    [PENS] = BYTES("\0\0\0\0\0\0\0\0"),
    [TITLE] = BYTES("\1t"),
    [CWD] = BYTES("\2/c"),
    [REPLIES] = BYTES("\1r"),
    [TABS] = BYTES("\0"),
    [ROWS] = BYTES("\4\10a\11\x82\x80\x88\1\0"), /* a, a cluster */
    [ALTERNATE] = BYTES("\0"),
    [LINES] = BYTES("\0"),
    [CHARACTER] = BYTES("\0"),
    [SEQUENCE] = BYTES("\0"),
};

static const struct {
    enum piece piece;
    struct bytes bytes;
    const char *why; /* a part of the message */
} bad[] = {
    {HEAD, BYTES("VDU\1"), "no saved terminal"},
    {HEAD, BYTES("VDT\2"), "format 2"},
    {HEAD, BYTES("VDT\0"), "format 0"},
    {SIZE, BYTES("\0\4"), "(size"},
    {SIZE, BYTES("\2\0"), "(size"},
    {SIZE, BYTES("\xf5\3\4"), "(rows"},    /* 501 rows */
    {SIZE, BYTES("\2\xe9\7"), "(columns"}, /* 1001 columns */
    {SIZE, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\4"), "(rows"},
    {MODES, BYTES("\x80\x40"), "(modes"},            /* a bit that there is not */
    {MODES, BYTES("\x80\x20"), "(alternate screen"}, /* the alternate screen, which is not there */
    {MOUSE, BYTES("\1\0"), "(mouse mode"},
    {MOUSE, BYTES("\xe9\7\0"), "(mouse mode"}, /* 1001 */
    {MOUSE, BYTES("\0\1"), "(mouse mode"},
    {SHAPE, BYTES("\7"), "(cursor_shape"},
    {CURSOR, BYTES("\2\0\0"), "(cursor,"},
    {CURSOR, BYTES("\0\4\0"), "(cursor,"},
    {CURSOR, BYTES("\0\2\1"), "(cursor,"}, /* a wrap is pending, but not in the last column */
    {CURSOR, BYTES("\0\0\2"), "(pending"},
    {MARGINS, BYTES("\0\0"), "(margins"},
    {MARGINS, BYTES("\0\3"), "(margins"},
    {MARGINS, BYTES("\1\2"), "(margins"},
    {MARGINS, BYTES("\2\1"), "(margins"},
    {CHARSETS, BYTES("\3\0\0\0\0\0"), "(charsets.g[0]"},
    {CHARSETS, BYTES("\0\0\0\0\4\0"), "(charsets.locked"},
    {CHARSETS, BYTES("\0\0\0\0\0\4"), "(charsets.single"},
    {SAVED0, BYTES("\2\0\0\0\0\0\0\0\0\0\0"), "(saved[0].set"},
    {SAVED0, BYTES("\0\1\0\0\0\0\0\0\0\0\0"), "(saved cursor"}, /* a place, but nothing is saved */
    {SAVED0, BYTES("\1\2\0\0\0\0\0\0\0\0\0"), "(saved cursor"},
    {SAVED1, BYTES("\1\0\4\0\0\0\0\0\0\0\0"), "(saved cursor"},
    {SAVED1, BYTES("\1\0\0\0\0\0\0\3\0\0\0"), "(saved[1].charsets.g[2]"},
    {REFUSED, BYTES("\x81\x40\0"), "(clusters.refused"},
    {EVICTED, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "(grid.history.evicted"},
    {FRAME, BYTES("\1"), "(held frame"},                 /* none is held */
    {CLUSTERS, BYTES("\x81\x40"), "(count of clusters"}, /* 8193 */
    {CLUSTERS, BYTES("\1\1e"), "(cluster,"},
    {CLUSTERS, BYTES("\1\10e\x81\6\x81\6\x81\6\x81\6\x81\6\x81\6\x81\6"), "(cluster,"},
    {CLUSTERS, BYTES("\1\2\33\x81\6"), "(cluster's code"}, /* escape */
    {CLUSTERS, BYTES("\1\2e\33"), "(cluster's code"},
    {CLUSTERS, BYTES("\1\2e\x80\xb0\3"), "(cluster's code"},  /* a surrogate */
    {CLUSTERS, BYTES("\1\2e\x80\x80\x44"), "(cluster,"},      /* beyond Unicode */
    {CLUSTERS, BYTES("\2\2e\x81\6\2e\x81\6"), "(table with"}, /* the same twice */
    {LINKS, BYTES("\x81\x08"), "(count of links"},            /* 1025 */
    {LINKS, BYTES("\1\1i\0"), "(link's text"},
    {LINKS, BYTES("\1\1;\1u"), "(link's text"},
    {LINKS, BYTES("\1\1\0\1u"), "(link's text"},
    {LINKS, BYTES("\1\1i\1\7"), "(link's text"},
    {LINKS, BYTES("\1\1i\2\303\251"), "(link's text"},
    {LINKS, BYTES("\1\xff\x1f\1u"), "(link's id"},     /* the id is longer than the rest */
    {PEN, BYTES("\x81\x82\x80\x08\0\0\0"), "(colour"}, /* more than every colour */
    {PEN, BYTES("\0\0\x80\x10\0"), "(attributes"},     /* a width */
    {PEN, BYTES("\0\0\x80\x0c\0"), "(attributes"},     /* underline 6 */
    {PEN, BYTES("\0\0\0\2"), "(link's number"},        /* a link that is not there */
    {PENS, BYTES("\0\0\0\0\0\0\0\2"), "(link's number"},
    {TITLE, BYTES("\1\33"), "(title"},
    {TITLE, BYTES("\1\303"), "(title"},
    {TITLE, BYTES("\2\302\233"), "(title"},
    {TITLE, BYTES("\x80\2t"), "(title"}, /* 256 */
    {CWD, BYTES("\2/\n"), "(directory"},
    {CWD, BYTES("\x81\x20/"), "(directory"},   /* 4097 */
    {REPLIES, BYTES("\x81\x20r"), "(replies"}, /* 4097 */
    {ROWS, BYTES("\12\50abcde\0"), "(row,"},   /* 5 of 4 */
    {ROWS, BYTES("\4\30abc\0"), "(run"},       /* a run that is longer than its row */
    {ROWS, BYTES("\2\0\10a\0"), "(run"},       /* a run of nothing */
    {ROWS, BYTES("\2\10\33\0"), "(text"},
    {ROWS, BYTES("\2\10\x7f\0"), "(text"},
    {ROWS, BYTES("\2\11\x36\0"), "(glyph"},                   /* 0x1b */
    {ROWS, BYTES("\2\11\x80\xe0\6\0"), "(glyph"},             /* a surrogate */
    {ROWS, BYTES("\2\11\x80\x80\x88\1\0"), "(glyph"},         /* cluster 0 */
    {ROWS, BYTES("\2\11\x84\x80\x88\1\0"), "(glyph"},         /* cluster 2 of 1 */
    {ROWS, BYTES("\10\30abc\11\xcb\x97\3\0"), "(glyph"},      /* wide in the last column */
    {ROWS, BYTES("\4\10a\12\0"), "(row's length"},            /* ends with a blank */
    {ROWS, BYTES("\2\15\0"), "(run"},                         /* a run that there is not */
    {ROWS, BYTES("\2\x84\x80\1\0\0\0\10a\0"), "(attributes"}, /* a width as style */
    {ROWS, BYTES("\2\14\0\0\2\10a\0"), "(link's number"},     /* a link that is not there */
    {ROWS, BYTES("\7\30abc\2\10a"),
     "(wrapped row"}, /* wrapped, but not full, and not behind a wide one */
    {ROWS, BYTES("\0\11\40abcd"), "(wrapped row"}, /* the last row wrapped */
    {ALTERNATE, BYTES("\2\0\0"), "(alternate screen"},
    {LINES, BYTES("\xc1\x84\x3d"), "(count of lines"}, /* 1000001 */
    {LINES, BYTES("\1\7\30abc"), "(wrapped row"},
    {LINES, BYTES("\1\12\50abcde"), "(line,"},
    {CHARACTER, BYTES("\1x"), "(unfinished character"},
    {CHARACTER, BYTES("\2\346x"), "(unfinished character"},
    {CHARACTER, BYTES("\3\346\227\245"), "(unfinished character"},
    {CHARACTER, BYTES("\4\360\220\200\200"), "(character"},
    {SEQUENCE, BYTES("\1x"), "(unfinished sequence"},
    {SEQUENCE, BYTES("\1\7"), "(unfinished sequence"},
    {SEQUENCE, BYTES("\3\33[m"), "(unfinished sequence"},
    {SEQUENCE, BYTES("\2\0337"), "(unfinished sequence"},
    {SEQUENCE, BYTES("\7\33]2;x\33\\"), "(unfinished sequence"},
    {SEQUENCE, BYTES("\x84\x80\x40\33"), "(sequence"}, /* 1 MiB and 4 */
};

static void made_up(void **state)
{
    (void)state;
    for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
        CLEAN_BUF struct buf data = {0};
        for (size_t piece = 0; piece < PIECES; piece++) {
            const struct bytes *bytes = &good[piece];
            if (i > 0 && bad[i - 1].piece == piece)
                bytes = &bad[i - 1].bytes;
            assert_int_equal(buf_append(&data, bytes->text, bytes->size), 0);
        }
        if (try_load(buf_data(&data), buf_len(&data), i > 0 ? bad[i - 1].why : "") != (i == 0))
            fail_msg("row %zu", i);
    }
}

static void on_damage(void *context, int first, int last)
{
    int *seen = context;
    seen[0] = first;
    seen[1] = last;
}

/* What the owner gives anew: the limit of the history, events. */
static void options(void **state)
{
    static const struct term_events events = {.damage = on_damage};
    int seen[2] = {-1, -1};
    (void)state;
    struct term *term = make(2, 10, 100), *loaded = NULL;
    for (int i = 0; i < 9; i++)
        feed(term, "x\033[6n\r\n");
    CLEAN_BUF struct buf data = {0};
    assert_int_equal(buf_append(&data, "before", 6), 0);
    assert_int_equal(term_save(term, &data, NULL), 0);
    buf_consume(&data, 6);
    for (size_t limit = 0; limit < 20; limit += 5) {
        struct term_options given = {
            .rows = 99, .cols = 99, .history = limit, .events = &events, .context = seen};
        assert_int_equal(term_load(&loaded, &given, buf_data(&data), buf_len(&data), NULL), 0);
        assert_int_equal(term_history(loaded), limit < 8 ? limit : 8);
        assert_int_equal(term_evicted(loaded), limit < 8 ? 8 - limit : 0);
        assert_true(resume_equal(term_replies(term), term_replies(loaded)));
        assert_int_equal(seen[0], -1);
        feed(loaded, "x");
        assert_int_equal(seen[0], 0);
        assert_int_equal(seen[1], 2);
        seen[0] = -1;
        term_free(loaded);
    }
    term_free(term);
}

/* A frame that is held is let go after as many bytes as it would have been. */
static void held_frame(void **state)
{
    enum { STEP = TERM_FRAME_MAX / 4 };
    (void)state;
    struct term *term = make(2, 80, 0);
    CLEAN_FREE char *text = malloc(STEP);
    assert_non_null(text);
    memset(text, 'x', STEP);
    feed(term, "\033[?2026h");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(term_frame_held(term), i <= 4);
        struct term *loaded = resume(term, NULL, NULL);
        assert_non_null(loaded);
        term_free(term);
        term = loaded;
        term_write(term, text, STEP);
    }
    term_free(term);
}

/* A cursor that was saved with a pending wrap, in a terminal that is wider now: no wrap. */
static void saved_then_wider(void **state)
{
    (void)state;
    struct term *term = make(2, 4, 0);
    feed(term, "\033[?1049habcd\0337");
    assert_int_equal(term_resize(term, 2, 6, NULL), 0);
    feed(term, "\rabcdef\0338");
    assert_false(term->pending);
    struct term *loaded = resume(term, NULL, NULL);
    assert_non_null(loaded);
    term_free(loaded);
    term_free(term);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte),       cmocka_unit_test(rest),    cmocka_unit_test(damaged),
        cmocka_unit_test(made_up),          cmocka_unit_test(options), cmocka_unit_test(held_frame),
        cmocka_unit_test(saved_then_wider),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
