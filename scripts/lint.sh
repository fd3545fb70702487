#!/bin/sh
# clang-tidy and cppcheck over every C file that the build of DIR compiles; silent where clean.
#   scripts/lint.sh DIR [JOBS]     DIR: a build folder with a compile_commands.json
# LINT_STATES=N: of a function's states the analyzer follows so many, not Clang's own 225,000: with 25,000
# src/server/answer.c takes 0.7 s, not 4.5.
# Which checks, and why not others: .clang-tidy, and the table below. A file that was clean is
# looked at again when it, a header or a .clang-tidy has changed since.
set -eu
cd "$(dirname "$0")/.."
build=$1 jobs=${2:-2}
stamps=$build/lint
mkdir -p "$stamps"
# What the build makes itself (cmake/embed.cmake) is read by cppcheck, and nobody's style.
! grep -q "$build/embedded/" "$build/compile_commands.json" || cmake --build "$build" --target embedded >/dev/null

# Each file once, as its module compiles it: tests compile some again, with names of their own, and both
# checkers would look at each of these. Of what the build makes the shortest file stands for all: they differ
# in the bytes of one array, and of the longest cppcheck takes a minute.
python3 - "$build" >"$stamps/compile_commands.json" <<'END'
import json, os, sys
build, commands = sys.argv[1], {}
for command in json.load(open(f"{build}/compile_commands.json")):
    commands.setdefault(command["file"], command)
made = sorted((file for file in commands if f"{build}/embedded/" in file), key=os.path.getsize)
for file in made[1:]:
    del commands[file]
json.dump(list(commands.values()), sys.stdout, indent=0)
END

# ---- clang-tidy: a stamp per clean file ----
changed=$(find include src tests tools examples .clang-tidy \
    \( -name '*.h' -o -name '*.inc' -o -name .clang-tidy \) -newer "$stamps/headers" 2>/dev/null |
    head -1) || true
[ -e "$stamps/headers" ] && [ -z "$changed" ] || rm -f "$stamps"/*.clean
touch "$stamps/headers"

sed -n 's/^ *"file": "\(.*\)",*$/\1/p' "$stamps/compile_commands.json" | sort | grep -v "$build/embedded/" |
while read -r file; do
    stamp=$stamps/$(echo "${file#"$PWD"/}" | tr / _).clean
    [ -e "$stamp" ] && [ -z "$(find "$file" -newer "$stamp")" ] || printf '%s\n%s\n' "$file" "$stamp"
done >"$stamps/todo"
echo "clang-tidy: $(($(wc -l <"$stamps/todo") / 2)) files to look at"
depth=${LINT_STATES:+--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=$LINT_STATES}
status=0
export depth
xargs -r -P "$jobs" -n 2 sh -c '
    said=$(clang-tidy -p "$0" --quiet $depth "$1" 2>&1) && touch "$2" && exit 0
    printf "%s\n" "$said" | grep -v "warnings generated\|^Suppressed \|^Use -header-filter"
    exit 1' "$stamps" <"$stamps/todo" || status=1

# ---- cppcheck: all at once, it takes seconds ----
# Not its style checks: they take what is written through a pointer for unread and declarations
# that stand together for misplaced; clang-tidy looks for the rest of what they find.
case $(uname -m) in
x86_64) machine=-D__x86_64__ ;;
*) machine=-D__aarch64__ ;;
esac
cppcheck --project="$stamps/compile_commands.json" -j "$jobs" --quiet $machine \
    --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
    --template='{file}:{line}: {severity}: {message} [{id}]' || status=1

[ $status = 0 ] && echo "lint: clean"
exit $status
