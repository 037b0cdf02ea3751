/* `nixfleet-dashboard setup`: a complete configuration for a new installation. */
#ifndef NIXFLEET_DASHBOARD_AUTH_SETUP_H
#define NIXFLEET_DASHBOARD_AUTH_SETUP_H

/* Asks for the password (password.h) and whether a second factor is wanted, makes every secret, and
   writes file (mode 0600; its directory is made, too), which must not exist. Then prints what to do
   next, on standard output. Returns 0, or -1 after a line on standard error. */
int setup_run(const char *file);

/* `nixfleet-dashboard copy-config FROM TO`, for the service manager, as root: gives the service's
   user a copy of a configuration that only root can read. TO is replaced as a whole, belongs to the
   owner of its directory, and has mode 0400. Returns 0, or -1 after a line on standard error. */
int setup_copy(const char *from, const char *to);

#endif
