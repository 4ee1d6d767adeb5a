/* The files of themes/ are in the program (themes.S): a theme is there wherever vmdeck runs. */
#include "tui/theme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"

#define SUFFIX ".theme"

static const char *const role_names[THEME_ROLES] = {
    [ROLE_TEXT] = "text",
    [ROLE_DIM] = "text.dim",
    [ROLE_TITLE] = "title",
    [ROLE_BORDER] = "border",
    [ROLE_BORDER_ACTIVE] = "border.active",
    [ROLE_SELECTED] = "selected",
    [ROLE_MARKED] = "marked",
    [ROLE_KEY] = "key",
    [ROLE_STATUS] = "status",
    [ROLE_ERROR] = "status.error",
    [ROLE_INPUT] = "input",
    [ROLE_MATCH] = "match",
    [ROLE_GRAPH] = "graph",
    [ROLE_RUNNING] = "state.running",
    [ROLE_WAITING] = "state.waiting",
    [ROLE_PAUSED] = "state.paused",
    [ROLE_STARTING] = "state.starting",
    [ROLE_ENDED] = "state.ended",
    [ROLE_FAILED] = "state.failed",
    [ROLE_ALLOW] = "verdict.allow",
    [ROLE_DENY] = "verdict.deny",
    [ROLE_ASK] = "verdict.ask",
};

extern const char theme_dark[], theme_light[], theme_contrast[], theme_colorblind[], theme_16[],
    theme_mono[]; /* themes.S, each with a NUL behind it */

static const struct {
    const char *name, *text;
} builtin[] = {
    {"dark", theme_dark},
    {"light", theme_light},
    {"high-contrast", theme_contrast},
    {"colour-blind", theme_colorblind},
    {"16-colour", theme_16},
    {"mono", theme_mono},
};

const char *theme_role_name(enum theme_role role)
{
    return role_names[role];
}

static bool parse_color(const char *word, uint32_t *color)
{
    static const char *const names[] = {"black", "red",     "green", "yellow",
                                        "blue",  "magenta", "cyan",  "white"};
    uint64_t number;
    char *end;
    if (strcmp(word, "default") == 0) {
        *color = COLOR_DEFAULT;
        return true;
    }
    if (word[0] == '#' && strlen(word) == 7) {
        *color = COLOR_RGB | (uint32_t)strtoul(word + 1, &end, 16);
        return *end == '\0' && strspn(word + 1, "0123456789abcdefABCDEF") == 6;
    }
    if (str_number(word, "colour", 0, 255, &number, NULL) == 0) {
        *color = COLOR_INDEXED | (uint32_t)number;
        return true;
    }
    bool bright = str_starts(word, "bright-");
    for (uint32_t i = 0; i < 8; i++)
        if (strcmp(word + (bright ? 7 : 0), names[i]) == 0) {
            *color = COLOR_INDEXED | (i + (bright ? 8 : 0));
            return true;
        }
    return false;
}

static bool parse_attribute(const char *word, uint16_t *attrs)
{
    static const struct {
        const char *name;
        uint16_t bit;
    } table[] = {{"bold", CELL_BOLD},
                 {"dim", CELL_DIM},
                 {"italic", CELL_ITALIC},
                 {"underline", 1u << CELL_UNDERLINE_SHIFT},
                 {"reverse", CELL_REVERSE}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(word, table[i].name) == 0) {
            *attrs |= table[i].bit;
            return true;
        }
    return false;
}

/* "FG [on BG] [attributes]"; the first word may be an attribute. */
static const char *parse_style(char *value, struct style *style)
{
    char *save = NULL;
    bool first = true, background = false;
    *style = (struct style){0};
    for (char *word = strtok_r(value, " \t", &save); word != NULL;
         word = strtok_r(NULL, " \t", &save)) {
        if (background) {
            background = false;
            if (!parse_color(word, &style->bg))
                return word;
        } else if (strcmp(word, "on") == 0) {
            background = true;
        } else if (!parse_attribute(word, &style->attrs) &&
                   !(first && parse_color(word, &style->fg))) {
            return word;
        }
        first = false;
    }
    return background ? "on" : NULL;
}

