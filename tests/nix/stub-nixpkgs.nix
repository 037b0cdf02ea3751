# The part of nixpkgs that this project's Nix files use, so that a real nix can evaluate the files without a network: packages that
# are only names, a mkDerivation that keeps its arguments, and a small module system with type checks. A name that is missing here
# is an error, as a misspelt name is in nixpkgs.
{ system ? "x86_64-linux" }:
let
  lib = import ./stub-lib.nix;
  isLinux = lib.hasSuffix "-linux" system;

  named = name: {
    inherit name;
    type = "derivation";
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };

  stdenv = {
    inherit system;
    hostPlatform = { inherit system isLinux; isDarwin = !isLinux; };
    cc.targetPrefix = "";
    mkDerivation = arguments:
      let made = named arguments.pname // {
        inherit (arguments) meta;
        inherit arguments;
        drvArguments = arguments;
        overrideAttrs = change: stdenv.mkDerivation (arguments // change arguments);
      } // arguments; in made;
  };

  packageNames = [
    "pkg-config" "mandoc" "curl" "json_c" "openssl" "libmicrohttpd" "pcre2" "wslay" "sqlite" "libpq" "postgresql" "libxcrypt" "oath-toolkit" "libbsd" "libmd"
    "coreutils" "nix" "cmocka" "git" "nginx" "haproxy" "prometheus" "tmux" "expect" "less" "zsh" "fish" "clang-tools" "cppcheck" "shellcheck" "eslint" "nodejs" "asciinema" "chromium"
    "chromedriver" "strace" "e2fsprogs" "clang" "util-linux" "vim" "nixpkgs-fmt"
  ];

  pkgs = builtins.listToAttrs (map (name: { inherit name; value = named name; }) packageNames) // {
    inherit lib stdenv pkgs system;
    callPackage = file: overrides:
      let function = if builtins.isFunction file then file else import file;
      in function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // overrides);
    mkShell = arguments: named "shell" // { inherit arguments; };
    python3 = named "python3" // {
      withPackages = choose: named "python3-env" // {
        chosen = choose { pytest = named "pytest"; pytest-xdist = named "pytest-xdist"; selenium = named "selenium"; };
      };
    };
    writeShellScriptBin = name: text: named name // { inherit text; };
    writeText = name: text: named name // { inherit text; };
  };
in
pkgs
