#!/bin/sh
# Makes the project's npm modules and Debian packages available, whichever are missing, so that one command works on a bare
# machine and in a fresh clone. It does nothing, and says nothing, when all is there.
set -eu
cd "$(dirname "$0")/.."

if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
              process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; then
  echo "set up: Node.js 20.19 or newer is needed (found: $(node --version 2>/dev/null || echo none))" >&2
  exit 1
fi

# npm notes there what it has installed, so the file is as old as the last installation.
installed=node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  echo "installing npm modules (package-lock.json)" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
fi

exec node_modules/.bin/tsx scripts/setup/install-packages.ts
