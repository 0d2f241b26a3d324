# Reads kind/versions.toml. Sourced by scripts that have set `repository`.
# shellcheck shell=bash

# version SECTION KEY: prints a value of kind/versions.toml
version() {
  awk -v section="[$1]" -v key="$2" '
    /^\[/ { inside = ($0 == section) }
    inside && $1 == key { gsub(/"/, "", $3); print $3; found = 1; exit }
    END { if (!found) exit 1 }' "$repository/kind/versions.toml" \
    || { echo "kind/versions.toml: [$1] has no $2" >&2; exit 1; }
}
