/* Runs a fuzz target over the files of a corpus folder: what libFuzzer's -runs=0 does. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *directory, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    size_t capacity = 1 << 22;
    uint8_t *data = malloc(capacity);
    size_t size = data != NULL ? fread(data, 1, capacity, file) : 0;
    fclose(file);
    /* an exact copy, so that a read beyond the end is seen */
    uint8_t *exact = malloc(size != 0 ? size : 1);
    if (data != NULL && exact != NULL) {
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int ran = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && replay_file(argv[1], entry->d_name) == 0)
            ran++;
    closedir(dir);
    printf("%d inputs\n", ran);
    return ran > 0 ? 0 : 1;
}
