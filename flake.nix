{
  description = "Run a command under a pty and watch it live on a dashboard, without getting in its way";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      eachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = eachSystem (pkgs: rec {
        nixfleet = import ./default.nix { inherit pkgs; };
        default = nixfleet;
      });

      overlays.default = final: prev: { nixfleet = final.callPackage ./nix/package.nix { }; };

      nixosModules = rec {
        nixfleet = import ./nix/module.nix;
        default = nixfleet;
      };

      homeManagerModules = rec {
        nixfleet = import ./nix/home-manager.nix;
        default = nixfleet;
      };

      checks = eachSystem (pkgs:
        let package = import ./default.nix { inherit pkgs; };
        in
        {
          inherit package;
          # Only the unit tests: they need no network and no browser.
          unit = package.overrideAttrs (old: {
            pname = "nixfleet-unit-tests";
            nativeBuildInputs = old.nativeBuildInputs ++ [ pkgs.python3 ];
            buildInputs = old.buildInputs ++ [ pkgs.cmocka ];
            doCheck = true;
            checkTarget = "unit";
          });
        });

      devShells = eachSystem (pkgs: {
        default = import ./shell.nix { inherit pkgs; };
      });

      formatter = eachSystem (pkgs: pkgs.nixpkgs-fmt);
    };
}
