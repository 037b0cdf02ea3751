# The options of programs.nixfleet-run, the same for NixOS and home-manager, and the run.conf that is made from them.
{ lib, pkgs, cfg }:
let
  inherit (lib) mkOption types literalExpression;

  # A path as a string. Nix would copy a path value to the store, where every user can read the file.
  textPath = types.strMatching "/.+";
in
{
  options = {
    enable = lib.mkEnableOption "nixfleet-run, which runs a command and shows it live on a dashboard";

    package = mkOption {
      type = types.package;
      default = import ../default.nix { inherit pkgs; };
      defaultText = literalExpression "the package of this repository";
      description = "The package that has bin/nixfleet-run.";
    };

    url = mkOption {
      type = types.nullOr (types.strMatching "https?://[^[:space:]]+");
      default = null;
      example = "https://fleet.example.org";
      description = "The dashboard. Without one, runs are only logged here.";
    };

    host = mkOption {
      type = types.nullOr (types.strMatching "[a-zA-Z][a-zA-Z0-9-]{0,62}");
      default = null;
      example = "hsb1";
      description = "The name of this host at the dashboard; by default its host name up to the first dot.";
    };

    tokenFile = mkOption {
      type = types.nullOr textPath;
      default = null;
      example = "/run/secrets/nixfleet-token";
      description = ''
        A file that holds the token, with or without `NIXFLEET_TOKEN=` before it. It is read when a command is run and never
        comes into the store, so give its path as a string. The users who run commands must be able to read it.
      '';
    };

    caFile = mkOption {
      type = types.nullOr textPath;
      default = null;
      example = "/etc/ssl/certs/fleet-ca.pem";
      description = "The certificate authority to trust instead of the system's.";
    };

    pinnedPubkey = mkOption {
      type = types.nullOr (types.strMatching "sha256//[A-Za-z0-9+/=]+(;sha256//[A-Za-z0-9+/=]+)*");
      default = null;
      example = "sha256//YhKJKSzoTt2b5FP18fvpHo7fJYqQCjAa3HWY3tvRMwE=";
      description = "The public key that the dashboard must have, in curl's form.";
    };

    allowInsecureHttp = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to send token and output over plain http to a dashboard that is not on this host.";
    };

    heartbeat = mkOption {
      type = types.ints.between 5 60;
      default = 10;
      description = "Seconds between two heartbeats while a command runs.";
    };

    flushTimeout = mkOption {
      type = types.ints.between 0 3600;
      default = 10;
      description = "Seconds that a run may go on delivering its output after the command has ended.";
    };

    nixLog = mkOption {
      type = types.bool;
      default = true;
      description = "Whether nix, from 2.30 on, records exact counts and build logs of the runs (nixfleet-run looks at its version).";
    };

    redact = mkOption {
      type = types.listOf (types.strMatching "[A-Za-z0-9_*?]+");
      default = [ ];
      example = [ "*_PASSPHRASE" ];
      description = "Names of further environment variables whose values are replaced in what leaves this host.";
    };

    extraSettings = mkOption {
      type = types.attrsOf (types.oneOf [ types.str types.int ]);
      default = { };
      example = { NIXFLEET_KEEP_RUNS = 500; };
      description = "Further variables of nixfleet-run(1), for run.conf. No secrets: the file is in the store.";
    };

    flush = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether a timer delivers the undelivered output of earlier runs.";
      };

      interval = mkOption {
        type = types.nonEmptyStr;
        default = "10min";
        example = "1h";
        description = "The time between two such deliveries, as systemd.time(7) writes it; on macOS always ten minutes.";
      };
    };
  };

  assertions = [
    {
      assertion = !(cfg.extraSettings ? NIXFLEET_TOKEN);
      message = "programs.nixfleet-run.extraSettings: NIXFLEET_TOKEN would be readable in the store; use tokenFile.";
    }
    {
      assertion = cfg.tokenFile == null || !(lib.hasPrefix builtins.storeDir cfg.tokenFile);
      message = "programs.nixfleet-run.tokenFile is in the store, where every user can read it; give a path outside of it.";
    }
    {
      assertion = cfg.url == null || cfg.allowInsecureHttp || lib.hasPrefix "https://" cfg.url
        || builtins.match "http://(localhost|127\\.[0-9.]+|\\[::1])([:/].*)?" cfg.url != null;
      message = "programs.nixfleet-run.url is plain http to another host; use https, or set allowInsecureHttp.";
    }
  ];

  # The format of systemd's EnvironmentFile, so that a service and a shell can use the same file.
  runConf =
    let
      variables = lib.filterAttrs (name: value: value != null && value != "") ({
        NIXFLEET_URL = cfg.url;
        NIXFLEET_HOST = cfg.host;
        NIXFLEET_TOKEN_FILE = cfg.tokenFile;
        NIXFLEET_CA_FILE = cfg.caFile;
        NIXFLEET_PINNED_PUBKEY = cfg.pinnedPubkey;
        NIXFLEET_ALLOW_INSECURE_HTTP = if cfg.allowInsecureHttp then "1" else null;
        NIXFLEET_HEARTBEAT = cfg.heartbeat;
        NIXFLEET_FLUSH_TIMEOUT = cfg.flushTimeout;
        NIXFLEET_NIX_LOG = if cfg.nixLog then "1" else null;
        NIXFLEET_REDACT = lib.concatStringsSep "," cfg.redact;
      } // cfg.extraSettings);
      quote = value: "\"${lib.escape [ "\\" "\"" "$" "`" ] (toString value)}\"";
    in
    lib.concatStrings (lib.mapAttrsToList (name: value: "${name}=${quote value}\n") variables);
}
