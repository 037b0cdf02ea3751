/* Reads JSON text as RFC 8259 defines it.

   json-c keeps the values, but its own reader is not used: what that reader takes differs between
   its versions (0.18 in strict mode refuses every string that is not ASCII; all of them take NaN,
   "-.5" and "1." in some mode, and keep one of two members of the same name). This reader takes
   the same texts with every json-c from 0.15 on. */
#ifndef NIXFLEET_JSON_READ_H
#define NIXFLEET_JSON_READ_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH_MAX 32 /* arrays and objects that can be open at once, whatever is asked */
#define JSON_OBJECTS_MAX \
    4096 /* an object takes about 800 bytes, though two bytes of text make it */

struct json_problem {
    const char *reason; /* constant text, for a person: "a number has a leading zero" */
    size_t at;          /* index of the byte where it was seen */
    bool no_memory;     /* nothing is wrong with the text: it can be read when there is memory */
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
