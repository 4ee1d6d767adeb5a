/* Sequences and what they do to cells, cursor, modes, replies and events; limits and beyond. */
#include "unit.h"

#include "term_dump.h"
#include "term_resume.h"

struct seen {
    char title[TERM_TITLE_MAX + 1], cwd[TERM_PATH_MAX + 1], clipboard[64];
    size_t clipboard_size;
    int bells, titles, cwds, modes, replies, damages, first, last;
    struct buf output;
};

static void on_damage(void *context, int first, int last)
{
    struct seen *seen = context;
    seen->damages++;
    seen->first = first;
    seen->last = last;
}

static void on_title(void *context, const char *title)
{
    struct seen *seen = context;
    seen->titles++;
    snprintf(seen->title, sizeof seen->title, "%s", title);
}

static void on_bell(void *context)
{
    ((struct seen *)context)->bells++;
}

static void on_cwd(void *context, const char *path)
{
    struct seen *seen = context;
    seen->cwds++;
    snprintf(seen->cwd, sizeof seen->cwd, "%s", path);
}

static void on_modes(void *context)
{
    ((struct seen *)context)->modes++;
}

static void on_replies(void *context)
{
    ((struct seen *)context)->replies++;
}

static void on_clipboard(void *context, const char *base64, size_t size)
{
    struct seen *seen = context;
    seen->clipboard_size = size;
    snprintf(seen->clipboard, sizeof seen->clipboard, "%.*s", (int)size, base64);
}

static void on_output(void *context, const uint8_t *bytes, size_t size)
{
    buf_append(&((struct seen *)context)->output, bytes, size);
}

static const struct term_events events = {
    .damage = on_damage,
    .title = on_title,
    .bell = on_bell,
    .cwd = on_cwd,
    .modes = on_modes,
    .replies = on_replies,
    .clipboard = on_clipboard,
    .output = on_output,
};

static struct term *make(int rows, int cols, size_t history, struct seen *seen)
{
    struct term_options options = {
        .rows = rows, .cols = cols, .history = history, .events = &events, .context = seen};
    struct term *term = NULL;
    *seen = (struct seen){0};
    assert_int_equal(term_new(&term, &options, NULL), 0);
    return term;
}

static void feed(struct term *term, const char *text)
{
    term_write(term, text, strlen(text));
}

/* The rows, without empty ones at the end. */
static char *rows_of(const struct term *term, bool history)
{
    char *text = dump_rows(term, history, false);
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '\n')
        text[--size] = '\0';
    return text;
}

static void expect_rows(const struct term *term, bool history, const char *rows, const char *what)
{
    char *text = rows_of(term, history);
    if (strcmp(text, rows) != 0)
        print_message("%s\n", what);
    assert_string_equal(text, rows);
    free(text);
}

