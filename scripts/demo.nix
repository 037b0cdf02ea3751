# What `make demo` builds: twenty small derivations that take some seconds, as the packages of a system do. Nothing is downloaded.
# One derivation fails in the first build: its test fails until the file `flaky` exists. The second build succeeds.
{ salt, flaky, seconds ? "0.3" }:
let
  build = { name, lines ? 9, needs ? [ ], breaks ? false }: derivation {
    inherit name salt;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    needs = map toString needs;
    args = [
      "-c"
      ''
        PATH=/usr/local/bin:/usr/bin:/bin:$PATH
        echo "unpacking sources"
        echo "configuring $name"
        i=1
        while [ $i -le ${toString lines} ]; do
          echo "[$i/${toString lines}] CC src/part$i.o"
          sleep ${seconds}
          i=$((i + 1))
        done
        ${if breaks then ''
          echo "running tests"
          if [ ! -e ${flaky} ]; then
            echo "test_reconnect ... FAILED" >&2
            echo "error: the server did not come back within 5 s" >&2
            exit 1
          fi
          echo "test_reconnect ... ok"
        '' else ""}
        echo "installing"
        echo "$name" >$out
      ''
    ];
  };

  zlib = build { name = "zlib-1.3.1"; lines = 5; };
  openssl = build { name = "openssl-3.0.13"; lines = 14; };
  sqlite = build { name = "sqlite-3.45.1"; needs = [ zlib ]; };
  curl = build { name = "curl-8.6.0"; lines = 11; needs = [ zlib openssl ]; };
  libraries = map (name: build { inherit name; lines = 6; needs = [ zlib ]; }) [
    "json-c-0.17"
    "libmicrohttpd-0.9.77"
    "wslay-1.1.1"
    "libbsd-0.11.8"
  ];
  tools = map (name: build { inherit name; needs = libraries; }) [ "git-2.44.0" "tmux-3.4" "ripgrep-14.1.0" ];
  server = build { name = "web-server-2.4.58"; lines = 10; needs = [ openssl curl ]; breaks = true; };
  services = map (name: build { inherit name; lines = 7; needs = [ sqlite curl ]; }) [
    "unit-backup.service"
    "unit-metrics.service"
    "unit-sshd.service"
  ];
  etc = build { name = "etc"; lines = 4; needs = services ++ [ server ]; };
  path = build { name = "system-path"; lines = 5; needs = tools; };
  initrd = build { name = "initrd-linux-6.6.18"; lines = 10; needs = [ zlib ]; };
in
build { name = "system-demo"; lines = 4; needs = [ etc path initrd (build { name = "users-groups"; lines = 3; }) ]; }
