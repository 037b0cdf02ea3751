/* The form of ID.run that its writer (runlog.c) and its reader (runrecord.c) share. Public
 * functions: runlog.h. */
#ifndef NIXFLEET_RUNRECORD_H
#define NIXFLEET_RUNRECORD_H

#define RUN_END_WIDTH 100 /* "signal 9 MS BYTES BYTES" and room */
#define RUN_ACK_WIDTH 40
#define RUN_END_AT 4                                    /* after "end=" */
#define RUN_ACK_AT (RUN_END_AT + RUN_END_WIDTH + 1 + 4) /* after the LF and "ack=" */
#define RUN_RECORD_LIMIT ((size_t)8 << 20) /* bytes of a description: argv may be long */

#endif