/* On 5 rows of 10 columns. Blanks in front of something are '~'. */
static const struct {
    const char *name, *input, *rows;
    int row, col;
} screens[] = {
    {"text", "hello\r\nworld", "hello\nworld", 1, 5},
    {"nul and del",
     "a\x7f"
     "b",
     "ab", 0, 2},
    {"wrap is pending", "0123456789", "0123456789", 0, 9},
    {"wrap", "0123456789a", "0123456789\na", 1, 1},
    {"pending ends with backspace", "0123456789\bX", "01234567X9", 0, 9},
    {"pending ends with a line feed", "0123456789\nX", "0123456789\n~~~~~~~~~X", 1, 9},
    {"pending survives a pen", "0123456789\033[1ma", "0123456789\na", 1, 1},
    {"pending survives a tab", "0123456789\ta", "0123456789\na", 1, 1},
    {"no autowrap", "\033[?7l0123456789ab", "012345678b", 0, 9},
    {"no autowrap, wide", "\033[?7l012345678\346\227\245", "012345678", 0, 9},
    {"wide", "\346\227\245x", "\346\227\245x", 0, 3},
    {"wide does not fit", "012345678\346\227\245", "012345678\n\346\227\245", 1, 2},
    {"wide cut left", "\346\227\245\346\234\254\033[1;2Hx", "~x\346\234\254", 0, 2},
    {"wide cut right", "\346\227\245\346\234\254\033[1;1Hx", "x~\346\234\254", 0, 1},
    {"wide deleted in part", "a\346\227\245b\033[1;2H\033[P", "a~b", 0, 1},
    {"wide cut by insertion at the end", "\033[1;9H\346\227\245\033[1;1H\033[@", "", 0, 0},
    {"wide erased in part", "a\346\227\245b\033[1;3H\033[X", "a~~b", 0, 2},
    {"emoji new to libvterm", "\360\237\247\252x", "\360\237\247\252x", 0, 3},
    {"combining", "e\314\201x", "e\314\201x", 0, 2},
    {"combining in the last column", "\033[1;10He\314\201", "~~~~~~~~~e\314\201", 0, 9},
    {"combining on wide", "\346\227\245\314\201", "\346\227\245\314\201", 0, 2},
    {"combining on nothing", "\314\201x", "x", 0, 1},
    {"six combining, no more", "e\314\201\314\201\314\201\314\201\314\201\314\201\314\201",
     "e\314\201\314\201\314\201\314\201\314\201\314\201", 0, 1},
    {"bad utf-8", "\377\300\257\346\227x", "\357\277\275\357\277\275\357\277\275\357\277\275x", 0,
     5},
    {"surrogates", "\355\240\200", "\357\277\275\357\277\275\357\277\275", 0, 3},
    {"beyond unicode", "\364\220\200\200", "\357\277\275\357\277\275\357\277\275\357\277\275", 0,
     4},
    {"utf-8 cut by a sequence", "\346\227\033[1mx", "\357\277\275x", 0, 2},
    {"c1 in utf-8", "a\302\2331mb", "a1mb", 0, 4},
    {"line drawing", "\033(0lqk\033(Bq", "\342\224\214\342\224\200\342\224\220q", 0, 4},
    {"shift out", "\033)0q\016q\017q", "q\342\224\200q", 0, 3},
    {"single shift", "\033*0\033Nqq", "\342\224\200q", 0, 2},
    {"british", "\033(A#", "\302\243", 0, 1},
    {"unknown set is ascii", "\033(0\033(1q", "q", 0, 1},
    {"back, tab, return", "ab\tc\rX", "Xb~~~~~~c", 0, 1},
    {"vertical tab, form feed", "a\vb\fc", "a\n~b\n~~c", 2, 3},
    {"next line, index, reverse index", "a\033Eb\033Dc\033M\033Md", "a~d\nb\n~c", 0, 3},
    {"reverse index scrolls", "a\033Mb", "~b\na", 0, 2},
    {"insert characters", "abcd\033[1;2H\033[2@", "a~~bcd", 0, 1},
    {"delete characters", "abcd\033[1;2H\033[2P", "ad", 0, 1},
    {"insert outside of margins", "abcd\033[2;3r\033[1;2H\033[2@", "a~~bcd", 0, 1},
    {"erase characters", "abcd\033[1;2H\033[2X", "a~~d", 0, 1},
    {"insert lines", "a\r\nb\r\nc\033[2;1H\033[L", "a\n\nb\nc", 1, 0},
    {"delete lines", "a\r\nb\r\nc\033[1;1H\033[2M", "c", 0, 0},
    {"delete lines by a lot", "a\r\nb\r\nc\033[1;1H\033[99999M", "", 0, 0},
    {"scroll up", "a\r\nb\r\nc\033[S", "b\nc", 2, 1},
    {"scroll down", "a\r\nb\r\nc\033[2T", "\n\na\nb\nc", 2, 1},
    {"highlight tracking is none of it", "a\033[1;1;1;1;1T", "a", 0, 1},
    {"erase below", "aaa\r\nbbb\r\nccc\033[2;2H\033[J", "aaa\nb", 1, 1},
    {"erase above", "aaa\r\nbbb\r\nccc\033[2;2H\033[1J", "\n~~b\nccc", 1, 1},
    {"erase all", "aaa\r\nbbb\033[2J", "", 1, 3},
    {"erase line", "abc\033[1;2H\033[K", "a", 0, 1},
    {"erase line to the left", "abc\033[1;2H\033[1K", "~~c", 0, 1},
    {"erase of an unknown kind", "abc\033[7J\033[7K", "abc", 0, 3},
    {"position", "\033[3;4Hx", "\n\n~~~x", 2, 4},
    {"position beyond", "\033[99999;99999Hx", "\n\n\n\n~~~~~~~~~x", 4, 9},
    {"position 0", "\033[0;0Hx", "x", 0, 1},
    {"relative", "\033[3;3H\033[A\033[2C\033[B\033[Dx", "\n\n~~~x", 2, 4},
    {"column, row", "\033[3G\033[2dx", "\n~~x", 1, 3},
    {"next, previous line", "\033[3;5H\033[Ea\033[2Fb", "\nb\n\na", 1, 1},
    {"up stops at the margin", "\033[2;4r\033[3;1H\033[9Ax", "\nx", 1, 1},
    {"up from above the margin", "\033[3;4r\033[2;1H\033[9Ax", "x", 0, 1},
    {"down stops at the margin", "\033[2;4r\033[3;1H\033[9Bx", "\n\n\nx", 3, 1},
    {"margins scroll", "a\r\nb\r\nc\r\nd\033[2;3r\033[3;1H\n", "a\nc\n\nd", 2, 0},
    {"margins the wrong way round", "\033[4;2r\033[5;1Hx\n", "\n\n\nx", 4, 1},
    {"origin", "\033[2;4r\033[?6hx\033[9;1Hy", "\nx\n\ny", 3, 1},
    {"save and restore", "\033[2;2H\0337\033[4;4H\0338x", "\n~x", 1, 2},
    {"ansi save and restore", "\033[2;2H\033[s\033[4;4H\033[ux", "\n~x", 1, 2},
    {"save keeps the pending wrap", "0123456789\0337\033[5;5H\0338x", "0123456789\nx", 1, 1},
    {"restore without save", "\033[3;3H\0338x", "x", 0, 1},
    {"left and right margins are not there", "\033[?69h\033[3;5sab", "ab", 0, 2},
    {"repeat", "a\033[3b", "aaaa", 0, 4},
    {"repeat stops at the margin", "a\033[99999b", "aaaaaaaaaa", 0, 9},
    {"repeat nothing", "\033[3bx", "x", 0, 1},
    {"insert mode", "bc\r\033[4ha\033[4l", "abc", 0, 1},
    {"newline mode", "a\033[20h\nb", "a\nb", 1, 1},
    {"tab stops", "\033[3g\033[4G\033H\r\tx", "~~~x", 0, 4},
    {"back tab", "\033[10G\033[Zx", "~~~~~~~~x", 0, 9},
    {"tabs forward", "\033[Ix", "~~~~~~~~x", 0, 9},
    {"alignment", "\033[2;3r\033#8", "EEEEEEEEEE\nEEEEEEEEEE\nEEEEEEEEEE\nEEEEEEEEEE\nEEEEEEEEEE",
     0, 0},
    {"alternate screen", "abc\033[?1049hxyz\033[?1049l", "abc", 0, 3},
    {"alternate screen, shown", "abc\033[?1049hxyz", "~~~xyz", 0, 6},
    {"alternate screen is cleared", "\033[?1049hxyz\033[?1049l\033[?1049h", "", 0, 0},
    {"alternate twice", "abc\033[?1049hx\033[?1049hy\033[?1049lz", "abcz", 0, 4},
    {"alternate 47 and 1047", "abc\033[?47hd\033[?47le\033[?1047hf\033[?1047l", "abc~e", 0, 6},
    {"apc, pm, sos are swallowed", "a\033_Gf=1;\007data\033\\b\033^x\033\\c\033Xy\033\\d", "abcd",
     0, 4},
    {"osc unknown", "a\033]777;notify;x\007b\033]133;A\033\\c", "abc", 0, 3},
    {"dcs unknown", "a\033Pq#0;2\033\\b", "ab", 0, 2},
    {"cancel", "a\033[12\030b\033]0;x\030c\033Pz\032d", "abcd", 0, 4},
    {"escape in a string", "a\033]0;title\033[2Cb", "a~~b", 0, 4},
    {"control in a sequence", "ab\033[1\bDc", "cb", 0, 1},
    {"two intermediates", "a\033[1 !pb", "ab", 0, 2},
    {"parameter after an intermediate", "a\033[ 1qb", "ab", 0, 2},
    {"unknown leaders", "a\033[>1u\033[<u\033[=1;1u\033[>4;2mb\033[>1sc", "abc", 0, 3},
    {"very many parameters",
     "a\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31;"
     "32;33;34;35;36;37;38;39;40;41;42;43;44;45;46;47;48;49;50mb\033[;;;;;;;;;;;;;;;;;;;;;;;;;;;;"
     ";;;;;;;;;;;;;;;;;;;;;;;;;;;Hc",
     "cb", 0, 1},
    {"numbers beyond everything", "a\033[99999999999999999999999Cb", "a~~~~~~~~b", 0, 9},
    {"soft reset", "\033[2;3r\033[?6h\033[4h\033[3;3H\033[!p\033[5;1Hx", "\n\n\n\nx", 4, 1},
    {"hard reset", "abc\033[2;3r\033[?1049h\033c\n\n\n\nx", "\n\n\n\nx", 4, 1},
};

