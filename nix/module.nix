# NixOS: services.nixfleet-dashboard and programs.nixfleet-run.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption mkIf mkMerge types literalExpression;

  dashboard = config.services.nixfleet-dashboard;
  run = config.programs.nixfleet-run;
  shared = import ./options.nix { inherit lib pkgs; cfg = run; };
  hardening = import ./hardening.nix;

  secretNames = [
    "NIXFLEET_PASSWORD_HASH"
    "NIXFLEET_API_TOKEN"
    "NIXFLEET_VIEW_TOKEN"
    "NIXFLEET_SESSION_SECRETS"
    "NIXFLEET_AGENT_TOKEN_HASH_SECRET"
    "NIXFLEET_TOTP_SECRET"
  ];
  # The service's user cannot read the file with the secrets. Root makes a copy for this user at each start and reload.
  copyConfig = lib.escapeShellArgs [
    "${dashboard.package}/bin/nixfleet-dashboard"
    "copy-config"
    (toString dashboard.environmentFile)
    "/run/nixfleet-dashboard/dashboard.conf"
  ];
  # The user and the database have the same name: PostgreSQL identifies the user by its socket (peer authentication).
  name = "nixfleet-dashboard";
  local = dashboard.store == "postgresql" && dashboard.database.createLocally;
  secretsInSettings = builtins.filter (name: dashboard.settings ? ${name}) secretNames;
