/* The list of all settings of both programs. Parsing, checks, the environment of the helpers and
   hints at mistyped names use these lists; tests compare --help, the manuals, the completions and
   the Nix options with them.

   X(ID, field, variable, option or NULL, letter or 0, kind, lowest, highest, standard, properties)

   field: a field of struct config (config/config.h) or of struct dashboard_settings
   (dashboard/server/settings.h). */
#ifndef NIXFLEET_SETTING_LIST_H
#define NIXFLEET_SETTING_LIST_H

#include "setting.h"

/* One row for each setting, whatever its length. */
/* clang-format off */
#define RUN_SETTINGS(X) \
    X(URL, url, "NIXFLEET_URL", "url", 'u', SETTING_URL, 0, 0, 0, 0) \
    X(HOST, host, "NIXFLEET_HOST", "host", 'H', SETTING_HOST, 0, 0, 0, 0) \
    X(NAME, name, "NIXFLEET_NAME", "name", 'n', SETTING_LABEL, 0, 63, 0, 0) \
    X(LOG, log, "NIXFLEET_LOG", "log", 'l', SETTING_TEXT, 0, 0, 0, 0) \
    X(HEARTBEAT, heartbeat_s, "NIXFLEET_HEARTBEAT", "heartbeat", 'i', SETTING_NUMBER, 5, 60, 10, 0) \
    X(TOKEN_FILE, token_file, "NIXFLEET_TOKEN_FILE", "token-file", 0, SETTING_TEXT, 0, 0, 0, SETTING_CREDENTIAL | SETTING_PATH) \
    X(TOKEN_CACHE, token_cache, "NIXFLEET_TOKEN_CACHE", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_CREDENTIAL | SETTING_PATH) \
    X(TOKEN, token, "NIXFLEET_TOKEN", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_CREDENTIAL | SETTING_SECRET) \
    X(CA_FILE, ca_file, "NIXFLEET_CA_FILE", "cacert", 0, SETTING_TEXT, 0, 0, 0, SETTING_CREDENTIAL | SETTING_PATH) \
    X(PINNED_PUBKEY, pinned_pubkey, "NIXFLEET_PINNED_PUBKEY", "pinned-pubkey", 0, SETTING_TEXT, 0, 0, 0, SETTING_CREDENTIAL) \
    X(ALLOW_INSECURE_HTTP, allow_insecure_http, "NIXFLEET_ALLOW_INSECURE_HTTP", "allow-insecure-http", 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(FLUSH_TIMEOUT, flush_timeout_s, "NIXFLEET_FLUSH_TIMEOUT", "flush-timeout", 0, SETTING_NUMBER, 0, 3600, 10, 0) \
    X(NIX_LOG, nix_log, "NIXFLEET_NIX_LOG", "nix-log", 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(NO_PTY, no_pty, "NIXFLEET_NO_PTY", "no-pty", 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(NO_STREAM, no_stream, "NIXFLEET_NO_STREAM", "no-stream", 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(NOHUP, nohup, "NIXFLEET_NOHUP", "nohup", 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(SCOPE, scope, "NIXFLEET_SCOPE", "scope", 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(REDACT, redact, "NIXFLEET_REDACT", "redact", 0, SETTING_PATTERNS, 0, 0, 0, SETTING_ADDS) \
    X(QUIET, quiet, "NIXFLEET_QUIET", "quiet", 'q', SETTING_FLAG, 0, 1, 0, 0) \
    X(VERBOSE, verbose, "NIXFLEET_VERBOSE", "verbose", 'v', SETTING_FLAG, 0, 1, 0, 0) \
    X(STATE_DIR, state_dir, "NIXFLEET_STATE_DIR", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_PATH) \
    X(KEEP_RUNS, keep_runs, "NIXFLEET_KEEP_RUNS", NULL, 0, SETTING_NUMBER, 0, 1000000, 100, 0) \
    X(KEEP_DAYS, keep_days, "NIXFLEET_KEEP_DAYS", NULL, 0, SETTING_NUMBER, 0, 36500, 90, 0) \
    X(KEEP_SIZE, keep_bytes, "NIXFLEET_KEEP_SIZE", NULL, 0, SETTING_SIZE, 0, INT64_C(1) << 60, INT64_C(1) << 30, 0)

#define DASHBOARD_SETTINGS(X) \
    X(PASSWORD_HASH, password_hash, "NIXFLEET_PASSWORD_HASH", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(TOTP_SECRET, totp_secret, "NIXFLEET_TOTP_SECRET", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(API_TOKEN, api_token, "NIXFLEET_API_TOKEN", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(VIEW_TOKEN, view_token, "NIXFLEET_VIEW_TOKEN", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(SESSION_SECRETS, session_secrets, "NIXFLEET_SESSION_SECRETS", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(AGENT_TOKEN_HASH_SECRET, agent_token_hash_secret, "NIXFLEET_AGENT_TOKEN_HASH_SECRET", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(DATA_DIR, data_dir, "NIXFLEET_DATA_DIR", "data", 'd', SETTING_TEXT, 0, 0, 0, 0) \
    X(STORE, store, "NIXFLEET_STORE", NULL, 0, SETTING_TEXT, 0, 0, 0, SETTING_SECRET) \
    X(TRUSTED_PROXY_IPS, trusted_proxies, "NIXFLEET_TRUSTED_PROXY_IPS", NULL, 0, SETTING_TEXT, 0, 0, 0, 0) \
    X(NIXCFG_VERSION_URL, version_url, "NIXFLEET_NIXCFG_VERSION_URL", NULL, 0, SETTING_TEXT, 0, 0, 0, 0) \
    X(REQUIRE_TOTP, require_totp, "NIXFLEET_REQUIRE_TOTP", NULL, 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(ALLOW_SHARED_AGENT_TOKEN, allow_shared_agent_token, "NIXFLEET_ALLOW_SHARED_AGENT_TOKEN", NULL, 0, SETTING_FLAG, 0, 1, 1, 0) \
    X(AUTO_PROVISION, auto_provision, "NIXFLEET_AUTO_PROVISION_AGENT_TOKENS", NULL, 0, SETTING_FLAG, 0, 1, 1, 0) \
    X(DEV_MODE, dev_cookies, "NIXFLEET_DEV_MODE", NULL, 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(TRUST_PROXY_HEADERS, trust_proxy_headers, "NIXFLEET_TRUST_PROXY_HEADERS", NULL, 0, SETTING_FLAG, 0, 1, 0, 0) \
    X(STATUS_HISTORY_DAYS, history_days, "NIXFLEET_STATUS_HISTORY_DAYS", NULL, 0, SETTING_NUMBER, 1, 100000000, 30, 0) \
    X(DASHBOARD_KEEP_DAYS, keep_days, "NIXFLEET_KEEP_DAYS", NULL, 0, SETTING_NUMBER, 1, 100000000, 180, 0) \
    X(DASHBOARD_KEEP_RUNS, keep_runs, "NIXFLEET_KEEP_RUNS", NULL, 0, SETTING_NUMBER, 1, 100000000, 500, 0) \
    X(KEEP_MB, keep_mb, "NIXFLEET_KEEP_MB", NULL, 0, SETTING_NUMBER, 1, 100000000, 20480, 0) \
    X(RUN_MB, run_mb, "NIXFLEET_RUN_MB", NULL, 0, SETTING_NUMBER, 1, 100000000, 256, 0)
/* clang-format on */

#define SETTING_ROW(type, field, variable, option, letter, kind, low, high, standard, properties) \
    {                                                                                             \
        variable, option, letter, kind, low, high, standard, properties, offsetof(type, field)    \
    }

#endif