static void screen(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(screens); i++) {
        struct seen seen, seen_split;
        struct term *term = make(5, 10, 100, &seen), *split = make(5, 10, 100, &seen_split);
        feed(term, screens[i].input);
        for (const char *byte = screens[i].input; *byte != '\0'; byte++)
            term_write(split, byte, 1);
        expect_rows(term, false, screens[i].rows, screens[i].name);
        struct term_cursor cursor;
        term_cursor(term, &cursor);
        if (cursor.row != screens[i].row || cursor.col != screens[i].col)
            fail_msg("%s: cursor at %d, %d", screens[i].name, cursor.row, cursor.col);
        if (!dump_same(term, split))
            fail_msg("%s: split", screens[i].name);
        struct term *clone = dump_clone(term);
        if (!dump_same(term, clone))
            fail_msg("%s: repaint", screens[i].name);
        term_free(clone);
        term_free(term);
        term_free(split);
        buf_free(&seen.output);
        buf_free(&seen_split.output);
    }
}

/* The style of the first cell, on default colours and attributes where not said. */
static const struct {
    const char *input;
    uint32_t fg, bg, attrs;
} pens[] = {
    {"x", 0, 0, 0},
    {"\033[1;2;3;5;7;8;9;53mx", 0, 0,
     CELL_BOLD | CELL_DIM | CELL_ITALIC | CELL_BLINK | CELL_REVERSE | CELL_CONCEAL | CELL_STRIKE |
         CELL_OVERLINE},
    {"\033[1;2;3;5;7;8;9;53;22;23;25;27;28;29;55mx", 0, 0, 0},
    {"\033[1;31m\033[mx", 0, 0, 0},
    {"\033[1;31m\033[0;4mx", 0, 0, 1U << CELL_UNDERLINE_SHIFT},
    {"\033[;4mx", 0, 0, 1U << CELL_UNDERLINE_SHIFT},
    {"\033[4:3mx", 0, 0, 3U << CELL_UNDERLINE_SHIFT},
    {"\033[4:3m\033[4:0mx", 0, 0, 0},
    {"\033[4:9mx", 0, 0, 0},
    {"\033[21mx", 0, 0, 2U << CELL_UNDERLINE_SHIFT},
    {"\033[4;24mx", 0, 0, 0},
    {"\033[31;42mx", COLOR_INDEXED | 1, COLOR_INDEXED | 2, 0},
    {"\033[91;102mx", COLOR_INDEXED | 9, COLOR_INDEXED | 10, 0},
    {"\033[31;42;39;49mx", 0, 0, 0},
    {"\033[38;5;200;48;5;0mx", COLOR_INDEXED | 200, COLOR_INDEXED, 0},
    {"\033[38:5:200mx", COLOR_INDEXED | 200, 0, 0},
    {"\033[38;2;1;2;3mx", COLOR_RGB | 0x010203, 0, 0},
    {"\033[38:2::1:2:3mx", COLOR_RGB | 0x010203, 0, 0},
    {"\033[38:2:1:2:3mx", COLOR_RGB | 0x010203, 0, 0},
    {"\033[48:2::1:2:3;1mx", 0, COLOR_RGB | 0x010203, CELL_BOLD},
    {"\033[38;2;1;2;3;4mx", COLOR_RGB | 0x010203, 0, 1U << CELL_UNDERLINE_SHIFT},
    {"\033[1;58;2;1;2;0mx", 0, 0, CELL_BOLD},
    {"\033[1;58:2::1:2:0;3mx", 0, 0, CELL_BOLD | CELL_ITALIC},
    {"\033[1;58;5;0;3mx", 0, 0, CELL_BOLD | CELL_ITALIC},
    {"\033[1;59mx", 0, 0, CELL_BOLD},
    {"\033[38;5;256mx", 0, 0, 0},
    {"\033[38;2;1;2;256mx", 0, 0, 0},
    {"\033[38mx", 0, 0, 0},
    {"\033[38;2;1mx", 0, 0, 0},
    {"\033[38;7;1mx", 0, 0, CELL_BOLD},
    {"\033[>4;1mx", 0, 0, 0},
};