in
{
  options.services.nixfleet-dashboard = {
    enable = lib.mkEnableOption "nixfleet-dashboard, the page where runs are seen";

    package = mkOption {
      type = types.package;
      default = import ../default.nix { inherit pkgs; };
      defaultText = literalExpression "the package of this repository";
      description = "The package that has bin/nixfleet-dashboard.";
    };

    address = mkOption {
      type = types.strMatching "[0-9a-fA-F.:]+";
      default = "127.0.0.1";
      example = "::1";
      description = "The address to listen on. Leave it on loopback, behind a proxy that speaks TLS.";
    };

    port = mkOption {
      type = types.port;
      default = 8000;
      description = "The TCP port to listen on.";
    };

    store = mkOption {
      type = types.enum [ "sqlite" "postgresql" ];
      default = "sqlite";
      description = ''
        Where runs are kept: in one SQLite file below /var/lib/nixfleet-dashboard, or in PostgreSQL, which several dashboards
        can share. For a PostgreSQL of another machine put NIXFLEET_STORE (postgresql://…) into environmentFile.
      '';
    };

    database.createLocally = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to run PostgreSQL on this machine, with a database and a user for the dashboard; needs store = \"postgresql\".";
    };

    environmentFile = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/run/secrets/nixfleet-dashboard.env";
      description = ''
        A file of NAME=value lines with the secrets: NIXFLEET_PASSWORD_HASH (made by `nixfleet-dashboard hash-password`),
        NIXFLEET_API_TOKEN, NIXFLEET_SESSION_SECRETS, NIXFLEET_AGENT_TOKEN_HASH_SECRET and, if wanted, NIXFLEET_TOTP_SECRET.
        root reads it and hands the service a copy, at its start and with `systemctl reload`; it never comes into the store, so
        give its path as a string. `nixfleet-dashboard setup` makes such a file.
      '';
    };

    settings = mkOption {
      type = types.attrsOf (types.oneOf [ types.bool types.int types.str ]);
      default = { };
      example = { NIXFLEET_TRUST_PROXY_HEADERS = true; NIXFLEET_TRUSTED_PROXY_IPS = "127.0.0.1"; };
      description = "Further variables of nixfleet-dashboard(8). No secrets: they belong into environmentFile.";
    };
  };

  options.programs.nixfleet-run = shared.options // {
    flush = shared.options.flush // {
      users = mkOption {
        type = types.listOf (types.strMatching "[a-z_][a-z0-9_-]*");
        default = [ "root" ];
        example = [ "root" "mba" ];
        description = "The users whose runs are delivered: each has logs of its own.";
      };
    };
  };

  config = mkMerge [
    (mkIf dashboard.enable {
      assertions = [
        {
          assertion = dashboard.environmentFile != null;
          message = "services.nixfleet-dashboard.environmentFile is needed: the dashboard does not start without its secrets.";
        }
        {
          assertion = secretsInSettings == [ ];
          message = "services.nixfleet-dashboard.settings: ${lib.concatStringsSep ", " secretsInSettings}"
            + " would be readable in the store; put it into environmentFile.";
        }
        {
          assertion = dashboard.environmentFile == null || !(lib.hasPrefix builtins.storeDir dashboard.environmentFile);
          message = "services.nixfleet-dashboard.environmentFile is in the store, where every user can read it.";
        }
        {
          assertion = !dashboard.database.createLocally || dashboard.store == "postgresql";
          message = "services.nixfleet-dashboard.database.createLocally needs store = \"postgresql\".";
        }
        {
          assertion = !(local && dashboard.settings ? NIXFLEET_STORE);
          message = "services.nixfleet-dashboard: settings.NIXFLEET_STORE and database.createLocally name two databases.";
        }
      ];

      environment.systemPackages = [ dashboard.package ];

      systemd.services.nixfleet-dashboard = {
        description = "Dashboard of the fleet's runs";
        documentation = [ "man:nixfleet-dashboard(8)" ];
        wantedBy = [ "multi-user.target" ];
        # In newer nixpkgs, postgresql.target is reached when the database and the user exist. Older nixpkgs have no such target.
        after = [ "network.target" ] ++ lib.optionals local [ "postgresql.service" "postgresql.target" ];
        requires = lib.optional local "postgresql.service";
        environment = builtins.mapAttrs (name: value: if builtins.isBool value then lib.boolToString value else toString value)
          (lib.optionalAttrs local { NIXFLEET_STORE = "postgresql:///${name}?host=/run/postgresql"; } // dashboard.settings);
        unitConfig = {
          StartLimitIntervalSec = 60;
          StartLimitBurst = 10;
        };
        # NixOS restarts the dashboard at the end of a switch. By default NixOS stops a service at the beginning of the switch.
        stopIfChanged = false;
        serviceConfig = hardening // {
          Type = "notify";
          ExecStartPre = "+${copyConfig}";
          ExecStart = lib.escapeShellArgs [
            "${dashboard.package}/bin/nixfleet-dashboard"
            "--listen"
            (if lib.hasInfix ":" dashboard.address then "[${dashboard.address}]:${toString dashboard.port}"
            else "${dashboard.address}:${toString dashboard.port}")
            "--data"
            "/var/lib/nixfleet-dashboard"
            "--config"
            "/run/nixfleet-dashboard/dashboard.conf"
          ];
          ExecReload = [ "+${copyConfig}" "${pkgs.coreutils}/bin/kill -HUP $MAINPID" ];
          DynamicUser = true;
          RuntimeDirectory = "nixfleet-dashboard";
          RuntimeDirectoryMode = "0700";
          StateDirectory = "nixfleet-dashboard";
          StateDirectoryMode = "0700";
          ProtectHome = true;
          Restart = "always";
          RestartSec = 2;
          # 78: the configuration is wrong. Starting again would not help.
          RestartPreventExitStatus = 78;
          WatchdogSec = 60;
          LimitNOFILE = 65536;
          CPUSchedulingPolicy = "batch";
        } // lib.optionalAttrs (dashboard.port < 1024) {
          AmbientCapabilities = "CAP_NET_BIND_SERVICE";
          CapabilityBoundingSet = "CAP_NET_BIND_SERVICE";
        };
      };
    })

    (mkIf (dashboard.enable && local) {
      services.postgresql = {
        enable = true;
        ensureDatabases = [ name ];
        ensureUsers = [{ inherit name; ensureDBOwnership = true; }];
      };
    })

    (mkIf run.enable {
      inherit (shared) assertions;
      environment.systemPackages = [ run.package ];
      environment.etc."nixfleet/run.conf".text = shared.runConf;
    })

    (mkIf (run.enable && run.flush.enable && run.url != null) {
      systemd.services = lib.genAttrs (map (user: "nixfleet-flush-${user}") run.flush.users) (name: {
        description = "Deliver the undelivered output of earlier runs";
        documentation = [ "man:nixfleet-run(1)" ];
        after = [ "network.target" ];
        # A switch must not wait for a dashboard, and must not interrupt a delivery.
        restartIfChanged = false;
        serviceConfig = hardening // {
          Type = "oneshot";
          User = lib.removePrefix "nixfleet-flush-" name;
          ExecStart = "${run.package}/bin/nixfleet-run --flush";
          # The service must write the logs, which are below the user's home or at the path of --log.
          ProtectSystem = "full";
          PrivateTmp = false;
          # 1: the dashboard could not be reached. The unit must not fail because of that: a failed unit makes a switch end with 4.
          SuccessExitStatus = 1;
        } // lib.optionalAttrs (lib.removePrefix "nixfleet-flush-" name == "root") {
          # Root without capabilities cannot read a token file that only the agent's user may read.
          CapabilityBoundingSet = "CAP_DAC_READ_SEARCH";
        };
      });
      systemd.timers = lib.genAttrs (map (user: "nixfleet-flush-${user}") run.flush.users) (name: {
        description = "Deliver the undelivered output of earlier runs";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnBootSec = "2min";
          OnUnitInactiveSec = run.flush.interval;
          RandomizedDelaySec = "30s";
        };
      });
    })
  ];
}
