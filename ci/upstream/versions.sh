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

# versions PART: prints the versions of a part, one a line
versions() {
  awk -v section="[$1.versions]" '
    /^\[/ { inside = ($0 == section) }
    inside && /^"/ { gsub(/"/, "", $1); print $1 }' "$repository/kind/versions.toml"
}

# of_version PART VERSION KEY: prints a value of one version of a part
of_version() {
  awk -v section="[$1.versions]" -v version="\"$2\"" -v key="$3" '
    /^\[/ { inside = ($0 == section) }
    inside && $1 == version {
      for (field = 4; field < NF; field++)
        if ($field == key) { value = $(field + 2); gsub(/[",]/, "", value); print value; found = 1; exit }
    }
    END { if (!found) exit 1 }' "$repository/kind/versions.toml" \
    || { echo "kind/versions.toml: version $2 of $1 has no $3" >&2; exit 1; }
}