static void pen(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pens); i++) {
        struct seen seen;
        struct term *term = make(2, 10, 0, &seen);
        feed(term, pens[i].input);
        int length;
        bool wrapped;
        const struct cell *cell = term_line(term, 0, &length, &wrapped);
        if (cell->fg != pens[i].fg || cell->bg != pens[i].bg || cell->attrs != pens[i].attrs)
            fail_msg("%s: %x %x %x", pens[i].input + 1, cell->fg, cell->bg, cell->attrs);
        term_free(term);
        buf_free(&seen.output);
    }
}

#define ESCAPE_DA "\033[?62;22c"

static const struct {
    const char *input, *replies;
} queries[] = {
    {"\033[c", ESCAPE_DA},
    {"\033[0c\033Z", ESCAPE_DA ESCAPE_DA},
    {"\033[1c", ""},
    {"\033[>c", "\033[>1;10;0c"},
    {"\033[=c", ""},
    {"\033[5n", "\033[0n"},
    {"\033[3;4H\033[6n", "\033[3;4R"},
    {"\033[3;4H\033[?6n", "\033[?3;4R"},
    {"\033[2;4r\033[?6h\033[2;4H\033[6n", "\033[2;4R"},
    {"0123456789\033[6n", "\033[1;10R"},
    {"\033[>q\033[>0q", "\033P>|vmdeck\033\\\033P>|vmdeck\033\\"},
    {"\033[?2026$p\033[?2026h\033[?2026$p", "\033[?2026;2$y\033[?2026;1$y"},
    {"\033[?7$p\033[?25$p\033[?6$p\033[4$p", "\033[?7;1$y\033[?25;1$y\033[?6;2$y\033[4;2$y"},
    {"\033[?69$p\033[?2031$p\033[99$p", "\033[?69;0$y\033[?2031;0$y\033[99;0$y"},
    {"\033[?1006;1000h\033[?1000$p\033[?1006$p\033[?1002$p",
     "\033[?1000;1$y\033[?1006;1$y\033[?1002;2$y"},
    {"\033[?u", ""},
    {"\033[18t\033[14t\033[21t\033[20t", "\033[8;5;10t"},
    {"\033[1;31;4m\033P$qm\033\\", "\033P1$r0;1;4;31m\033\\"},
    {"\033[2;4r\033P$qr\033\\", "\033P1$r2;4r\033\\"},
    {"\033[5 q\033P$q q\033\\", "\033P1$r5 q\033\\"},
    {"\033P$qx\033\\", "\033P0$r\033\\"},
    {"\033P+q544e\033\\", "\033P0+r\033\\"},
    {"\033]52;c;?\007\033]10;?\007\033]4;1;?\007", ""},
    {"\005", ""},
};

