# The functions of nixpkgs' lib that this project's Nix files use, written for the tests. Names and meaning are the same, and the
# types of options are checked as in the real module system.
let
  inherit (builtins) attrNames concatStringsSep elem filter foldl' isAttrs isBool isFunction isInt isList isString length
    listToAttrs map match stringLength substring toString typeOf;

  show = value: if isString value then "\"${value}\"" else if typeOf value == "path" then toString value else builtins.toJSON value;

  mkType = name: check: { inherit name check; };

  types = rec {
    bool = mkType "boolean" isBool;
    str = mkType "string" isString;
    nonEmptyStr = mkType "non-empty string" (v: isString v && match "[ \t\r\n]*" v == null);
    path = mkType "absolute path" (v: (isString v || typeOf v == "path" || (isAttrs v && v ? outPath))
      && substring 0 1 (toString v) == "/");
    package = mkType "package" (v: isAttrs v && v.type or "" == "derivation");
    int = mkType "signed integer" isInt;
    ints = {
      between = low: high: mkType "integer between ${toString low} and ${toString high} (both inclusive)"
        (v: isInt v && v >= low && v <= high);
      unsigned = mkType "unsigned integer, meaning >=0" (v: isInt v && v >= 0);
      positive = mkType "positive integer, meaning >0" (v: isInt v && v > 0);
    };
    port = mkType "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (v: isInt v && v >= 0 && v <= 65535);
    enum = values: mkType "one of ${concatStringsSep ", " (map show values)}" (v: elem v values);
    nullOr = type: mkType "null or ${type.name}" (v: v == null || type.check v);
    listOf = type: mkType "list of ${type.name}" (v: isList v && builtins.all type.check v);
    attrsOf = type: mkType "attribute set of ${type.name}"
      (v: isAttrs v && builtins.all (n: type.check v.${n}) (attrNames v));
    oneOf = choices: mkType (concatStringsSep " or " (map (t: t.name) choices)) (v: builtins.any (t: t.check v) choices);
    strMatching = pattern: mkType "string matching the pattern ${pattern}" (v: isString v && match pattern v != null);
  };

  unique = list: foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ] list;
  recursiveUpdate = a: b:
    if isAttrs a && isAttrs b && !(a ? outPath) && !(b ? outPath)
    then a // builtins.mapAttrs (n: v: if a ? ${n} then recursiveUpdate a.${n} v else v) b
    else if isList a && isList b then a ++ b
    else b;
  setByPath = path: value:
    if path == [ ] then value else { ${builtins.head path} = setByPath (builtins.tail path) value; };

  isPlain = v: isAttrs v && !(v ? outPath) && !(v ? _type);
  isOption = v: isAttrs v && v._type or "" == "option";
  # All options of a tree of declarations, each with its path.
  optionsOf = path: tree:
    if isOption tree then [{ inherit path; option = tree; }]
    else builtins.concatLists (map (n: optionsOf (path ++ [ n ]) tree.${n}) (attrNames tree));

  # Turns a definition into a list without mkMerge, and moves mkIf down to the values inside. So the defined names are known before
  # a condition is evaluated: conditions depend on the values of other names.
  expand = value:
    let kind = if isAttrs value then value._type or "" else ""; in
    if kind == "merge" then builtins.concatLists (map expand value.contents)
    else if kind == "default" then expand value.content
    else if kind == "if" then
      map
        (x:
          let when = content: { _type = "if"; inherit (value) condition; inherit content; }; in
          if isPlain x && x != { } then builtins.mapAttrs (_: when) x else when x)
        (expand value.content)
    else [ value ];
  below = name: definitions: builtins.concatLists
    (map (d: if isPlain d && d ? ${name} then expand d.${name} else [ ]) definitions);
  namesOf = definitions: unique (builtins.concatLists (map (d: if isPlain d then attrNames d else [ ]) definitions));
  # The values with a true condition.
  discharge = definitions: builtins.concatLists (map
    (d: if isAttrs d && d._type or "" == "if" then (if d.condition then discharge [ d.content ] else [ ]) else [ d ])
    definitions);
  # The value merged from the definitions; null if there are none.
  collect = definitions:
    if definitions != [ ] && builtins.all isPlain definitions then
      let
        all = map (n: { name = n; value = collect (below n definitions); }) (namesOf definitions);
        kept = filter (x: x.value != null) all;
      in
      if all != [ ] && kept == [ ] then null else listToAttrs kept
    else
      let values = discharge definitions; in
      if values == [ ] then null else foldl' recursiveUpdate (builtins.head values) (builtins.tail values);
