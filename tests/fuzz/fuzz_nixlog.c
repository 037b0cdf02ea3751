/* Any bytes, in one piece and in two: the resulting text is the same. */
#include <stdlib.h>
#include <string.h>

#include "../../parse/nixlog.h"

struct output {
    char *bytes;
    size_t size;
};

static void on_text(void *context, const void *bytes, size_t size)
{
    struct output *output = context;
    char *larger = realloc(output->bytes, output->size + size + 1);
    if (larger == NULL)
        abort();
    output->bytes = larger;
    memcpy(larger + output->size, bytes, size);
    output->size += size;
}

static void on_count(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                     int64_t expected, int64_t running, int64_t failed)
{
    (void)context, (void)process, (void)what;
    if (done < 0 || expected < 0 || running < 0 || failed < 0)
        abort();
}

static void on_download(void *context, int64_t done, int64_t expected)
{
    (void)context, (void)expected;
    if (done < 0)
        abort();
}

static struct output filter(const unsigned char *data, size_t size, size_t cut)
{
    struct output output = {NULL, 0};
    struct nixlog *nixlog = nixlog_new(
        NIXLOG_LINES,
        &(struct nixlog_sink){
            .context = &output, .text = on_text, .count = on_count, .download = on_download});
    if (nixlog == NULL)
        return output;
    nixlog_feed(nixlog, data, cut);
    nixlog_feed(nixlog, data + cut, size - cut);
    nixlog_finish(nixlog);
    nixlog_free(nixlog);
    return output;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct output whole = filter(data, size, size);
    struct output cut = filter(data, size, size / 2);
    if (whole.size != cut.size ||
        (whole.size > 0 && memcmp(whole.bytes, cut.bytes, whole.size) != 0))
        abort();
    free(whole.bytes);
    free(cut.bytes);
    return 0;
}