static void replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        struct seen seen;
        struct term *term = make(5, 10, 0, &seen);
        feed(term, queries[i].input);
        struct buf *out = term_replies(term);
        const char *got = buf_len(out) > 0 ? buf_string(out) : "";
        if (strcmp(got, queries[i].replies) != 0)
            fail_msg("%s: %s", queries[i].input + 1, got + 1);
        assert_int_equal(seen.replies, buf_len(out) > 0);
        /* nothing that a viewer's terminal would answer goes on */
        struct seen seen_viewer;
        struct term *viewer = make(5, 10, 0, &seen_viewer);
        if (buf_len(&seen.output) > 0)
            term_write(viewer, buf_data(&seen.output), buf_len(&seen.output));
        assert_int_equal(buf_len(term_replies(viewer)), 0);
        term_free(viewer);
        term_free(term);
        buf_free(&seen.output);
        buf_free(&seen_viewer.output);
    }
}

static const struct {
    const char *input;
    uint32_t bits;
    int mouse, code;
} modes[] = {
    {"", TERM_WRAP | TERM_CURSOR, 0, 0},
    {"\033[?25l\033[?7l", 0, 0, 0},
    {"\033[?1;1004;2004h\033=",
     TERM_WRAP | TERM_CURSOR | TERM_APP_CURSOR | TERM_FOCUS | TERM_PASTE | TERM_APP_KEYPAD, 0, 0},
    {"\033[?1006;1000h", TERM_WRAP | TERM_CURSOR, 1000, 1006},
    {"\033[?1002h\033[?1003h", TERM_WRAP | TERM_CURSOR, 1003, 0},
    {"\033[?1002;1003;1006h\033[?1003l", TERM_WRAP | TERM_CURSOR, 0, 1006},
    {"\033[?1006h\033[?1015l", TERM_WRAP | TERM_CURSOR, 0, 1006},
    {"\033[?1006h\033[?1006l\033[?9h", TERM_WRAP | TERM_CURSOR, 9, 0},
    {"\033[?1049;2026;5h", TERM_WRAP | TERM_CURSOR | TERM_ALTERNATE | TERM_SYNC | TERM_REVERSE, 0,
     0},
    {"\033[?1;5;1003;1006;2004;1049;25lh\033[?1;1003;1049h\033c", TERM_WRAP | TERM_CURSOR, 0, 0},
    {"\033[?1;66;2004h\033[4h\033[?25l\033[!p", TERM_WRAP | TERM_CURSOR | TERM_PASTE, 0, 0},
    {"\033[?2031;9001;65535h", TERM_WRAP | TERM_CURSOR, 0, 0},
    {"\033[?1:2004h", TERM_WRAP | TERM_CURSOR | TERM_APP_CURSOR | TERM_PASTE, 0, 0},
};

static void mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct seen seen;
        struct term *term = make(5, 10, 0, &seen);
        feed(term, modes[i].input);
        struct term_modes is = term_modes(term);
        if (is.bits != modes[i].bits || (int)is.mouse != modes[i].mouse ||
            (int)is.mouse_code != modes[i].code)
            fail_msg("%s: %x %d %d", modes[i].input, is.bits, is.mouse, is.mouse_code);
        term_free(term);
        buf_free(&seen.output);
    }
}

