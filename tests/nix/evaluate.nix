# Evaluates one of this project's modules with the values of a test, to plain data. `kind`: nixos or home-manager. `values`: the
# path of a file with the configuration to test.
{ kind, values, system ? "x86_64-linux" }:
let
  pkgs = import ./stub-nixpkgs.nix { inherit system; };
  module = { nixos = ../../nix/module.nix; home-manager = ../../nix/home-manager.nix; }.${kind};
  foreign = {
    nixos = [ "assertions" "systemd.services" "systemd.timers" "services.postgresql" "environment.systemPackages" "environment.etc" ];
    home-manager = [ "assertions" "systemd.user" "home.packages" "xdg.configFile" "launchd.agents" ];
  }.${kind};
  evaluated = pkgs.lib.evalModules {
    modules = [ (import module) (import (/. + values)) ];
    specialArgs = { inherit pkgs; inherit (pkgs) lib; };
    inherit foreign;
  };
  failed = builtins.filter (a: !a.assertion) (evaluated.config.assertions or [ ]);
in
if failed != [ ] then throw "Failed assertions: ${(builtins.head failed).message}" else evaluated.config
