/* Where this program is. */
#ifndef NIXFLEET_SELF_H
#define NIXFLEET_SELF_H

/* The directory of the running binary. The caller frees it. NULL if the system does not tell. */
char *self_directory(void);

#endif