/* Saved after every byte, and loaded: what comes then does the same to both. */
static void expect_resumable(const char *input, const char *rest)
{
    CLEAN_BUF struct buf bytes = {0};
    assert_int_equal(buf_printf(&bytes, "%s%s", input, rest), 0);
    for (size_t at = 0; at <= buf_len(&bytes); at++) {
        struct seen seen, seen_loaded = {0};
        struct term *term = make(5, 10, 100, &seen);
        term_write(term, buf_data(&bytes), at);
        struct term *loaded = resume(term, &events, &seen_loaded);
        assert_non_null(loaded);
        bool same = resume_same(term, loaded);
        buf_consume(&seen.output, buf_len(&seen.output));
        term_write(term, buf_data(&bytes) + at, buf_len(&bytes) - at);
        term_write(loaded, buf_data(&bytes) + at, buf_len(&bytes) - at);
        if (!same || !resume_same(term, loaded) || !resume_equal(&seen.output, &seen_loaded.output))
            fail_msg("%s, at %zu", bytes.memory + 1, at);
        term_free(term);
        term_free(loaded);
        buf_free(&seen.output);
        buf_free(&seen_loaded.output);
    }
}

/* Makes visible what a terminal holds back: cursor, tabs, margins, saved cursors, other screen. */
#define RESUME_SHOW \
    "ab\tc\n\0338d\033[?1049le\0338f\033[?47hg\0338h\033[6n\033P$qr\033\\\nqx#\033[?6$p"

static void resumed(void **state)
{
    static const char *const more[] = {
        "\033[?1049hx\033[3;3H\0337\033[2;4r\033[?6h",
        "\0337\033[?47h\033[31m\033(0\0337\033[?47l\033)A\016\033*0\033N",
        "\033[3g\033[4G\033H\033[10G\033H\033[1G",
        "\033]8;id=1;http://a/\007a\033]8;;http://b/\007e\314\201\0337\033]8;;\007",
        "\033]2;t\007\033]7;file://h/tmp\007\033[5 q\033[?2026ha\r\nb",
        "\033[45m\033[2J\033[1;1Ha\033[41m\033[5X\033[38;2;1;2;3;48;2;0;0;0mx\346\227\245",
        "0123456789\346\227\245x\r\n\r\n\r\n\r\n012345678\346\227\245\0337",
        "\033[;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;2$p\033[?12;;:$p\033[ !p\033[1 2q\033( !Bx",
        "\346\033[1m\227\245",
        "\033Pq\007a\007\033\\\033_b\007\030\033]52;c;YWI=\033[A\033]52;c;YWI=\033\\",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(screens); i++)
        expect_resumable(screens[i].input, RESUME_SHOW);
    for (size_t i = 0; i < ARRAY_SIZE(pens); i++)
        expect_resumable(pens[i].input, RESUME_SHOW);
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
        expect_resumable(queries[i].input, RESUME_SHOW);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        expect_resumable(modes[i].input, RESUME_SHOW);
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        expect_resumable(more[i], RESUME_SHOW);
}

