/* The option table does the work: a setting is an option that is always given, first. */
#include "session/cli/settings.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "session/cli/vmoptions.h"
#include "session/cli/vmoptions_net.h"

static int set_spares(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    return str_number(value, "spares", 0, CONFIG_SPARES_MAX, &config->spares, err);
}

/* Settings that are no options. */
static const struct option others[] = {
    {"spares", 0, "N", set_spares, "VMs of each kind in use that wait for the next session (0)"},
    {0},
};

static bool is_dashboards(const char *name)
{
    return strcmp(name, "theme") == 0 || str_starts(name, "key.") || str_starts(name, "dashboard.");
}

static const struct option *find(const struct option *options, const char *name)
{
    for (; options->name != NULL; options++)
        if (strcmp(options->name, name) == 0)
            return options;
    return NULL;
}

static int apply_line(struct session_config *config, const char *name, const char *value,
                      struct error *err)
{
    const struct option *option = find(vm_options.options, name);
    if (option == NULL)
        option = find(network_options.options, name);
    if (option == NULL)
        option = find(others, name);
    if (option == NULL && is_dashboards(name))
        return 0;
    if (option == NULL || strcmp(name, "name") == 0 || strcmp(name, "resume") == 0)
        return error_set(err, EINVAL, "there is no setting '%.40s'", name);
    bool optional = option->value != NULL && option->value[0] == '[';
    if (option->value != NULL && (!optional || isdigit((unsigned char)value[0])))
        return option->set(config, value, err);
    if (strcmp(value, "on") == 0)
        return option->set(config, NULL, err);
    return strcmp(value, "off") == 0
               ? 0
               : error_set(err, EINVAL, "%s '%.40s': not on or off", name, value);
}

/* Cuts the line into its two words; false where there is nothing in it. */
static bool split_line(char *line, char **name, char **value)
{
    char *end = line + strlen(line);
    line += strspn(line, " \t\r");
    while (end > line && isspace((unsigned char)end[-1]))
        *--end = '\0';
    if (*line == '\0' || *line == '#')
        return false;
    *name = line;
    line += strcspn(line, " \t=");
    char *rest = line + strspn(line, " \t");
    if (*rest == '=')
        rest += 1 + strspn(rest + 1, " \t");
    *line = '\0';
    *value = rest;
    return true;
}

int settings_apply(struct session_config *config, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf text = {0};
    int rc = path_xdg(PATH_CONFIG, "config", &path, err);
    if (rc < 0)
        return rc;
    rc = path_read(path, SETTINGS_SIZE_MAX, &text, err);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    if (memchr(buf_data(&text), '\0', buf_len(&text)) != NULL || buf_string(&text) == NULL)
        return error_set(err, EINVAL, "%s: not a text file", path);
    char *next = (char *)buf_data(&text), *line, *name, *value;
    for (unsigned number = 1; (line = strsep(&next, "\n")) != NULL; number++) {
        if (!split_line(line, &name, &value))
            continue;
        rc = apply_line(config, name, value, err);
        if (rc < 0)
            return error_wrap(err, "%s:%u", path, number);
    }
    return 0;
}
