/* Where this program lies. */
#ifndef NIXFLEET_SELF_H
#define NIXFLEET_SELF_H

/* The directory of the running binary; caller frees; NULL if the system does not tell. */
char *self_directory(void);

#endif