static void strings(void **state)
{
    struct seen seen;
    (void)state;
    struct term *term = make(5, 10, 0, &seen);
    feed(term, "\033]2;one\007\033]0;tw");
    feed(term, "o\033");
    feed(term, "\\x");
    assert_string_equal(seen.title, "two");
    feed(term, "\033]1;icon\007\033]2;a\001b\033]2;c\303\251\302\205\377d\t\033\\");
    assert_string_equal(term_title(term), "c\303\251d");
    feed(term, "\033]7;file://host/home/a%20b%0a%zz\007");
    assert_string_equal(seen.cwd, "/home/a b%zz");
    assert_string_equal(term_cwd(term), "/home/a b%zz");
    feed(term, "\033]7;http://host/other\007\033]7;file:///root\033\\");
    assert_string_equal(seen.cwd, "/root");
    feed(term, "\007\007");
    assert_int_equal(seen.bells, 1);
    static const struct {
        const char *input, *got;
    } clips[] = {
        {"\033]52;c;aGVsbG8=\007", "aGVsbG8="},
        {"\033]52;;aGVsbG8h\033\\", "aGVsbG8h"},
        {"\033]52;c;?\007", "-"},
        {"\033]52;c;a=b=\007", "-"},
        {"\033]52;c;aGVsbG8\007", "-"},
        {"\033]52;c;aGVs\tG8=\007", "-"},
        {"\033]52;c;\007", ""},
        {"\033]52;c;aGV;bG8=\007", "-"},
        {"\033]52;c;====\007", "-"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(clips); i++) {
        strcpy(seen.clipboard, "-");
        feed(term, clips[i].input);
        assert_string_equal(seen.clipboard, clips[i].got);
    }
    term_free(term);
    buf_free(&seen.output);
}

static void expect_link(const struct term *term, int col, const char *uri, const char *id)
{
    int length;
    bool wrapped;
    const char *got_id;
    const struct cell *cells = term_line(term, 0, &length, &wrapped);
    const char *got = term_link(term, cells[col].link, &got_id);
    if (uri == NULL) {
        assert_null(got);
        return;
    }
    assert_string_equal(got, uri);
    assert_string_equal(got_id, id);
}

static void links(void **state)
{
    struct seen seen;
    (void)state;
    struct term *term = make(5, 10, 0, &seen);
    feed(term, "\033]8;;http://a/;x\033\\a\033[0mb\033]8;;\007c\033]8;foo=1:id=7;http://b/\007d");
    expect_link(term, 0, "http://a/;x", "");
    expect_link(term, 1, "http://a/;x", "");
    expect_link(term, 2, NULL, NULL);
    expect_link(term, 3, "http://b/", "7");
    feed(term, "\033]8;;\007\r\033]8;id=:x;http://c/\007e\033]8;;b\001ad\377\007f");
    expect_link(term, 0, "http://c/", "");
    expect_link(term, 1, "http://c/", "");
    term_free(term);
    buf_free(&seen.output);
}

/* Strings of the maximum, and one byte more: whole or not at all, split or not. */
static void limits(void **state)
{
    static const struct {
        const char *start;
        size_t max;
    } rows[] = {{"2;", 4096}, {"52;c;", 1 << 20}};
    struct seen seen;
    (void)state;
    struct term *term = make(5, 10, 0, &seen);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t more = 0; more < 2; more++)
            for (size_t step = 1 << 21; step > 100; step /= 64) {
                struct buf text = {0};
                size_t head = strlen(rows[i].start);
                size_t body = rows[i].max - head;
                body += more;
                buf_printf(&text, "\033]%s", rows[i].start);
                uint8_t *room = buf_reserve(&text, body);
                assert_non_null(room);
                memset(room, 'A', body);
                buf_added(&text, body);
                buf_append(&text, "\007", 1);
                seen.titles = 0;
                seen.clipboard_size = 0;
                for (size_t at = 0; at < buf_len(&text); at += step)
                    term_write(term, buf_data(&text) + at,
                               buf_len(&text) - at < step ? buf_len(&text) - at : step);
                if (i == 0) {
                    assert_int_equal(seen.titles, more == 0);
                    assert_in_range(strlen(term_title(term)), 0, TERM_TITLE_MAX);
                } else { /* base64 comes in fours */
                    assert_int_equal(seen.clipboard_size, more == 0 && body % 4 == 0 ? body : 0);
                }
                buf_free(&text);
            }
    /* one that was too long before it was saved still is */
    CLEAN_BUF struct buf text = {0};
    assert_int_equal(buf_printf(&text, "\033]2;%*s", 2 * ESCAPE_STRING_MAX, ""), 0);
    term_write(term, buf_data(&text), buf_len(&text));
    struct seen seen_loaded = {0};
    struct term *loaded = resume(term, &events, &seen_loaded);
    assert_non_null(loaded);
    seen.titles = 0;
    feed(term, "x\007y");
    feed(loaded, "x\007y");
    assert_int_equal(seen.titles, 0);
    assert_true(resume_same(term, loaded));
    term_free(loaded);
    buf_free(&seen_loaded.output);
    for (int i = 0; i < 10000; i++)
        feed(term, "\033[c");
    assert_in_range(buf_len(term_replies(term)), 1, TERM_REPLY_MAX);
    term_free(term);
    buf_free(&seen.output);
}

/* More clusters and links than fit: what is on the screen stays right, what is gone is reclaimed.
 */
static void tables(void **state)
{
    struct seen seen;
    (void)state;
    struct term *term = make(3, 20, 10, &seen);
    for (int i = 0; i < 3 * TERM_CLUSTERS; i++) {
        char text[64];
        snprintf(text, sizeof text, "\033]8;id=%d;http://x/%d\007%c\314%c\315%c\033]8;;\007\r\n", i,
                 i, 'a' + i % 26, 0x80 + i / 26 % 64, 0x80 + i / 26 / 64 % 47);
        feed(term, text);
        buf_consume(&seen.output, buf_len(&seen.output));
        if (i % 5000 == 0) {
            struct term *loaded = resume(term, &events, &seen);
            assert_non_null(loaded);
            term_free(term);
            term = loaded;
        }
    }
    int length;
    bool wrapped;
    uint32_t points[CELL_POINTS];
    for (int row = -10; row < 2; row++) {
        int i = 3 * TERM_CLUSTERS - 2 + row;
        const char *id;
        char expected[32];
        const struct cell *cell = term_line(term, row, &length, &wrapped);
        assert_int_equal(term_glyph(term, cell, points), 3);
        assert_int_equal(points[0], 'a' + i % 26);
        assert_int_equal(points[1], 0x300 + i / 26 % 64);
        snprintf(expected, sizeof expected, "http://x/%d", i);
        assert_string_equal(term_link(term, cell->link, &id), expected);
    }
    assert_in_range(term_memory(term), 1, 2 << 20);
    term_free(term);
    buf_free(&seen.output);
}

