# The tools that the make targets need, for nix develop and nix-shell.
{ pkgs ? import <nixpkgs> { } }:
let
  inherit (pkgs) lib stdenv;
  package = import ./default.nix { inherit pkgs; };
in
pkgs.mkShell {
  inputsFrom = [ package ];
  packages = with pkgs; [
    nix
    cmocka
    (python3.withPackages (python: [ python.pytest python.selenium ]))
    git
    curl
    openssl
    tmux
    expect
    less
    zsh
    fish
    clang-tools
    cppcheck
    mandoc
    shellcheck
    eslint
    nodejs
    vim
    asciinema
  ] ++ lib.optionals stdenv.hostPlatform.isLinux [
    chromium
    chromedriver
    strace
    e2fsprogs
    nginx
    haproxy
    postgresql
    prometheus
    util-linux
    # For `make fuzz`. The clang package itself would set CC in this shell to clang.
    (writeShellScriptBin "clang" ''exec ${clang}/bin/clang "$@"'')
  ];
}
