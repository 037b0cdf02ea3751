# home-manager: programs.nixfleet-run, for Linux and macOS. Its names do not clash with those of services.nixfleet-agent.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkIf mkMerge;
  inherit (pkgs.stdenv) hostPlatform;

  run = config.programs.nixfleet-run;
  shared = import ./options.nix { inherit lib pkgs; cfg = run; };
  flush = [ "${run.package}/bin/nixfleet-run" "--flush" ];
  flushes = run.enable && run.flush.enable && run.url != null;
in
{
  options.programs.nixfleet-run = shared.options;

  config = mkMerge [
    (mkIf run.enable {
      inherit (shared) assertions;
      home.packages = [ run.package ];
      xdg.configFile."nixfleet/run.conf".text = shared.runConf;
    })

    (mkIf (flushes && hostPlatform.isLinux) {
      systemd.user.services.nixfleet-flush = {
        Unit = {
          Description = "Deliver the undelivered output of earlier runs";
          Documentation = [ "man:nixfleet-run(1)" ];
        };
        Service = {
          Type = "oneshot";
          ExecStart = lib.concatStringsSep " " flush;
          NoNewPrivileges = true;
          LockPersonality = true;
          MemoryDenyWriteExecute = true;
          RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" ];
          SystemCallArchitectures = "native";
          UMask = "0077";
          # 1: the dashboard could not be reached. The unit must not fail because of that.
          SuccessExitStatus = 1;
        };
      };
      systemd.user.timers.nixfleet-flush = {
        Unit.Description = "Deliver the undelivered output of earlier runs";
        Timer = {
          OnStartupSec = "2min";
          OnUnitInactiveSec = run.flush.interval;
          RandomizedDelaySec = "30s";
        };
        Install.WantedBy = [ "timers.target" ];
      };
    })

    (mkIf (flushes && hostPlatform.isDarwin) {
      launchd.agents.nixfleet-flush = {
        enable = true;
        config = {
          ProgramArguments = flush;
          # Every ten minutes. flush.interval has systemd's format (systemd.time(7)); launchd needs seconds.
          StartInterval = 600;
          ProcessType = "Background";
        };
      };
    })
  ];
}
