/* Reads JSON text as RFC 8259 defines it.

   json-c keeps the values, but its own reader is not used, because versions of json-c accept
   different texts: 0.18 in strict mode refuses every string that is not ASCII; all versions accept
   NaN, "-.5" and "1." in some mode, and keep only one of two members with the same name. This
   reader accepts the same texts with every json-c from 0.15 on. */
#ifndef NIXFLEET_JSON_READ_H
#define NIXFLEET_JSON_READ_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH_MAX 32 /* the limit of open arrays and objects, whatever depth is asked for */
/* memory: an object takes about 800 bytes, but only two bytes of text */
#define JSON_OBJECTS_MAX 4096

struct json_problem {
    const char *reason; /* constant text for a person, such as "a number has a leading zero" */
    size_t at;          /* index of the wrong byte */
    bool no_memory;     /* out of memory: the text is not wrong */
};

/* Reads one value from all size bytes of text; at most depth arrays and objects may be open at
   once. Returns 0 with the value in *out (NULL for null; the caller puts it with json_object_put),
   or -1 with *problem.

   What RFC 8259 leaves open:
   - a name that occurs twice in an object is refused, and so is a name with a NUL in it, since
     json-c would cut the name there;
   - an integer must fit in 64 bits (-2^63 to 2^64-1), any other number must be finite as a double;
     json-c writes such a number back as it was read;
   - the escape of half a surrogate pair stands for U+FFFD: an agent in Python writes those for
     bytes that are not UTF-8, and its lines shall not be lost for that;
   - a byte order mark is refused. */
int json_read(const char *text, size_t size, int depth, json_object **out,
              struct json_problem *problem);

#endif
