#include "dashboard/auth/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/envfile.h"
#include "common/io.h"
#include "common/log.h"
#include "common/system.h"
#include "dashboard/auth/password.h"
#include "dashboard/auth/secret.h"

struct secrets {
    char *password_hash;
    char api_token[TOKEN_SIZE], view_token[TOKEN_SIZE], session[TOKEN_SIZE], agents[TOKEN_SIZE];
    char totp[TOTP_SECRET_SIZE]; /* "": no second factor */
};

static int complain(const char *what, const char *why)
{
    log_line(LOG_ERR, "%s%s%s", what, why ? ": " : "", why ? why : "");
    return -1;
}

static int make_directory(const char *file)
{
    char copy[1024];
    const char *directory;

    if (strlcpy(copy, file, sizeof copy) >= sizeof copy)
        return complain(file, strerror(ENAMETOOLONG));
    directory = dirname(copy);
    return mkdir(directory, 0755) == 0 || errno == EEXIST ? 0
                                                          : complain(directory, strerror(errno));
}

/* Checks the path before a person must type anything. */
static int check_file(const char *file)
{
    struct stat info;

    if (lstat(file, &info) == 0)
        return complain(file, "it exists; move it away first, or write another with --config FILE");
    return errno == ENOENT || errno == ENOTDIR ? 0 : complain(file, strerror(errno));
}

static int ask_password(struct secrets *secrets)
{
    const char *why = NULL;
    char *password = password_read(&why);

    if (!password)
        return complain("no password", why);
    secrets->password_hash = password_hash(password);
    wipe(password, strlen(password));
    free(password);
    return secrets->password_hash
               ? 0
               : complain("password", errno == EINVAL ? "needs 1 to 72 bytes" : strerror(errno));
}

static bool wants_totp(void)
{
    AUTO_FREE char *answer =
        password_read_line("One-time codes of an authenticator app as a second factor? [Y/n] ");

    return !answer || strncasecmp(answer, "n", 1) != 0;
}

static int make_secrets(struct secrets *secrets)
{
    if (ask_password(secrets) < 0)
        return -1;
    if (token_make(secrets->api_token) < 0 || token_make(secrets->view_token) < 0 ||
        token_make(secrets->session) < 0 || token_make(secrets->agents) < 0 ||
        (wants_totp() && totp_secret_make(secrets->totp) < 0))
        return complain("no random bytes", NULL);
    return 0;
}

static bool print_file(FILE *file, const struct secrets *secrets)
{
    fprintf(file,
            "# The settings of nixfleet-dashboard: see nixfleet-dashboard(8). Secrets: for root "
            "only.\n\n"
            "# The password with which people sign in (nixfleet-dashboard hash-password).\n"
            "NIXFLEET_PASSWORD_HASH='%s'\n",
            secrets->password_hash);
    fprintf(file, "# The second factor, in base32.\n%sNIXFLEET_TOTP_SECRET=%s\n",
            *secrets->totp ? "" : "#", secrets->totp);
    fprintf(file,
            "# Signs sessions. To rotate it put a new secret in front: NEW,OLD.\n"
            "NIXFLEET_SESSION_SECRETS=%s\n",
            secrets->session);
    fprintf(file,
            "# The token that hosts share until they have their own (nixfleet-dashboard token "
            "HOST).\nNIXFLEET_API_TOKEN=%s\n",
            secrets->api_token);
    fprintf(file,
            "# The key under which the hosts' own tokens are stored.\n"
            "NIXFLEET_AGENT_TOKEN_HASH_SECRET=%s\n",
            secrets->agents);
    fprintf(file,
            "# Reads everything: for scripts and for Prometheus.\n"
            "NIXFLEET_VIEW_TOKEN=%s\n\n",
            secrets->view_token);
    fputs("# The reverse proxy that speaks TLS: its X-Forwarded-For names the client.\n"
          "NIXFLEET_TRUST_PROXY_HEADERS=true\n"
          "NIXFLEET_TRUSTED_PROXY_IPS=127.0.0.1,::1\n",
          file);
    return fflush(file) == 0 && fsync(fileno(file)) == 0 && !ferror(file);
}

static int write_file(const char *path, const struct secrets *secrets)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool written;

    if (!file)
        return complain(path, strerror(errno));
    written = fchmod(fd, 0600) == 0 && print_file(file, secrets);
    if (fclose(file) == 0 && written)
        return 0;
    complain(path, strerror(errno));
    unlink(path);
    return -1;
}

static void print_totp(const struct secrets *secrets)
{
    if (*secrets->totp)
        printf(
            "\nAdd this line to an authenticator app (as a QR code: qrencode -t ansiutf8 'LINE'):\n"
            "  otpauth://totp/nixfleet?secret=%s&issuer=nixfleet&algorithm=SHA1&digits=6&period="
            "30\n",
            secrets->totp);
}

static void print_next(const char *file, const struct secrets *secrets)
{
    printf("%s is written: mode 0600, with new secrets.\n", file);
    print_totp(secrets);
    printf("\nNext:\n"
           "  nixfleet-dashboard --config %s --check-config\n"
           "  systemctl enable --now nixfleet-dashboard\n"
           "  a reverse proxy with TLS in front of 127.0.0.1:8000: nixfleet-dashboard(8) has nginx "
           "and Caddy\n"
           "  nixfleet-dashboard token HOST           a token for each host, for its "
           "/etc/nixfleet/run.conf\n",
           file);
    fflush(stdout);
}

int setup_run(const char *file)
{
    struct secrets secrets = {0};
    int status = check_file(file) < 0 || make_directory(file) < 0 || make_secrets(&secrets) < 0 ||
                         write_file(file, &secrets) < 0
                     ? -1
                     : 0;

    if (status == 0)
        print_next(file, &secrets);
    free(secrets.password_hash);
    wipe(&secrets, sizeof secrets);
    return status;
}

/* ---- copy-config ---- */

static bool write_copy(int fd, const struct stat *directory, const char *text, size_t size)
{
    return fchmod(fd, 0400) == 0 && fchown(fd, directory->st_uid, directory->st_gid) == 0 &&
           write_all(fd, text, size) == 0;
}

static int copy_into(const char *to, const char *text, size_t size)
{
    char path[1024], fresh[1040];
    struct stat directory;
    bool done;
    int fd;

    if (strlcpy(path, to, sizeof path) >= sizeof path)
        return complain(to, strerror(ENAMETOOLONG));
    snprintf(fresh, sizeof fresh, "%s.XXXXXX", path);
    if (stat(dirname(path), &directory) < 0 || (fd = mkstemp(fresh)) < 0)
        return complain(to, strerror(errno));
    done = write_copy(fd, &directory, text, size);
    if (close(fd) == 0 && done && rename(fresh, to) == 0)
        return 0;
    complain(to, strerror(errno));
    unlink(fresh);
    return -1;
}

int setup_copy(const char *from, const char *to)
{
    size_t size;
    char *text = read_file(from, ENVFILE_LIMIT, &size);
    int status;

    if (!text)
        return complain(from, strerror(errno));
    status = copy_into(to, text, size);
    wipe(text, size);
    free(text);
    return status;
}
