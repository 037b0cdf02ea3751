#!/bin/sh
# Compares every #include of the product with the table in docs/architecture.md. A directory may include its own headers, and the
# directories and libraries in its row. test_includes.sh [ROOT]. The second test proves that a forbidden include is found.
here=$(cd "$(dirname "$0")/../.." && pwd)

# Prints the includes that are not allowed, as "DIR/NAME:LINE" with the line. The main programs (no directory) may use everything.
violations() {
    cd "$1" || return
    # shellcheck disable=SC2016 # backquotes of the table
    sed -n 's/^| `\([^`]*\)\/` |.*| \([^|]*\) |$/\1: \2/p' docs/architecture.md >"$2"
    find common config capture parse transport report dashboard -name '*.[ch]' -exec grep -H '^#include' {} + 2>/dev/null |
        awk -v table="$2" '
        BEGIN {
            while ((getline line <table) > 0) {
                split(line, parts, ": ")
                known[parts[1]] = 1
                count = split(parts[2], uses, ", ")
                for (i = 1; i <= count; i++)
                    may[parts[1], uses[i]] = 1
            }
            split("sqlite3.h SQLite microhttpd.h libmicrohttpd curl libcurl json-c json-c wslay wslay openssl OpenSSL " \
                  "crypt.h libcrypt libpq-fe.h libpq liboath liboath pcre2.h PCRE2", pairs, " ")
            for (i = 1; i in pairs; i += 2)
                library[pairs[i]] = pairs[i + 1]
        }
        {
            file = $0; sub(/:.*/, "", file)
            from = file; sub(/\/[^\/]*$/, "", from)
            included = $0; sub(/.*#include ["<]/, "", included); sub(/[">].*/, "", included)
            if ($0 ~ /#include </) {
                name = included; sub(/\/.*/, "", name)
                to = library[name]
            } else {
                path = (system("test -e " included) == 0) ? included : from "/" included
                while (sub(/[^\/.]+\/\.\.\//, "", path)) continue
                to = path; sub(/\/[^\/]*$/, "", to)
            }
            if (!(from in known))
                print file ": " from "/ is not in the table"
            else if (to != "" && to != from && !((from, to) in may))
                print file ": " from "/ may not use " to
        }' | sort -u
}

table=$(mktemp) && found=$(violations "${1:-$here}" "$table")
[ -s "$table" ] || found="docs/architecture.md has no table of directories"
[ -z "$found" ] || { printf '%s\n' "$found" | sed 's/^/# /'; bad=1; }
echo "${bad:+not }ok 1 - every include is in the table of docs/architecture.md"
[ $# -eq 0 ] || { rm -f "$table"; exit "${bad:-0}"; }

fake=$(mktemp -d) && mkdir -p "$fake/docs" "$fake/dashboard/api" "$fake/dashboard/store" "$fake/common"
cp "$here/docs/architecture.md" "$fake/docs"
printf '#include <sqlite3.h>\n' >"$fake/dashboard/api/sql.c"
printf '#include "../dashboard/api/x.h"\n' >"$fake/common/up.c"
touch "$fake/dashboard/api/x.h"
found=$(violations "$fake" "$table" | wc -l)
[ "$found" -eq 2 ] && echo "ok 2 - a forbidden include is found" || echo "not ok 2 - a forbidden include is found ($found of 2)"
rm -rf "$table" "$fake"
[ -z "$bad" ] && [ "$found" -eq 2 ]
