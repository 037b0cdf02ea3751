/* `nixfleet-dashboard setup` writes a complete configuration for a new installation. */
#ifndef NIXFLEET_DASHBOARD_AUTH_SETUP_H
#define NIXFLEET_DASHBOARD_AUTH_SETUP_H

/* Asks for the password (password.h) and whether a second factor is wanted, makes all secrets, and
   writes file (mode 0600), which must not exist; creates its directory. Then prints the next steps
   to standard output. Returns 0, or -1 after a line on standard error. */
int setup_run(const char *file);

/* `nixfleet-dashboard copy-config FROM TO`, for the service manager, as root: gives the service's
   user a copy of a configuration that only root can read. TO is replaced as a whole, belongs to the
   owner of its directory, and has mode 0400. Returns 0, or -1 after a line on standard error. */
int setup_copy(const char *from, const char *to);

#endif