static void history(void **state)
{
    struct seen seen;
    (void)state;
    struct term *term = make(2, 10, 3, &seen);
    feed(term, "a\r\nb  \r\nc\r\nd\r\ne\r\nf");
    expect_rows(term, true, "b\nc\nd\n--\ne\nf", "lines");
    assert_int_equal(term_evicted(term), 1);
    int length;
    bool wrapped;
    term_line(term, -3, &length, &wrapped);
    assert_int_equal(length, 1);
    assert_null(term_line(term, -4, &length, &wrapped));
    assert_null(term_line(term, 2, &length, &wrapped));
    feed(term, "\033[2J\033[3J");
    assert_int_equal(term_history(term), 0);
    feed(term, "\033[?1049h1\r\n2\r\n3\r\n4\033[?1049l");
    assert_int_equal(term_history(term), 0);
    feed(term, "\033[1;1Hx\r\ny\033[1;1H\033[M"); /* deleted is not scrolled off */
    assert_int_equal(term_history(term), 0);
    feed(term, "\033[S");
    assert_int_equal(term_history(term), 1);
    term_free(term);
    buf_free(&seen.output);
}

static void frames(void **state)
{
    struct seen seen;
    (void)state;
    struct term *term = make(5, 10, 0, &seen);
    feed(term, "a\r\n\nb");
    assert_int_equal(seen.damages, 1);
    assert_int_equal(seen.first, 0);
    assert_int_equal(seen.last, 3);
    feed(term, "\033[?2026h\033[5;1Hx");
    assert_true(term_frame_held(term));
    assert_int_equal(seen.damages, 1);
    feed(term, "\033[?2026l");
    assert_false(term_frame_held(term));
    assert_int_equal(seen.damages, 2);
    assert_int_equal(seen.last, 5);
    feed(term, "\033[?2026hx");
    term_release_frame(term);
    assert_int_equal(seen.damages, 3);
    feed(term, "\033[?2026h");
    char *lots = calloc(1, TERM_FRAME_MAX / 4 + 1);
    assert_non_null(lots);
    memset(lots, 'x', TERM_FRAME_MAX / 4);
    for (int i = 0; i < 5; i++)
        feed(term, lots);
    free(lots);
    assert_false(term_frame_held(term));
    term_free(term);
    buf_free(&seen.output);
}

/* What viewers get: whole pieces, nothing unknown. */
static void output(void **state)
{
    static const struct {
        const char *input, *output;
    } rows[] = {
        {"a\r\n\033[1;31mb\033[", "a\r\n\033[1;31mb"},
        {"\346\227", ""},
        {"\346\227\245\377", "\346\227\245\357\277\275"},
        {"\033[?1000;9001;1006h", "\033[?1000h\033[?1006h"},
        {"\033[c\033[6n\033[>1u\033[>4;2m\033[5i\033[21t\033[?5n\033#6\033]52;c;aGk=\007", ""},
        {"\033Pq~\033\\\033_x\033\\\033]4;1;?\007\033]50;x\007\033[1*y", ""},
        {"\033]2;a\001b\007", "\033]2;ab\033\\"},
        {"\033[38:2::1:2:3m\033[;Hx\033[0 q", "\033[38:2::1:2:3m\033[;Hx\033[0 q"},
        {"\033(1\033)0\0337\0338\033M", "\033(B\033)0\0337\0338\033M"},
        {"\033[1\bC", "\b\033[1C"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct seen seen;
        struct term *term = make(5, 10, 0, &seen);
        feed(term, rows[i].input);
        assert_string_equal(buf_len(&seen.output) > 0 ? buf_string(&seen.output) : "",
                            rows[i].output);
        term_free(term);
        buf_free(&seen.output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(screen), cmocka_unit_test(pen),     cmocka_unit_test(replies),
        cmocka_unit_test(mode),   cmocka_unit_test(strings), cmocka_unit_test(links),
        cmocka_unit_test(limits), cmocka_unit_test(tables),  cmocka_unit_test(history),
        cmocka_unit_test(frames), cmocka_unit_test(output),  cmocka_unit_test(resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
