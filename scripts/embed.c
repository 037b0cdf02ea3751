/* Writes a C file that contains the files on the command line. So the page is part of the
   dashboard's binary: only one file is installed, and the page and the server always have the
   same version.

     embed DIRECTORY FILE... >assets.c

   Each FILE is below DIRECTORY; its path in the URL is the part after DIRECTORY. The program
   runs on the machine that builds, so it uses only the C library. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *suffix, *content_type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
};

struct file {
    const char *path; /* in the URL, beginning with '/' */
    size_t size;
    uint64_t hash;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static const char *content_type(const char *path)
{
    size_t length = strlen(path);

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t suffix = strlen(types[i].suffix);
        if (length > suffix && strcmp(path + length - suffix, types[i].suffix) == 0)
            return types[i].content_type;
    }
    return "application/octet-stream";
}

/* Writes the bytes as one array, and computes their FNV-1a hash, which is enough to tell two
 * versions of a file apart. */
static void write_bytes(const char *name, size_t index, struct file *file)
{
    FILE *in = fopen(name, "rb");
    int c;

    if (in == NULL)
        die(name);
    file->size = 0;
    file->hash = 0xcbf29ce484222325u;
    printf("static const unsigned char bytes_%zu[] = {", index);
    while ((c = getc(in)) != EOF) {
        file->hash = (file->hash ^ (uint64_t)c) * 0x100000001b3u;
        printf("%s%d,", file->size % 32 == 0 ? "\n" : "", c);
        file->size++;
    }
    if (ferror(in))
        die(name);
    fclose(in);
    printf("%s};\n", file->size == 0 ? "0" : "\n");
}

static void write_entry(const char *path, size_t index, const struct file *file)
{
    printf("    { \"%s\", \"%s\", \"\\\"%016llx\\\"\", bytes_%zu, %zu },\n", path,
           content_type(file->path), (unsigned long long)file->hash, index, file->size);
}

static void write_find(void)
{
    printf("const struct asset *asset_find(const char *path)\n{\n"
           "    for (size_t i = 0; assets[i].path != NULL; i++)\n"
           "        if (strcmp(assets[i].path, path) == 0)\n"
           "            return &assets[i];\n"
           "    return NULL;\n}\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: embed DIRECTORY FILE...\n");
        return 1;
    }
    size_t count = (size_t)argc - 2, prefix = strlen(argv[1]);
    struct file *files = calloc(count + 1, sizeof *files);
    if (files == NULL)
        die("embed");

    printf("/* Made by scripts/embed.c from %s. */\n#include <string.h>\n#include "
           "\"dashboard/server/assets.h\"\n",
           argv[1]);
    for (size_t i = 0; i < count; i++) {
        const char *name = argv[i + 2];
        if (strncmp(name, argv[1], prefix) != 0 || name[prefix] != '/') {
            fprintf(stderr, "embed: %s is not below %s\n", name, argv[1]);
            exit(1);
        }
        files[i].path = name + prefix;
        write_bytes(name, i, &files[i]);
    }
    printf("static const struct asset assets[] = {\n");
    for (size_t i = 0; i < count; i++) {
        if (strcmp(files[i].path, "/index.html") == 0)
            write_entry("/", i, &files[i]);
        write_entry(files[i].path, i, &files[i]);
    }
    printf("    { NULL, NULL, NULL, NULL, 0 },\n};\n");
    write_find();
    free(files);
    if (fflush(stdout) != 0 || ferror(stdout))
        die("embed");
    return 0;
}