static int parse_line(char *line, struct theme *theme, bool set[THEME_ROLES], struct error *err)
{
    char *comment = line + strspn(line, " \t");
    if (*comment == '#' || *comment == '\0')
        return 0;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return error_set(err, EINVAL, "'%.40s': neither KEY = STYLE nor a comment", line);
    *equals = '\0';
    char *key = line + strspn(line, " \t");
    key[strcspn(key, " \t")] = '\0';
    for (int i = 0; i < THEME_ROLES; i++) {
        if (strcmp(key, role_names[i]) != 0)
            continue;
        const char *wrong = parse_style(equals + 1, &theme->roles[i]);
        if (wrong != NULL)
            return error_set(err, EINVAL, "%s: '%.30s' is neither a colour nor an attribute", key,
                             wrong);
        set[i] = true;
        return 0;
    }
    return error_set(err, EINVAL, "'%.40s': there is no such key", key);
}

int theme_parse(const char *name, const char *text, struct theme *theme, struct error *err)
{
    struct theme parsed = {0};
    bool set[THEME_ROLES] = {false};
    CLEAN_FREE char *copy = strdup(text);
    if (copy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int number = 1;
    for (char *line = copy; line != NULL; number++) {
        char *next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        if (parse_line(line, &parsed, set, err) < 0)
            return error_wrap(err, "theme %.40s, line %d", name, number);
        line = next;
    }
    for (int i = 0; i < THEME_ROLES; i++)
        if (!set[i])
            parsed.roles[i] = parsed.roles[ROLE_TEXT];
    size_t length = strnlen(name, THEME_NAME_MAX);
    memcpy(parsed.name, name, length);
    *theme = parsed;
    return 0;
}

int theme_names(struct strv *out)
{
    CLEAN_FREE char *directory = NULL;
    int rc = 0;
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0] && rc == 0; i++)
        rc = strv_add(out, builtin[i].name);
    if (rc < 0 || path_xdg(PATH_CONFIG, "themes", &directory, NULL) < 0)
        return rc;
    CLEAN_DIR DIR *dir = opendir(directory);
    const struct dirent *entry;
    while (dir != NULL && rc == 0 && (entry = readdir(dir)) != NULL) {
        const char *end = strrchr(entry->d_name, '.');
        if (end != NULL && end > entry->d_name && strcmp(end, SUFFIX) == 0)
            rc = strv_addf(out, "%.*s", (int)(end - entry->d_name), entry->d_name);
    }
    return rc;
}

static int theme_unknown(const char *name, struct error *err)
{
    CLEAN_STRV struct strv all = {0};
    CLEAN_BUF struct buf list = {0};
    theme_names(&all);
    for (size_t i = 0; i < all.count; i++)
        buf_printf(&list, "%s%.40s", i > 0 ? ", " : "", all.items[i]);
    const char *text = buf_string(&list);
    return error_set(err, ENOENT, "there is no theme '%.40s' (there are: %s)", name,
                     text != NULL ? text : "");
}

int theme_load(const char *name, struct theme *theme, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_FREE char *file = str_printf("themes/%s" SUFFIX, name);
    CLEAN_BUF struct buf text = {0};
    if (strchr(name, '/') != NULL || strlen(name) > THEME_NAME_MAX)
        return theme_unknown(name, err);
    if (file != NULL && path_xdg(PATH_CONFIG, file, &path, NULL) == 0) {
        int rc = path_read(path, THEME_FILE_MAX, &text, err);
        if (rc == 0)
            return theme_parse(name, buf_string(&text) != NULL ? buf_string(&text) : "", theme,
                               err);
        if (rc != -ENOENT)
            return rc;
    }
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++)
        if (strcmp(builtin[i].name, name) == 0)
            return theme_parse(name, builtin[i].text, theme, err);
    return theme_unknown(name, err);
}
