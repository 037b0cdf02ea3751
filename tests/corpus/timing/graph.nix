# The derivations that record.py builds. They only sleep; a file has their versions and durations.
{ file }:
let
  state = builtins.fromJSON (builtins.readFile file);
  drv = name: deps: derivation {
    name = "${name}-1.${toString state.${name}.version}";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    inherit deps;
    inherit (state.${name}) version;
    PATH = "/usr/bin:/bin";
    args = [ "-c" "sleep ${state.${name}.seconds}; echo built ${name}; echo x > $out" ];
  };
  package = rec {
    zlib = drv "zlib" [ ];
    openssl = drv "openssl" [ ];
    linux = drv "linux" [ ];
    vim = drv "vim" [ ];
    modules = drv "modules" [ linux ];
    curl = drv "curl" [ zlib openssl ];
    git = drv "git" [ curl ];
    nginx = drv "nginx" [ openssl zlib ];
    postgresql = drv "postgresql" [ openssl ];
    python = drv "python" [ zlib openssl ];
    borg = drv "borg" [ python ];
  };
  units = map (name: drv "unit-${name}" [ package.nginx package.postgresql ]) [ "a" "b" "c" "d" "e" ];
in
drv "system" (units ++ builtins.attrValues package)