in
rec {
  inherit types unique recursiveUpdate;

  mkOption = { type, description, default ? null, example ? null, defaultText ? null }@option: option // { _type = "option"; };
  mkEnableOption = name: mkOption { type = types.bool; default = false; example = true; description = "Whether to enable ${name}."; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkDefault = content: { _type = "default"; inherit content; };
  literalExpression = text: { _type = "literalExpression"; inherit text; };

  hasSuffix = suffix: s: let n = stringLength s; m = stringLength suffix; in n >= m && substring (n - m) m s == suffix;
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  removePrefix = prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (stringLength s) s else s;
  hasInfix = infix: s: match ".*${escapeRegex infix}.*" s != null;
  escapeRegex = builtins.replaceStrings [ "." "[" "]" "*" "+" "?" "(" ")" "^" "$" "|" "{" "}" "\\" ]
    [ "\\." "\\[" "\\]" "\\*" "\\+" "\\?" "\\(" "\\)" "\\^" "\\$" "\\|" "\\{" "\\}" "\\\\" ];
  escape = chars: builtins.replaceStrings chars (map (c: "\\" + c) chars);
  concatStrings = concatStringsSep "";
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  concatMapStrings = f: list: concatStrings (map f list);
  inherit concatStringsSep filter;
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  filterAttrs = keep: set: listToAttrs (map (n: { name = n; value = set.${n}; }) (filter (n: keep n set.${n}) (attrNames set)));
  optionalAttrs = condition: set: if condition then set else { };
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  fileContents = file: builtins.replaceStrings [ "\n" ] [ "" ] (builtins.readFile file);
  optionalString = condition: text: if condition then text else "";
  boolToString = b: if b then "true" else "false";
  genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
  escapeShellArg = v: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString v)}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  getExe' = package: name: "${package}/bin/${name}";
  cleanSource = src: src;
  cleanSourceWith = { src, filter }: src;
  licenses.mit = { spdxId = "MIT"; };
  platforms = { linux = [ "x86_64-linux" "aarch64-linux" ]; darwin = [ "x86_64-darwin" "aarch64-darwin" ]; };

  # modules: a module of this project, and a module with the values to test. foreign: names that NixOS or home-manager would
  # declare; they accept any value. It is an error if a module sets a name that nobody declared.
  evalModules = { modules, foreign, specialArgs }:
    let
      call = module:
        let m = if isFunction module then module (specialArgs // { inherit config; }) else module;
        in if m ? config || m ? options then m else { config = m; };
      called = map call modules;
      declared = foldl' recursiveUpdate { } (map (m: m.options or { }) called);
      options = optionsOf [ ] declared;
      definitions = builtins.concatLists (map (m: expand (m.config or { })) called);

      value = { path, option }:
        let
          name = concatStringsSep "." path;
          given = discharge (foldl' (ds: n: below n ds) definitions path);
          merged = foldl' recursiveUpdate (builtins.head given) (builtins.tail given);
        in
        if given == [ ] && !(option ? default) then throw "The option `${name}' is used but not defined."
        else if given == [ ] then option.default
        else if option.type.check merged then merged
        else throw "A definition for option `${name}' is not of type `${option.type.name}'. Definition value: ${show merged}";

      ours = foldl' recursiveUpdate { } (map (o: setByPath o.path (value o)) options);
      theirs = removeAttrs (listToAttrs (map (n: { name = n; value = collect (below n definitions); }) (namesOf definitions)))
        (attrNames declared);
      # Foreign names below a name that this project also uses: services.postgresql beside services.nixfleet-dashboard.
      partsOf = text: filter builtins.isString (builtins.split "[.]" text);
      beside = filter (x: x.value != null) (map (path: { inherit path; value = collect (foldl' (ds: n: below n ds) definitions path); })
        (filter (path: declared ? ${builtins.head path}) (map partsOf foreign)));
      config = ours // theirs;

      strays = path: declared: definitions: builtins.concatLists (map
        (n:
          let here = path ++ [ n ]; text = concatStringsSep "." here; in
          if declared ? ${n} then (if isOption declared.${n} then [ ] else strays here declared.${n} (below n definitions))
          else if elem text foreign then [ ]
          else if builtins.any (hasPrefix "${text}.") foreign then strays here { } (below n definitions)
          else [ text ])
        (namesOf definitions));
      stray = strays [ ] declared definitions;
      # Evaluates every option, so that the types of unused options are checked, too.
      checked = builtins.deepSeq (map (o: let v = value o; in if isAttrs v && v ? outPath then null else v) options) config;
    in
    {
      config = if stray != [ ] then throw "The option `${builtins.head stray}' does not exist." else filterAttrs (n: v: v != null)
        (foldl' recursiveUpdate checked (map (x: setByPath x.path x.value) beside));
      inherit declared;
    };
}
