{ lib
, stdenv
, pkg-config
, curl
, json_c
, openssl
, libmicrohttpd
, pcre2
, wslay
, sqlite
, libpq
, libxcrypt
, oath-toolkit
, libbsd
, libmd
}:

stdenv.mkDerivation {
  pname = "nixfleet";
  version = lib.fileContents ../VERSION;

  # The sources without the build products of a working tree.
  src = lib.cleanSourceWith {
    src = lib.cleanSource ../.;
    filter = path: type: !(builtins.elem (baseNameOf path) [
      "build"
      "result"
      "nixfleet-run"
      "nixfleet-report"
      "nixfleet-dashboard"
    ] && toString (dirOf path) == toString ../.);
  };

  strictDeps = true;
  enableParallelBuilding = true;
  nativeBuildInputs = [ pkg-config ];
  buildInputs = [
    curl
    json_c
    openssl
    libmicrohttpd
    pcre2
    wslay
    sqlite
    libpq
    libxcrypt
    oath-toolkit
  ] ++ lib.optionals stdenv.hostPlatform.isLinux [ libbsd libmd ];

  # The stdenv sets its own hardening flags, and warns if they are set twice.
  makeFlags = [ "PREFIX=$(out)" "CC=${stdenv.cc.targetPrefix}cc" "HARDEN=" ];

  # The tests need a pty, nix and a browser, which a build's sandbox does not have. `make check` runs the tests.
  doCheck = false;
  doInstallCheck = true;
  installCheckPhase = ''
    $out/bin/nixfleet-run --version
    $out/bin/nixfleet-run --no-stream -- true
    $out/bin/nixfleet-dashboard --version
  '';

  meta = {
    description = "Run a command under a pty and watch it live on a dashboard, without getting in its way";
    license = lib.licenses.mit;
    mainProgram = "nixfleet-run";
    platforms = lib.platforms.linux ++ lib.platforms.darwin;
  };
}
